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

"""Whether a camera's picture is the one before it, to the last bit, and whether it has lost its contrast."""

from __future__ import annotations

import math
from collections import deque
from statistics import median
from typing import Final, NamedTuple

import numpy as np

# Two pictures are told apart by these rows alone, nearly always; only the same ones are compared whole.
_ROW_STEP: Final = 16
_PIXEL_STEP: Final = 8
# A closed shutter leaves the sensor's noise of a scene's contrast; a scene that is merely dull leaves more.
_FLAT_SHARE: Final = 0.05
_SPREADS_KEPT: Final = 31
_SPREADS_NEEDED: Final = 5


class Sight(NamedTuple):
    """What one picture is beside those before it."""

    repeated: bool
    flat: bool


class PictureMemory:
    """Remembers a camera's last picture, and how much contrast its pictures usually have. Not thread-safe.

    Args:
        knows_flat: whether its pictures have some contrast whenever they show anything, as a thermal camera's have; an
            RGB camera's at night may not, and are never called flat.
    """

    def __init__(self, knows_flat: bool) -> None:
        self._knows_flat = knows_flat
        self._last: np.ndarray | None = None
        self._spreads: deque[float] = deque(maxlen=_SPREADS_KEPT)

    def look(self, pixels: np.ndarray) -> Sight:
        """Compare a picture with those before it.

        Args:
            pixels: (H, W) or (H, W, C), of any depth; must not be written to afterwards.

        Returns:
            Whether it is the last one again, and whether its standard deviation is under a twentieth of the usual one
            (never before a few pictures that were not flat).
        """
        repeated = self._last is not None and _same(self._last, pixels)
        self._last = pixels
        return Sight(repeated, self._knows_flat and self._is_flat(pixels))

    def _is_flat(self, pixels: np.ndarray) -> bool:
        with np.errstate(over="ignore"):
            sample = pixels[::_PIXEL_STEP, ::_PIXEL_STEP].astype(np.float32)
        sample = sample[np.isfinite(sample)]
        with np.errstate(over="ignore", invalid="ignore"):
            spread = float(sample.std()) if sample.size else 0.0
        if not math.isfinite(spread):  # of numbers that no camera measures; it would stand above all others for long
            return False
        if len(self._spreads) >= _SPREADS_NEEDED and spread < _FLAT_SHARE * median(self._spreads):
            return True
        self._spreads.append(spread)
        return False


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return np.array_equal(one[::_ROW_STEP], other[::_ROW_STEP]) and np.array_equal(one, other)
