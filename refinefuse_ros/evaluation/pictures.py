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

"""Which moments a report shows, and how they are encoded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import cv2
import numpy as np

from refinefuse_ros.evaluation.verdict import Picture
from refinefuse_ros.image.codec import encode_jpeg
from refinefuse_ros.image.frame import ImageSize

MOST_MOMENTS: Final = 40
_LONG_SIDE_PX: Final = 640
_JPEG_QUALITY: Final = 85


class Moments:
    """Chooses evenly spread pairs of a source whose length is known only about, at most MOST_MOMENTS of them.

    Args:
        expected: how many pairs there will be, as far as one can say.
    """

    def __init__(self, expected: int) -> None:
        self._stride = max(1, -(-expected // MOST_MOMENTS))

    def take(self, index: int) -> bool:
        """Whether the next pair, the one with this index, is a moment; when there are too many, it is every other."""
        while index >= MOST_MOMENTS * self._stride:
            self._stride *= 2
        return self.holds(index)

    def holds(self, index: int) -> bool:
        """Whether a pair that was taken still is a moment."""
        return index % self._stride == 0


def encode_moment(
    name: str, seconds: float | None, thermal: np.ndarray, rgb: np.ndarray, fused: Mapping[str, np.ndarray]
) -> Picture:
    """JPEG files of a pair's images, uint8 (H, W) grey or (H, W, 3) BGR, at most 640 pixels on the long side."""
    return Picture(name, seconds, _encode(thermal), _encode(rgb), {label: _encode(bgr) for label, bgr in fused.items()})


def _encode(pixels: np.ndarray) -> bytes:
    size = ImageSize.of(pixels)
    scale = _LONG_SIDE_PX / max(size)
    if scale < 1:
        smaller = (max(1, round(size.width * scale)), max(1, round(size.height * scale)))
        pixels = cv2.resize(pixels, smaller, interpolation=cv2.INTER_AREA)
    return encode_jpeg(pixels, _JPEG_QUALITY).tobytes()
