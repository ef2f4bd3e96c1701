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

# Two pictures are told apart by these pixels alone, nearly always; only the same ones are compared whole. They are
# fewer than 500, from where on NumPy gives up the interpreter's lock in each of its steps: a worker that fuses would
# take it, and the frame would wait for milliseconds.
_SAMPLED_ROWS: Final = 15
_SAMPLED_COLUMNS: Final = 30
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
        self._sample: np.ndarray | None = None
        self._spreads: deque[float] = deque(maxlen=_SPREADS_KEPT)

    def look(self, pixels: np.ndarray) -> Sight:
        """Compare a picture with those before it.

        Args:
            pixels: (H, W) or (H, W, C), of any depth; must not be written to afterwards.

        Returns:
            Whether it is the last one again, and whether its standard deviation is under a twentieth of the usual one
            (never before a few pictures that were not flat).
        """
        sample = _sample(pixels)
        repeated = self._last is not None and np.array_equal(self._sample, sample) and _same(self._last, pixels)
        self._last, self._sample = pixels, sample
        return Sight(repeated, self._knows_flat and self._is_flat(sample))

    def _is_flat(self, sample: np.ndarray) -> bool:
        spread = _spread(sample)
        if not math.isfinite(spread):  # of numbers that no camera measures; it would stand above all others for long
            return False
        if len(self._spreads) >= _SPREADS_NEEDED and spread < _FLAT_SHARE * median(self._spreads):
            return True
        self._spreads.append(spread)
        return False


def _sample(pixels: np.ndarray) -> np.ndarray:
    """Some pixels from all over a picture, copied together; of colours one channel."""
    if pixels.ndim == 3:
        pixels = pixels[..., 1 % pixels.shape[2]]
    height, width = pixels.shape
    return pixels[:: max(height // _SAMPLED_ROWS, 1), :: max(width // _SAMPLED_COLUMNS, 1)].copy()


def _spread(sample: np.ndarray) -> float:
    """Standard deviation of what is finite."""
    if sample.dtype.kind != "f":
        return float(sample.std())
    with np.errstate(over="ignore", invalid="ignore"):
        sample = sample.astype(np.float32)
        sample = sample[np.isfinite(sample)]
        return float(sample.std()) if sample.size else 0.0


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and np.array_equal(one, other)
