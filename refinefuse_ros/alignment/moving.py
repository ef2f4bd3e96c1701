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

"""What moves in a camera's pictures, as signals over time that do not depend on which camera sees a thing bright.

Each picture is cut into cells. A cell has three signals: how much changes, and the velocity, across and down, that
explains the change (Lucas and Kanade).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import cv2
import numpy as np

from refinefuse_ros.errors import UserError

# Pictures are shrunk to this: their motion is seen as well as before, and noise and codecs less.
_PLANE: Final = (96, 72)
# Each is looked at twice, less and more smoothed: for small things that move, and for large ones that move fast.
SMOOTHINGS: Final = (1.0, 2.0)
# The moments of the change are kept on this grid, and summed to cells.
_FIELDS: Final = (24, 18)
CELLS: Final = (8, 6)
# Against velocities of what has next to no gradient: a share of the mean squared gradient.
_DAMPING: Final = 0.25
# Pictures are compared over at least so long: over one frame at 30 Hz a slow motion drowns in noise.
SHORTEST_STEP_S: Final = 0.066
# A longer silence of a camera is a pause, and what changed over it says nothing about when.
_PAUSE_STEPS: Final = 3.0
_SHORTEST_PAUSE_S: Final = 0.25
_CLIP: Final = 4.0
FEWEST_FRAMES: Final = 20
ADVICE: Final = (
    "record 20 s in which the two cameras, fixed to each other, are turned to and fro by hand at an uneven pace, or"
    " people walk through both pictures in different directions"
)


class OffsetError(UserError):
    """The recording does not tell the offset; the message is one sentence with the reason and what to record."""


@dataclass(frozen=True)
class Film:
    """What one camera saw.

    Attributes:
        times_ns: (n,) int64, each frame's time by the camera's own clock, ns, ascending.
        planes: (n, 72, 96) float32, as `shrink` makes them, in any unit of brightness.
    """

    times_ns: np.ndarray
    planes: np.ndarray


def shrink(grey: np.ndarray) -> np.ndarray:
    """A frame, (H, W) uint8, uint16 or float32, as a plane of a film: (72, 96) float32."""
    return cv2.resize(grey, _PLANE, interpolation=cv2.INTER_AREA).astype(np.float32)


class View(NamedTuple):
    """Where the thermal picture lies in the RGB picture: their sides' ratio, and its centre's shift in RGB sides."""

    scale: float = 1.0
    dx: float = 0.0
    dy: float = 0.0


@dataclass(frozen=True)
class Motion:
    """What changed between frames one step apart.

    Attributes:
        centres_s: (m,) the middle of each pair of frames, s.
        steps_s: (m,) the time between the two, s.
        moments: (m, 2, 6, 18, 24) float32, by smoothing: means over each field of the fine grid of |d|, xx, xy, yy, xd
            and yd, where d is the change and (x, y) the gradient.
    """

    centres_s: np.ndarray
    steps_s: np.ndarray
    moments: np.ndarray


def watch(times_s: np.ndarray, planes: np.ndarray, step_s: float, name: str) -> Motion:
    """What moves. A frame that comes again, as from a closed shutter, is no frame.

    Raises:
        OffsetError: nothing moves.
    """
    new = np.append(True, (planes[1:] != planes[:-1]).any(axis=(1, 2)))
    times_s, planes = times_s[new], planes[new]
    pairs = [(i, j) for i, j in _steps(times_s, step_s) if times_s[j] - times_s[i] <= _PAUSE_STEPS * step_s]
    if len(pairs) < FEWEST_FRAMES:
        raise OffsetError(f"Nothing moves in the {name} pictures; {ADVICE}.")
    smooth = [[cv2.GaussianBlur(plane, (0, 0), sigma) for sigma in SMOOTHINGS] for plane in planes]
    before_s, after_s = (times_s[list(side)] for side in zip(*pairs, strict=True))
    moments = np.array([[_moments(*two) for two in zip(smooth[i], smooth[j], strict=True)] for i, j in pairs])
    return Motion((before_s + after_s) / 2, after_s - before_s, moments)


def _steps(times_s: np.ndarray, step_s: float) -> Iterator[tuple[int, int]]:
    """Each frame, and the later one that comes nearest to a step after it."""
    for i, time_s in enumerate(times_s):
        j = int(np.searchsorted(times_s, time_s + step_s))
        if j - 1 > i and (j == len(times_s) or time_s + step_s - times_s[j - 1] < times_s[j] - time_s - step_s):
            j -= 1
        if j < len(times_s):
            yield i, j


def _moments(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(6, 18, 24) of the change of contrast: brightness and gain of the whole picture, as an AGC's, are no motion."""
    before, after = ((plane - plane.mean()) / max(float(plane.std()), 1e-6) for plane in (before, after))
    change, middle = after - before, (before + after) / 2
    across = cv2.Sobel(middle, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(middle, cv2.CV_32F, 0, 1, scale=1 / 8)
    products = (np.abs(change), across * across, across * down, down * down, across * change, down * change)
    return np.stack([cv2.resize(one, _FIELDS, interpolation=cv2.INTER_AREA) for one in products])


@dataclass(frozen=True)
class Signals:
    """The cells' signals on a regular grid of times.

    Attributes:
        values: (2 * 3 * 48, n) float32, of comparable spread, outliers clipped, of mean 0; 0 where unknown.
        known: (n,) bool.
    """

    values: np.ndarray
    known: np.ndarray


def signals(motion: Motion, view: View, grid_s: np.ndarray) -> Signals:
    """Of the cells as `view` lays them."""
    rows, columns = (
        _cover(fields, cells, view.scale, shift)
        for fields, cells, shift in zip(_FIELDS[::-1], CELLS[::-1], (view.dy, view.dx), strict=True)
    )
    means = rows @ (motion.moments @ columns.T)
    means = means.reshape(*means.shape[:3], -1).transpose(1, 2, 0, 3)  # (smoothings, 6, m, cells)
    steps_s = motion.steps_s[:, None].astype(np.float32)
    sampled: list[np.ndarray] = []
    for amount, xx, xy, yy, xd, yd in means:
        damping = _DAMPING * float(np.median(xx + yy)) + 1e-9
        xx, yy = xx + damping, yy + damping
        scale = steps_s * (xx * yy - xy * xy)
        amount = amount / np.sqrt(xx + yy) / steps_s
        # What changes everywhere at once is a codec's key frame, or noise.
        sampled.append(amount - np.median(amount, axis=1, keepdims=True))
        sampled += [(xy * yd - yy * xd) / scale, (xy * xd - xx * yd) / scale]
    return _on_grid(motion.centres_s, np.concatenate(sampled, axis=1), grid_s)


def _cover(fields: int, cells: int, scale: float, shift: float) -> np.ndarray:
    """(cells, fields): each cell as a mean of what it covers; 0 for cells that are more than a little outside."""
    low = (np.arange(cells)[:, None] / cells - 0.5) * scale + 0.5 + shift
    edges = np.arange(fields)[None, :] / fields
    covered = np.minimum(low + scale / cells, edges + 1 / fields) - np.maximum(low, edges)
    covered = np.clip(covered, 0.0, None)
    whole = covered.sum(axis=1, keepdims=True)
    inside = whole >= 0.75 * scale / cells
    return np.where(inside, covered / np.where(inside, whole, 1.0), 0.0).astype(np.float32)


def _on_grid(times_s: np.ndarray, sampled: np.ndarray, grid_s: np.ndarray) -> Signals:
    """Linear between samples that are no pause apart."""
    after = np.clip(np.searchsorted(times_s, grid_s), 1, len(times_s) - 1)
    widths_s = np.maximum(times_s[after] - times_s[after - 1], 1e-9)
    share = (grid_s - times_s[after - 1]) / widths_s
    longest_s = max(_PAUSE_STEPS * float(np.median(np.diff(times_s))), _SHORTEST_PAUSE_S)
    known = (share >= 0) & (share <= 1) & (widths_s <= longest_s)
    values = np.zeros((sampled.shape[1], len(grid_s)), np.float32)
    if known.any():
        share, after = share[known, None].astype(np.float32), after[known]
        seen = ((1 - share) * sampled[after - 1] + share * sampled[after]).T
        seen = seen - np.median(seen, axis=1, keepdims=True)
        spread = 1.2 * np.percentile(np.abs(seen), 75, axis=1, keepdims=True)
        seen = np.clip(seen / np.maximum(spread, 1e-9), -_CLIP, _CLIP)
        values[:, known] = seen - seen.mean(axis=1, keepdims=True)
    return Signals(values, known)
