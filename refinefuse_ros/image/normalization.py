# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Thermal frames of any depth to the 8-bit plane that the network takes.

Every frame is mapped by round(255 * (v - low) / (high - low)), clipped to 0..255. In mode `fixed`, low and
high are given. In mode `percentile` they follow the scene:

1. The targets L and H are two percentiles of the frame. A range narrower than `min_span` is widened to it
   about its centre, so that the noise of a flat scene is not stretched to full contrast.
2. low += w (L - low), high += w (H - high) with w = 1 - exp(-dt / time_constant_s), where dt is the time
   between the stamps: a hot object that enters the picture changes the grey of everything else slowly, at the
   same pace for a 9 Hz and a 60 Hz camera.
3. low = L and high = H at once for the first frame, when a stamp is older than the last one (a looping bag),
   and when both ends have moved by more than `reset_spans` times the present span. That is a cut, a gain
   switch or a shutter correction; an object that enters moves one end only.

An 8-bit frame passes through mode `percentile` untouched: the camera has already chosen its range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

# The percentiles are taken of about this many pixels on a regular grid; 0.5 % of them are still 100 pixels.
_SAMPLES: Final = 20_000
# 32FC1 frames are in kelvin or degrees Celsius; a count of a radiometric integer frame is 0.01 K.
_COUNTS_PER_DEGREE: Final = 100.0


@dataclass(frozen=True)
class NormalizationConfig:
    """How the range of the thermal image is chosen; the module's docstring has the formula.

    Attributes:
        mode: `percentile` (the range follows the scene) or `fixed`.
        low_percentile: per cent of the pixels that may be darker than black, 0..100.
        high_percentile: per cent of the pixels up to white, 0..100, above `low_percentile`.
        time_constant_s: seconds for 63 % of a change of range; 0 follows every frame at once.
        min_span: narrowest range, in counts of an integer frame; a 32FC1 frame counts 100 per degree.
        reset_spans: jump of both ends, in spans, from which the range is reset at once.
        fixed_low: value shown as black in mode `fixed`, in the unit of the frame.
        fixed_high: value shown as white in mode `fixed`, in the unit of the frame.
    """

    mode: str = "percentile"
    low_percentile: float = 0.5
    high_percentile: float = 99.5
    time_constant_s: float = 2.0
    min_span: float = 100.0
    reset_spans: float = 0.5
    fixed_low: float = 27315.0
    fixed_high: float = 32315.0

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
        if not 1 <= self.min_span < math.inf:
            raise ValueError(f"min_span {self.min_span} is too narrow a range; choose at least 1 count.")
        if not 0 < self.reset_spans < math.inf:
            raise ValueError(f"reset_spans {self.reset_spans} is not a factor; choose a number above 0.")
        if not 0.01 <= self.fixed_high - self.fixed_low < math.inf:
            raise ValueError(
                f"fixed range {self.fixed_low} to {self.fixed_high} is empty; "
                "choose fixed_high at least 0.01 above fixed_low."
            )


@dataclass(frozen=True)
class _Range:
    low: float
    high: float

    @property
    def span(self) -> float:
        return self.high - self.low

    def widened_to(self, span: float) -> _Range:
        if self.span >= span:
            return self
        centre = (self.low + self.high) / 2
        return _Range(centre - span / 2, centre + span / 2)

    def moved_towards(self, target: _Range, weight: float) -> _Range:
        return _Range(self.low + weight * (target.low - self.low), self.high + weight * (target.high - self.high))

    def jumps_to(self, target: _Range, spans: float) -> bool:
        return min(abs(target.low - self.low), abs(target.high - self.high)) > spans * self.span


class ThermalNormalizer:
    """Maps the thermal frames of one camera to 8 bit and keeps the range between them. Not thread-safe."""

    def __init__(self, config: NormalizationConfig | None = None) -> None:
        self._config = config or NormalizationConfig()
        self._range: _Range | None = None
        self._stamp_ns = 0

    @property
    def config(self) -> NormalizationConfig:
        return self._config

    def reconfigure(self, config: NormalizationConfig) -> None:
        """Use `config` from the next frame on. The range goes on from where it is."""
        self._config = config

    def normalize(self, pixels: np.ndarray, stamp_ns: int) -> np.ndarray:
        """Return `pixels`, HxW of uint8, uint16 or finite float32 with any row stride, as uint8 HxW.

        `stamp_ns` is the frame's stamp in nanoseconds. The same stamp again leaves the range as it is. An
        8-bit frame in mode `percentile` is returned itself, not a copy.
        """
        if self._config.mode == "fixed":
            return _to_8_bit(pixels, _Range(self._config.fixed_low, self._config.fixed_high))
        if pixels.dtype == np.uint8:
            return pixels
        self._range = self._follow(self._target(pixels), stamp_ns)
        self._stamp_ns = stamp_ns
        return _to_8_bit(pixels, self._range)

    def _target(self, pixels: np.ndarray) -> _Range:
        stride = max(1, math.isqrt(pixels.size // _SAMPLES))
        # One sort serves both ranks and costs a fraction of numpy.percentile, which interpolates.
        ordered = np.sort(pixels[::stride, ::stride], axis=None)
        last = ordered.size - 1
        low = float(ordered[round(self._config.low_percentile / 100 * last)])
        high = float(ordered[round(self._config.high_percentile / 100 * last)])
        return _Range(low, high).widened_to(self._narrowest_span(pixels.dtype, (low + high) / 2))

    def _narrowest_span(self, dtype: np.dtype, centre: float) -> float:
        if dtype.kind != "f":
            return self._config.min_span
        # Never under what float32 can tell apart: the range of a flat frame of huge values would be empty.
        return max(self._config.min_span / _COUNTS_PER_DEGREE, abs(centre) * 1e-6)

    def _follow(self, target: _Range, stamp_ns: int) -> _Range:
        elapsed_s = (stamp_ns - self._stamp_ns) * 1e-9
        if self._range is None or elapsed_s < 0 or self._range.jumps_to(target, self._config.reset_spans):
            return target
        if self._config.time_constant_s == 0:
            return target
        return self._range.moved_towards(target, 1.0 - math.exp(-elapsed_s / self._config.time_constant_s))


def _to_8_bit(pixels: np.ndarray, shown: _Range) -> np.ndarray:
    # Subtracting first keeps digits that gain * v + offset in float32 loses when values are far from 0. The
    # clip is for OpenCV's way to 8 bit through int32, where a far outlier would wrap around to black.
    above_low = np.subtract(pixels, np.float32(shown.low), dtype=np.float32)
    np.clip(above_low, 0.0, np.float32(shown.span), out=above_low)
    return cv2.convertScaleAbs(above_low, alpha=255.0 / shown.span)
