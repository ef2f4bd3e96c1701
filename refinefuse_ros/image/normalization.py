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

"""Thermal frames of any depth to the 8-bit plane that the network takes.

In mode `fixed` a frame is mapped by round(255 * (v - low) / (high - low)), clipped to 0..255, with low and high given.
In mode `percentile` the tone curve follows the scene:

1. Its ends are two percentiles of the frame, and between them it is straight, unless the hottest or the coldest few
   per cent of the pixels lie so far out that they would take the grey levels from all the others: a flame, dead
   pixels, rows of telemetry. Then the curve has a knee before them (`_with_knees`), and they are shown with the eighth
   part of the levels that is left beyond it.
2. The straight part is never narrower than `min_span`, nor than 72 times the noise, so that the noise of a flat scene
   is not stretched to full contrast.
3. The curve moves to that of each frame with w = 1 - exp(-dt / time_constant_s), where dt is the time between the
   stamps: a hot object that enters the picture changes the grey of everything else slowly, at the same pace for a 9 Hz
   and a 60 Hz camera. What both ends and the median have in common, a camera that warms or a shutter correction, is
   followed ten times as fast: no drift runs away from the curve. As long as no more than a tenth of the picture lies
   beyond the curve's ends, the pace is slowed so that the scene changes by no more than 16 levels a time constant, on
   the average over its pixels.
4. It is the frame's own at once for the first frame, when a stamp is older than the last one (a looping bag), and when
   both ends of the straight part have moved by more than `reset_spans` times its span: a cut, or a gain switch.

An 8-bit frame passes through mode `percentile` untouched, for the camera has already chosen its range; unless it uses
32 levels or fewer, which are spread (in between, up to 42 levels, by and by). +Inf is white, -Inf is black, and NaN has
the grey of the scene's median.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import cv2
import numpy as np

CAMERA_SCALES: Final[dict[str, float]] = {"auto": 0.0, "lepton": 0.01, "tau": 0.04, "optris": 0.1}
"""Kelvin a count of cameras whose makers say it, as they come: a Lepton with TLinear at its fine resolution, a Tau 2
with TLinear in high gain, Optris cameras by their driver. 0 is unknown."""

# The percentiles are taken of about this many pixels on a regular grid; 0.5 % of them are still 100 pixels.
_SAMPLES: Final = 20_000
# The straight part spans at least so many standard deviations of the noise: one is 3.5 grey levels then.
_SPAN_OVER_NOISE: Final = 72.0
# Noise is told by pieces of rows, of which a fifth is smoother still. In normal noise alone the mean second difference
# of such a piece is 1.53 standard deviations.
_PIECE_PX: Final = 16
_SMOOTH_PIECE: Final = 1.53
# Of a value rounded to a whole count, uniform over one count.
_ROUNDING_NOISE: Final = 1 / math.sqrt(12)
# The share of the pixels beyond a knee: at most 4 %, for what is larger is the scene itself.
_TAILS: Final = (0.01, 0.015, 0.02, 0.025, 0.03, 0.04)
# A tail up to 65 % as long as itself and the straight part together keeps the levels that it has on a straight curve:
# in street scenes people are the hottest 2 %, and take up to 60 %. From 85 % on it is left an eighth of the levels.
_TAIL_OF_A_SCENE: Final = 0.65
_TAIL_FAR_OUT: Final = 0.85
_LEVELS_FAR_OUT: Final = 0.125
# A knee costs the detail of what lies beyond it. It has to win 5 % of contrast for each per cent of the pixels.
_KNEE_COST: Final = 5.0
# A shift of everything is followed so much faster than a change of contrast.
_SHIFT_PACE: Final = 10.0
_LEVELS_PER_TIME_CONSTANT: Final = 16.0
_STEP: Final = 0.05
_BEYOND_ENDS: Final = 0.1
_QUANTILES: Final = 50
_FEW_LEVELS: Final = 32.0
# Fewer are no scene but a flat picture and its noise, and are left as they are.
_FLAT_LEVELS: Final = 8.0
_ENOUGH_LEVELS: Final = 42.0
# Of an 8-bit frame the range is that of all but this share of the pixels at either end.
_STRAY_8_BIT: Final = 0.001
# The bounds of mode `fixed` are counts; a 32FC1 frame of a camera is in kelvin or degrees Celsius, never above this.
_HIGHEST_DEGREES: Final = 5000.0
_ICE_K: Final = 273.15
_KELVIN_FROM: Final = 150.0


@dataclass(frozen=True)
class NormalizationConfig:
    """How the range of the thermal image is chosen; the module's docstring has the method.

    Attributes:
        mode: `percentile` (the range follows the scene) or `fixed`.
        low_percentile: per cent of the pixels that may be darker than black, 0..100.
        high_percentile: per cent of the pixels up to white, 0..100, above `low_percentile`.
        time_constant_s: seconds for 63 % of a change of range; 0 follows every frame at once.
        min_span: narrowest range, in kelvin for 32FC1 frames and where `scale` is known, else in counts.
        reset_spans: jump of both ends, in spans, from which the range is reset at once.
        fixed_low: value shown as black in mode `fixed`, in counts, or in the unit of a 32FC1 frame. Bounds above 5000
            are counts for a 32FC1 frame too: of `scale`, or of 0.01 K. An 8-bit frame passes through where they begin
            above 254.
        fixed_high: value shown as white in mode `fixed`, likewise.
        scale: kelvin a count of integer frames of more than 8 bit; 0 where it is not known.
        black_hot: 8-bit frames show heat dark, and are inverted. Counts and degrees always grow with the heat.
    """

    mode: str = "percentile"
    low_percentile: float = 0.5
    high_percentile: float = 99.5
    time_constant_s: float = 2.0
    min_span: float = 1.0
    reset_spans: float = 0.5
    fixed_low: float = 27315.0
    fixed_high: float = 32315.0
    scale: float = 0.0
    black_hot: bool = False

    def __post_init__(self) -> None:
        if self.mode not in ("percentile", "fixed"):
            raise ValueError(f"normalisation mode '{self.mode}' is unknown; choose percentile or fixed.")
        if not 0 <= self.low_percentile < self.high_percentile <= 100:
            raise ValueError(
                f"percentiles {self.low_percentile} and {self.high_percentile} are no range; "
                "choose 0 <= low_percentile < high_percentile <= 100."
            )
        if not 0 <= self.time_constant_s < math.inf:
            raise ValueError(f"time_constant_s {self.time_constant_s} is not a duration; choose 0 or more seconds.")
        if not 0.01 <= self.min_span < math.inf:
            raise ValueError(f"min_span {self.min_span} is too narrow a range; choose at least 0.01.")
        if not 0 < self.reset_spans < math.inf:
            raise ValueError(f"reset_spans {self.reset_spans} is not a factor; choose a number above 0.")
        if not 0.01 <= self.fixed_high - self.fixed_low < math.inf:
            raise ValueError(
                f"fixed range {self.fixed_low} to {self.fixed_high} is empty; "
                "choose fixed_high at least 0.01 above fixed_low."
            )
        if not 0 <= self.scale < math.inf:
            raise ValueError(f"scale {self.scale} is no number of kelvin; choose 0 (unknown) or more.")


@dataclass(frozen=True)
class _Line:
    """A straight tone curve: 0 at `black`, 1 at `white`."""

    black: float
    white: float

    @property
    def span(self) -> float:
        return self.white - self.black


class _Curve(NamedTuple):
    """Three straight parts from (low, 0) by (knee_low, level_low) and (knee_high, level_high) to (high, 1).

    Without knees, knee_low is low at level 0, and knee_high is high at level 1.
    """

    low: float
    knee_low: float
    knee_high: float
    high: float
    median: float
    level_low: float = 0.0
    level_high: float = 1.0

    @property
    def span(self) -> float:
        return self.knee_high - self.knee_low

    def mixed(self, other: _Curve, weight: float) -> _Curve:
        """Every number moved towards that of `other`; still a rising curve, for both are."""
        return _Curve(*(mine + weight * (theirs - mine) for mine, theirs in zip(self, other, strict=True)))

    def shifted(self, by: float) -> _Curve:
        return self._replace(
            low=self.low + by,
            knee_low=self.knee_low + by,
            knee_high=self.knee_high + by,
            high=self.high + by,
            median=self.median + by,
        )

    def moves_to(self, other: _Curve) -> tuple[float, float, float]:
        """How far both ends of the straight part and the median move to become those of `other`."""
        return other.knee_low - self.knee_low, other.median - self.median, other.knee_high - self.knee_high

    def jumps_to(self, other: _Curve, spans: float) -> bool:
        low, _, high = self.moves_to(other)
        return min(abs(low), abs(high)) > spans * self.span

    def shift_to(self, other: _Curve) -> float:
        """What both ends and the median move by in common; 0 where one of them stays or moves the other way."""
        moves = self.moves_to(other)
        nearest = min(moves, key=abs)
        return nearest if min(moves) > 0 or max(moves) < 0 else 0.0

    def levels(self, values: np.ndarray) -> np.ndarray:
        """The grey levels, 0..1, of some values in the unit of the frame."""
        return np.interp(
            values,
            (self.low, self.knee_low, self.knee_high, self.high),
            (0.0, self.level_low, self.level_high, 1.0),
        )

    def main(self) -> _Line:
        slope = (self.level_high - self.level_low) / self.span
        black = self.knee_low - self.level_low / slope
        return _Line(black, black + 1 / slope)


class ThermalNormalizer:
    """Maps the thermal frames of one camera to 8 bit and keeps the curve between them. Not thread-safe."""

    def __init__(self, config: NormalizationConfig | None = None) -> None:
        self._config = config or NormalizationConfig()
        self._curve: _Curve | None = None
        self._stamp_ns = 0

    @property
    def config(self) -> NormalizationConfig:
        return self._config

    def reconfigure(self, config: NormalizationConfig) -> None:
        """Use `config` from the next frame on. The range goes on from where it is."""
        self._config = config

    def normalize(self, pixels: np.ndarray, stamp_ns: int) -> np.ndarray:
        """Return `pixels`, HxW of an integer or float dtype with any row stride, as uint8 HxW.

        `stamp_ns` is the frame's stamp in nanoseconds. The same stamp again leaves the range as it is. An 8-bit frame
        in mode `percentile` is returned itself, not a copy, unless it is inverted or uses few levels. Infinities are
        white or black, NaN is mid-grey in mode `fixed` and as the median in the other.
        """
        if pixels.dtype == np.uint8 and self._config.black_hot:
            pixels = cv2.bitwise_not(pixels)
        if self._config.mode == "fixed":
            fixed = _fixed_line(self._config, pixels)
            return pixels if fixed is None else _to_8_bit(pixels, fixed, fixed.black + fixed.span / 2)
        ordered = _ordered_sample(pixels)
        if ordered.size == 0:  # no pixel is finite
            return np.full(pixels.shape, 128, np.uint8)
        target = _target_8_bit(ordered) if pixels.dtype == np.uint8 else self._target(pixels, ordered)
        self._curve = self._follow(target, ordered, stamp_ns)
        self._stamp_ns = stamp_ns
        if pixels.dtype == np.uint8 and self._curve == _AS_IT_IS:
            return pixels
        return _apply(self._curve, pixels)

    def _target(self, pixels: np.ndarray, ordered: np.ndarray) -> _Curve:
        """The curve of this frame alone."""
        low, high = self._config.low_percentile / 100, self._config.high_percentile / 100
        return _with_knees(ordered, low, high, self._narrowest_span(pixels, ordered))

    def _narrowest_span(self, pixels: np.ndarray, ordered: np.ndarray) -> float:
        kelvin = self._config.min_span
        if pixels.dtype.kind == "f":
            # Never under what float32 can tell apart: the range of a flat frame of huge values would be empty.
            digits = max(abs(float(ordered[0])), abs(float(ordered[-1]))) * 1e-6
            return max(kelvin, digits, _SPAN_OVER_NOISE * _noise(pixels))
        counts = kelvin / self._config.scale if self._config.scale else kelvin
        return max(counts, _SPAN_OVER_NOISE * max(_noise(pixels), _ROUNDING_NOISE))

    def _follow(self, target: _Curve, ordered: np.ndarray, stamp_ns: int) -> _Curve:
        elapsed_s = (stamp_ns - self._stamp_ns) * 1e-9
        if self._curve is None or elapsed_s < 0 or self._curve.jumps_to(target, self._config.reset_spans):
            return target
        if self._config.time_constant_s == 0:
            return target
        constants = elapsed_s / self._config.time_constant_s
        shift = self._curve.shift_to(target) * -math.expm1(-constants * _SHIFT_PACE)
        shifted = self._curve.shifted(shift)
        return shifted.mixed(target, -math.expm1(-constants * _pace(shifted, target, ordered)))


def _pace(curve: _Curve, target: _Curve, ordered: np.ndarray) -> float:
    """The share of the usual pace at which `curve` moves to `target`, 0..1."""
    scene = ordered[:: max(1, ordered.size // _QUANTILES)].astype(np.float64)
    if np.mean((scene < curve.low) | (scene > curve.high)) > _BEYOND_ENDS:
        return 1.0
    # a small step tells of the speed, for grey levels do not change in proportion to the curve's ends
    step = curve.mixed(target, _STEP).levels(scene) - curve.levels(scene)
    change = 255 * np.abs(step).mean() / _STEP
    return min(1.0, _LEVELS_PER_TIME_CONSTANT / change) if change else 1.0


def _with_knees(ordered: np.ndarray, low: float, high: float, narrowest: float) -> _Curve:
    """The curve of a sorted sample between its quantiles `low` and `high`, at least `narrowest` wide where straight.

    Of the straight curve and those with knees, the one whose straight part is steepest; a knee has a cost.
    """
    # Candidates by the share of the pixels beyond a knee, 0 for none: rows for the cold end, columns for the hot one.
    cold = np.array([0.0, *(share - low for share in _TAILS if share > low)])[:, None]
    hot = np.array([0.0, *(share - (1 - high) for share in _TAILS if share > 1 - high)])
    last = ordered.size - 1
    lows = ordered[np.rint((low + cold) * last).astype(int)].astype(np.float64)
    highs = ordered[np.rint((high - hot) * last).astype(int)].astype(np.float64)
    margins = np.maximum(narrowest - (highs - lows), 0.0) / 2
    lows, highs = lows - margins, highs + margins
    spans = highs - lows
    below, above = np.maximum(lows - lows[0, 0], 0.0), np.maximum(highs[0, 0] - highs, 0.0)
    levels_below, levels_above = _tail_levels(below, spans), _tail_levels(above, spans)
    levels = 1.0 + levels_below + levels_above
    scores = (1.0 - _KNEE_COST * (cold + hot)) / (levels * spans)
    best = np.unravel_index(np.argmax(scores), scores.shape)
    return _Curve(
        low=float((lows - below)[best]),
        knee_low=float(lows[best]),
        knee_high=float(highs[best]),
        high=float((highs + above)[best]),
        median=float(ordered[last // 2]),
        level_low=float((levels_below / levels)[best]),
        level_high=float((1.0 - levels_above / levels)[best]),
    )


def _tail_levels(lengths: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """The grey levels beyond knees, as multiples of those of the straight part, of `spans`."""
    shares = lengths / (lengths + spans)
    far_out = np.clip((shares - _TAIL_OF_A_SCENE) / (_TAIL_FAR_OUT - _TAIL_OF_A_SCENE), 0.0, 1.0)
    shares = np.minimum(shares, _TAIL_OF_A_SCENE + far_out * (_LEVELS_FAR_OUT - _TAIL_OF_A_SCENE))
    return shares / (1.0 - shares)


# The curve of an 8-bit frame that needs none.
_AS_IT_IS: Final = _Curve(0.0, 0.0, 255.0, 255.0, 127.5)


def _target_8_bit(ordered: np.ndarray) -> _Curve:
    low, high = (float(ordered[round(share * (ordered.size - 1))]) for share in (_STRAY_8_BIT, 1 - _STRAY_8_BIT))
    spread = min((_ENOUGH_LEVELS - (high - low)) / (_ENOUGH_LEVELS - _FEW_LEVELS), 1.0)
    if spread <= 0 or high - low < _FLAT_LEVELS:
        return _AS_IT_IS
    black = min(max((low + high - _FEW_LEVELS) / 2, 0.0), 255.0 - _FEW_LEVELS) if high - low < _FEW_LEVELS else low
    white = max(high, black + _FEW_LEVELS)
    return _AS_IT_IS.mixed(_Curve(black, black, white, white, (black + white) / 2), spread)


def _ordered_sample(pixels: np.ndarray) -> np.ndarray:
    """The finite ones of some of the pixels, sorted: one sort serves all ranks, and numpy.percentile interpolates."""
    stride = _stride(pixels)
    # float32 holds every 16-bit count, and sorts eight times as fast
    ordered = np.sort(pixels[::stride, ::stride].astype(np.float32), axis=None)
    return ordered if pixels.dtype.kind != "f" else ordered[np.isfinite(ordered)]


def _stride(pixels: np.ndarray) -> int:
    return max(1, math.isqrt(pixels.size // _SAMPLES))


def _noise(pixels: np.ndarray) -> float:
    """Standard deviation of the noise from pixel to pixel, as far as the scene's own texture lets it be told.

    From the second differences along pieces of some rows: a scene has smooth places, so the smoother pieces tell.
    """
    rows = pixels[:: 3 * _stride(pixels)].astype(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        bends = np.abs(rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:])
    pieces = bends.shape[1] // _PIECE_PX
    if pieces == 0:
        return 0.0
    means = bends[:, : pieces * _PIECE_PX].reshape(-1, _PIECE_PX).mean(axis=1)
    means = np.sort(means[np.isfinite(means)])
    return float(means[means.size // 5]) / _SMOOTH_PIECE if means.size else 0.0


def _fixed_line(config: NormalizationConfig, pixels: np.ndarray) -> _Line | None:
    """The line of mode `fixed` in the unit of a frame; None for an 8-bit frame that its bounds do not speak of."""
    low, high = config.fixed_low, config.fixed_high
    if pixels.dtype == np.uint8 and low > 254:
        return None
    if pixels.dtype.kind == "f" and high > _HIGHEST_DEGREES:
        ordered = _ordered_sample(pixels)
        celsius = ordered.size > 0 and ordered[ordered.size // 2] < _KELVIN_FROM
        low, high = (bound / 100 - (_ICE_K if celsius else 0.0) for bound in (low, high))
    return _Line(low, high)


def _apply(curve: _Curve, pixels: np.ndarray) -> np.ndarray:
    # Beyond a knee the curve is flatter: so it is the lower of two lines at the hot end, the higher at the cold one.
    shown = _to_8_bit(pixels, curve.main(), curve.median)
    if curve.level_high < 0.999 and curve.high > curve.knee_high:
        length = (curve.high - curve.knee_high) / (1 - curve.level_high)
        shown = cv2.min(shown, _to_8_bit(pixels, _Line(curve.high - length, curve.high), curve.median))
    if curve.level_low > 0.001 and curve.knee_low > curve.low:
        length = (curve.knee_low - curve.low) / curve.level_low
        shown = cv2.max(shown, _to_8_bit(pixels, _Line(curve.low, curve.low + length), curve.median))
    return shown


def _to_8_bit(pixels: np.ndarray, line: _Line, neutral: float) -> np.ndarray:
    """`neutral` is the value in whose place NaN is shown."""
    # Subtracting first keeps digits that gain * v + offset in float32 loses when values are far from 0. The
    # clip is for OpenCV's way to 8 bit through int32, where a far outlier would wrap around to black.
    above_black = np.subtract(pixels, np.float32(line.black), dtype=np.float32)
    if pixels.dtype.kind == "f":
        cv2.patchNaNs(above_black, neutral - line.black)
    np.clip(above_black, 0.0, np.float32(line.span), out=above_black)
    return cv2.convertScaleAbs(above_black, alpha=255.0 / line.span)
