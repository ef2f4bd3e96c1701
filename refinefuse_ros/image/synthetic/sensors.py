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

"""What the two cameras add to the scene: the thermal lens's blur, grain, a microbolometer's column pattern."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.synthetic.sprite import Picture

# Tiles are this much larger than the picture and are shifted from frame to frame.
_MARGIN: Final = 96
_THERMAL_BLUR_PX: Final = 0.6
_THERMAL_COUNTS, _COLUMN_COUNTS, _RGB_LEVELS = 4.0, 2.5, 2.3


class Sensors:
    """Takes precomputed noise at a new random offset in each frame: drawing it would cost more than the scene."""

    def __init__(self, size: ImageSize, rng: np.random.Generator) -> None:
        self._size = size
        shape = (size.height + _MARGIN, size.width + _MARGIN)
        # Unsigned pictures take a signed noise as what is added and what is subtracted.
        self._thermal = _split(rng.normal(0.0, _THERMAL_COUNTS, shape), np.uint16)
        self._rgb = _split(rng.normal(0.0, _RGB_LEVELS, (*shape, 3)), np.uint8)
        columns = np.broadcast_to(rng.normal(0.0, _COLUMN_COUNTS, size.width), (size.height, size.width))
        self._columns = _split(columns, np.uint16)

    def expose(self, picture: Picture, rng: np.random.Generator) -> None:
        """Turn the ideal pictures of one frame into the cameras', in place."""
        cv2.GaussianBlur(picture.counts, (3, 3), _THERMAL_BLUR_PX, dst=picture.counts)
        for image, tiles in ((picture.counts, self._thermal), (picture.bgr, self._rgb)):
            top, left = rng.integers(0, _MARGIN, 2)
            _apply(image, [tile[top:, left:][: self._size.height, : self._size.width] for tile in tiles])
        _apply(picture.counts, self._columns)


def _split(noise: np.ndarray, dtype: type[np.unsignedinteger]) -> list[np.ndarray]:
    rounded = np.round(noise)
    return [np.maximum(rounded, 0).astype(dtype), np.maximum(-rounded, 0).astype(dtype)]


def _apply(image: np.ndarray, split_noise: list[np.ndarray]) -> None:
    cv2.add(image, split_noise[0], dst=image)
    cv2.subtract(image, split_noise[1], dst=image)
