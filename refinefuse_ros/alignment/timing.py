# Copyright 2026 refinefuse_ros contributors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The constant offset between two cameras' clocks, out of what moves in both pictures.

At the right offset the signals of cells (`moving.py`) that see the same place are alike. Which cells those are is
unknown too, and somebody who walks steadily fits one offset with one view and another offset with another. So offset
and view (a scale and a shift of the thermal picture in the RGB picture) are searched together, and an offset is found
only if no other one fits nearly as well with whatever view, also when only some of the recording is looked at, and if
films that cannot match (RGB played backwards, its halves swapped) fit much less at any offset.

With r the correlation of a cell's signals at an offset, its fit is the sum of -log(1 - r^2) over all signals with
r > 0: a few cells in which much is alike count for more than many in which a little is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import Final, NamedTuple

import cv2
import numpy as np

from refinefuse_ros.alignment.moving import (
    ADVICE,
    CELLS,
    FEWEST_FRAMES,
    SHORTEST_STEP_S,
    SMOOTHINGS,
    Film,
    Motion,
    OffsetError,
    View,
    signals,
    watch,
)

SEARCH_MS: Final = 1500.0
"""How far from the expected offset the true one is looked for, unless told otherwise."""
# The steps of the lags, and how far from the offset: to find it, and then to measure it.
_COARSE_S: Final = 0.04
_FINE_S: Final = 0.01
_FINE_REACH_S: Final = 0.15
# The parabola whose vertex is the offset is laid through so many points on either side of the highest.
_VERTEX_POINTS: Final = 4
# An offset further away than this is another one, and not the flank of the same peak.
_PEAK_S: Final = 0.15
_RIVALS: Final = 6
_LARGEST_CORRELATION: Final = 0.995
_SHORTEST_S: Final = 4.0
# Seconds are drawn anew in blocks, two of three each time.
_BLOCK_S: Final = 0.5
_DRAWN_SHARE: Final = 2 / 3
_DRAWS: Final = 100
_DRAWS_AT_ONCE: Final = 20
# What moves between two frames is not seen: so uncertain is an offset, in periods of the cameras, however long it was
# looked at.
_BETWEEN_FRAMES: Final = 0.05
# What an offset must keep to be believed, by trials on shifted, unrelated and motionless clips.
LOWEST_FIT: Final = 4.5
HIGHEST_CHANCE: Final = 0.4
HIGHEST_RUNNER_UP: Final = 0.85
LOWEST_AGREEMENT: Final = 0.9
HIGHEST_UNCERTAINTY_MS: Final = 15.0


@dataclass(frozen=True)
class TimeOffset:
    """How far the clocks stand apart, and how sure that is.

    Attributes:
        offset_ms: to be added to every thermal stamp; positive where thermal stamps are behind.
        uncertainty_ms: standard deviation, by how the offset varies over parts of the recording, and by the cameras'
            rates.
        fit: how alike the motions are, over all cells.
        chance: how well the films fit at best where they cannot match (one backwards, its halves swapped), as a share
            of this offset's fit.
        runner_up: how well the best other offset fits, as a share of this one's fit.
        agreement: share of the draws that gave this offset and not another.
        seconds: what both cameras saw.
    """

    offset_ms: float
    uncertainty_ms: float
    fit: float
    chance: float
    runner_up: float
    agreement: float
    seconds: float


_SAME_VIEW: Final = View()
# Where the offset was found it is measured with the cameras looking the same way, unless that fits clearly worse than
# another view: views that differ a little fit much alike, and move the offset by some ms.
_SAME_VIEW_SHARE: Final = 0.8
_SCALES: Final = (0.7, 0.85, 1.0, 1.18, 1.4)
_SHIFTS: Final = (-0.2, -0.1, 0.0, 0.1, 0.2)
_VIEWS: Final = tuple(View(*view) for view in product(_SCALES, _SHIFTS, _SHIFTS))
_NEAR: Final = ((0.93, 0, 0), (1.07, 0, 0), (1, -0.05, 0), (1, 0.05, 0), (1, 0, -0.05), (1, 0, 0.05))


def find_offset(thermal: Film, rgb: Film, expected_ms: float = 0.0, search_ms: float = SEARCH_MS) -> TimeOffset:
    """The offset that brings the thermal clock to the RGB clock.

    Args:
        expected_ms: about where it is looked for.
        search_ms: how far from there.

    Raises:
        OffsetError: the films are too short, nothing moves in one of them, or more than one offset fits.
    """
    origin_ns = int(rgb.times_ns[0]) if len(rgb.times_ns) else 0
    thermal_s = (thermal.times_ns - origin_ns) / 1e9 + expected_ms / 1e3
    rgb_s = (rgb.times_ns - origin_ns) / 1e9
    seconds = _seconds_in_common(thermal_s, rgb_s)
    step_s = max(SHORTEST_STEP_S, *(float(np.median(np.diff(times_s))) for times_s in (thermal_s, rgb_s)))
    motions = watch(thermal_s, thermal.planes, step_s, "thermal"), watch(rgb_s, rgb.planes, step_s, "RGB")
    rivals, chance = _rivals(*motions, search_ms / 1e3)
    choice = _choose(*motions, rivals, search_ms / 1e3)
    offset_s = choice.offset_s
    for _ in range(2):  # the second time from the right place
        offset_s, uncertainty_s = _measure(*motions, choice.view, offset_s)
    found = TimeOffset(
        offset_ms=offset_s * 1e3 + expected_ms,
        uncertainty_ms=uncertainty_s * 1e3,
        fit=choice.fit,
        chance=chance,
        runner_up=choice.runner_up,
        agreement=choice.agreement,
        seconds=seconds,
    )
    _check(found)
    return found


def _check(found: TimeOffset) -> None:
    """Raises OffsetError unless it is to be believed."""
    if found.fit < LOWEST_FIT:
        raise OffsetError(f"Too little moves alike in the thermal and the RGB pictures; {ADVICE}.")
    if found.runner_up > HIGHEST_RUNNER_UP or found.agreement < LOWEST_AGREEMENT:
        raise OffsetError(
            f"{found.offset_ms:+.0f} ms fits best, but other offsets fit nearly as well (what moves repeats itself, or"
            f" moves too steadily); {ADVICE}."
        )
    if found.chance > HIGHEST_CHANCE:
        raise OffsetError(
            f"{found.offset_ms:+.0f} ms fits best, but not much better than films of other moments would (the cameras"
            f" see different things, the offset is larger than was looked for, or too little happens); {ADVICE}."
        )
    if found.uncertainty_ms > HIGHEST_UNCERTAINTY_MS:
        raise OffsetError(
            f"The offset is about {found.offset_ms:+.0f} ms, but only to within {2 * found.uncertainty_ms:.0f} ms;"
            f" {ADVICE}."
        )


def _seconds_in_common(thermal_s: np.ndarray, rgb_s: np.ndarray) -> float:
    """Raises OffsetError where they are too few."""
    for name, times_s in (("thermal", thermal_s), ("RGB", rgb_s)):
        if len(times_s) < FEWEST_FRAMES:
            raise OffsetError(f"{len(times_s)} {name} frames are too few to find an offset; {ADVICE}.")
    common_s = float(min(thermal_s[-1], rgb_s[-1]) - max(thermal_s[0], rgb_s[0]))
    if common_s < _SHORTEST_S:
        raise OffsetError(
            f"The two cameras have {max(common_s, 0):.1f} s in common, too little to find an offset; {ADVICE}."
        )
    return common_s


def _rivals(thermal: Motion, rgb: Motion, search_s: float) -> tuple[list[View], float]:
    """The views to choose from, and what fits by chance.

    Returns:
        The same view, the one that fits best at some offset, and those that do at offsets far from it; and the best fit
        of films that cannot match as a share of the best fit: of RGB played backwards, and of its halves swapped.
    """
    grid_s = np.arange(*_span(thermal, rgb), _COARSE_S)
    reach = round(search_s / _COARSE_S)
    lags = np.arange(-reach, reach + 1)
    size = cv2.getOptimalDFTSize(len(grid_s) + reach)
    seen = signals(thermal, _SAME_VIEW, grid_s).values
    spectrum = np.conj(np.fft.rfft(seen, size))
    square = (seen**2).sum(axis=1)[:, None]
    # Played backwards, as much changes, and moves the other way.
    direction = np.tile(np.repeat(np.float32([1, -1, -1]), math.prod(CELLS)), len(SMOOTHINGS))[:, None]

    def fit(view: View) -> np.ndarray:
        other = signals(rgb, view, grid_s).values
        backwards, half = direction * other[:, ::-1], len(grid_s) // 2
        films = np.stack([other, backwards, np.roll(other, half, axis=1), np.roll(backwards, half, axis=1)])
        products = np.fft.irfft(spectrum * np.fft.rfft(films, size), size)[..., lags]
        return _fit(products, square, (other**2).sum(axis=1)[:, None])

    views = list(_VIEWS)
    fits = np.array([fit(view) for view in views])  # (views, films, lags)
    for _ in range(3):
        best = views[int(fits[:, 0].max(axis=1).argmax())]
        near = [View(best.scale * scale, best.dx + dx, best.dy + dy) for scale, dx, dy in _NEAR]
        views, fits = views + near, np.concatenate([fits, [fit(view) for view in near]])
    true, *others = fits.swapaxes(0, 1)
    profile = true.max(axis=0)
    chance = float(np.max(others)) / max(float(profile.max()), 1e-9)
    rivals = [_SAME_VIEW]
    for _ in range(_RIVALS):
        at = int(profile.argmax())
        view = views[int(true[:, at].argmax())]
        if view not in rivals:
            rivals.append(view)
        profile = np.where(np.abs(lags - lags[at]) * _COARSE_S < _PEAK_S, 0.0, profile)
    return rivals, chance


def _span(thermal: Motion, rgb: Motion) -> tuple[float, float]:
    return max(thermal.centres_s[0], rgb.centres_s[0]), min(thermal.centres_s[-1], rgb.centres_s[-1])


class _Choice(NamedTuple):
    """The offset that fits best, roughly, and the view to measure it with; the rest as in `TimeOffset`."""

    offset_s: float
    view: View
    fit: float
    runner_up: float
    agreement: float


def _choose(thermal: Motion, rgb: Motion, rivals: list[View], search_s: float) -> _Choice:
    grid_s = np.arange(*_span(thermal, rgb), _COARSE_S)
    sums = [_Sums(thermal, rgb, view, grid_s, _COARSE_S, search_s) for view in rivals]
    lags_s = sums[0].lags_s
    whole = np.array([one.fit() for one in sums])  # (views, lags)
    profile = whole.max(axis=0)
    at, best = int(profile.argmax()), max(float(profile.max()), 1e-9)
    same_place = np.abs(lags_s - lags_s[at]) <= _PEAK_S / 2
    draws = np.max([one.fits_of_draws() for one in sums], axis=0).argmax(axis=1)
    same_view = whole[rivals.index(_SAME_VIEW), same_place].max() >= _SAME_VIEW_SHARE * best
    return _Choice(
        offset_s=float(lags_s[at]),
        view=_SAME_VIEW if same_view else rivals[int(whole[:, at].argmax())],
        fit=best,
        runner_up=float(profile[np.abs(lags_s - lags_s[at]) > _PEAK_S].max(initial=0.0)) / best,
        agreement=float(same_place[draws].mean()),
    )


def _measure(thermal: Motion, rgb: Motion, view: View, about_s: float) -> tuple[float, float]:
    """The offset near `about_s`, and its standard deviation, s."""
    start_s = max(thermal.centres_s[0] + about_s, rgb.centres_s[0] + _FINE_REACH_S)
    end_s = min(thermal.centres_s[-1] + about_s, rgb.centres_s[-1] - _FINE_REACH_S)
    moved = replace(thermal, centres_s=thermal.centres_s + about_s)
    sums = _Sums(moved, rgb, view, np.arange(start_s, end_s, _FINE_S), _FINE_S, _FINE_REACH_S)
    found_s = _vertex(sums.lags_s, sums.fit())
    draws = [_vertex(sums.lags_s, profile) for profile in sums.fits_of_draws()]
    # Two thirds of the recording vary less than recordings do (delete-d jackknife).
    spread_s = float(np.std(draws)) * math.sqrt(_DRAWN_SHARE / (1 - _DRAWN_SHARE))
    between_s = _BETWEEN_FRAMES * math.hypot(*(float(np.median(np.diff(one.centres_s))) for one in (thermal, rgb)))
    return about_s + found_s, math.hypot(spread_s, between_s)


def _vertex(lags_s: np.ndarray, profile: np.ndarray) -> float:
    """Where the highest peak is, s."""
    at = int(profile.argmax())
    around = slice(max(at - _VERTEX_POINTS, 0), at + _VERTEX_POINTS + 1)
    bend, slope, _ = np.polyfit(lags_s[around] - lags_s[at], profile[around], 2)
    offset_s = -slope / (2 * bend) if bend < 0 else 0.0
    return float(np.clip(lags_s[at] + offset_s, lags_s[0], lags_s[-1]))


class _Sums:
    """What the correlations at every lag are made of, by blocks of time, so that any choice of blocks has its own.

    Attributes:
        lags_s: (lags,)
        blocks: how many there are.
    """

    def __init__(
        self, thermal: Motion, rgb: Motion, view: View, grid_s: np.ndarray, step_s: float, reach_s: float
    ) -> None:
        reach, count = round(reach_s / step_s), len(grid_s)
        wide_s = grid_s[0] + np.arange(-reach, count + reach) * step_s
        one, other = signals(thermal, _SAME_VIEW, grid_s), signals(rgb, view, wide_s)
        starts = np.arange(0, count, round(_BLOCK_S / step_s))
        sums, counts = [], []
        for lag in range(2 * reach + 1):
            known = one.known & other.known[lag : lag + count]
            a, b = one.values * known, other.values[:, lag : lag + count] * known
            sums.append([np.add.reduceat(term, starts, axis=1) for term in (a, b, a * b, a * a, b * b)])
            counts.append(np.add.reduceat(known.astype(float), starts))
        self.lags_s = np.arange(-reach, reach + 1) * step_s
        self.blocks = len(starts)
        self._sums = np.ascontiguousarray(np.array(sums).transpose(3, 1, 2, 0))  # (blocks, 5, signals, lags)
        self._counts = np.array(counts).T  # (blocks, lags)

    def fit(self) -> np.ndarray:
        """(lags,) how alike the motions are; less where less is known."""
        return self._fit(np.ones((1, self.blocks), np.float32))[0]

    def fits_of_draws(self) -> np.ndarray:
        """(draws, lags) the same of some of the blocks; the same ones each time."""
        random = np.random.default_rng(0)
        drawn = max(1, round(self.blocks * _DRAWN_SHARE))
        weights = np.zeros((_DRAWS, self.blocks), np.float32)
        for row in weights:
            row[random.permutation(self.blocks)[:drawn]] = 1.0
        return np.concatenate([self._fit(some) for some in np.array_split(weights, _DRAWS // _DRAWS_AT_ONCE)])

    def _fit(self, weights: np.ndarray) -> np.ndarray:
        """(k, lags) from the (k, blocks) weights of the blocks."""
        counts = weights @ self._counts
        sums = (weights @ self._sums.reshape(self.blocks, -1)).reshape(len(weights), *self._sums.shape[1:])
        a, b, ab, aa, bb = sums.swapaxes(0, 1)
        number = np.maximum(counts, 1.0)[:, None]
        fits = _fit(ab - a * b / number, aa - a * a / number, bb - b * b / number)
        return fits * counts / np.maximum(counts.max(axis=1, keepdims=True), 1.0)


def _fit(products: np.ndarray, thermal_squares: np.ndarray, rgb_squares: np.ndarray) -> np.ndarray:
    """(..., lags) the fit of (..., signals, lags) sums of products and of squares."""
    scale = np.sqrt(np.clip(thermal_squares * rgb_squares, 1e-6, None))
    return -np.log1p(-(np.clip(products / scale, 0.0, _LARGEST_CORRELATION) ** 2)).sum(axis=-2)
