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

"""Less flicker: noise is averaged over a few frames wherever the scene stands still."""

from __future__ import annotations

from collections import deque
from typing import Final

import cv2
import numpy as np

STEADY_FRAMES: Final = 4
"""How many frames are averaged at most: an output depends on so many fused planes, its own counted in."""

_STILL_LEVELS: Final = 2
_FACTORS: Final = tuple(12 // frames for frames in range(1, STEADY_FRAMES + 1))


def still_pixels(before: tuple[np.ndarray, np.ndarray], now: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """255 where neither of two sources changed by more than 2 grey levels, else 0; all planes are uint8 (H, W)."""
    change = cv2.max(*(cv2.absdiff(plane, earlier) for plane, earlier in zip(now, before, strict=True)))
    return cv2.compare(change, _STILL_LEVELS, cv2.CMP_LE)


class Steadier:
    """Averages the fused planes of one stream over time, pixel by pixel, as long as neither source changes.

    A fused image keeps the stronger source's finest texture at every pixel, and with it that source's noise. The output
    at a pixel is the mean of its last fused values, at most four, back to the last frame in which one of the sources
    changed by more than 2 grey levels there. So nothing that moves is smeared, and a change that is slower than 2
    levels a frame lags by a frame and a half at most.

    Not thread-safe: it belongs to one stream.
    """

    def __init__(self) -> None:
        self._sources: tuple[np.ndarray, np.ndarray] | None = None
        self._fused: deque[np.ndarray] = deque(maxlen=STEADY_FRAMES - 1)  # the newest first
        self._still = np.zeros((0, 0), np.uint8)  # for how many frames each pixel has stood still, at most three

    def steady(self, thermal: np.ndarray, visible: np.ndarray, fused: np.ndarray) -> np.ndarray:
        """The steadied fused plane.

        Args:
            thermal, visible: uint8 (H, W), the planes that the network fused; they must not be written to later.
            fused: uint8 (H, W), what it made of them; an engine's own buffer will do, for it is copied.

        Returns:
            uint8 (H, W); `fused` itself for the first frame and after a change of size.
        """
        if self._sources is None or self._sources[0].shape != fused.shape:
            self._fused.clear()
            self._still = np.zeros(fused.shape, np.uint8)
            steadied = fused
        else:
            self._count_still((thermal, visible))
            steadied = self._mean(fused)
        self._sources = thermal, visible
        self._fused.appendleft(fused.copy())
        return steadied

    def restart(self) -> None:
        """What comes now is another stream."""
        self._sources = None

    def _count_still(self, sources: tuple[np.ndarray, np.ndarray]) -> None:
        longer = cv2.min(cv2.add(self._still, 1), STEADY_FRAMES - 1)
        self._still = cv2.bitwise_and(longer, still_pixels(self._sources, sources))

    def _mean(self, fused: np.ndarray) -> np.ndarray:
        # Sums of n planes are brought to twelfths of a level by the factor 12 / n: 12, 6, 4, 3. All of this is a third
        # of a millisecond for 640x480; a masked addition or a division of planes alone would be as much.
        total = fused.astype(np.uint16)
        factor = np.full_like(fused, _FACTORS[0])
        for age, plane in enumerate(self._fused, start=1):
            counts = cv2.compare(self._still, age, cv2.CMP_GE)
            np.add(total, cv2.bitwise_and(plane, counts), out=total)
            cv2.subtract(factor, cv2.bitwise_and(counts, _FACTORS[age - 1] - _FACTORS[age]), factor)
        return cv2.convertScaleAbs(np.multiply(total, factor, out=total), alpha=1 / _FACTORS[0])
