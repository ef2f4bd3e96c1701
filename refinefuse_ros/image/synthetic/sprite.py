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

"""Upright cut-outs that are placed in both pictures at once, and the pictures they are placed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from refinefuse_ros.image.synthetic.backdrop import AIR_K, COUNTS_PER_K
from refinefuse_ros.image.synthetic.viewpoint import Viewpoint

# Thermal sprites are kept relative to this, which makes them small numbers: soft edges stay exact in 16 bit.
_BASE_COUNTS: Final = np.float32(AIR_K * COUNTS_PER_K)
# Feet stand on the ground whose depth is their own.
_TOLERANCE_M: Final = 0.3


@dataclass(frozen=True)
class Picture:
    """The two pictures of one moment while they are drawn, farthest things first.

    Attributes:
        bgr: (H, W, 3) uint8.
        counts: (H, W) uint16, hundredths of a kelvin.
        depth: (H, W) float32, metres to what stands still; nothing farther is drawn over it.
    """

    bgr: np.ndarray
    counts: np.ndarray
    depth: np.ndarray


@dataclass(frozen=True)
class _Level:
    """A sprite at one resolution, premultiplied by its opacity.

    Attributes:
        bgra: (h, w, 4) uint8.
        counts: (h, w) int16, above `_BASE_COUNTS`.
        pixels_per_m: its resolution across and up.
    """

    bgra: np.ndarray
    counts: np.ndarray
    pixels_per_m: tuple[float, float]


class Sprite:
    """A flat, upright picture that faces the camera, placed with sub-pixel precision at several resolutions."""

    def __init__(self, bgr: np.ndarray, kelvin: np.ndarray, opacity: np.ndarray, pixels_per_m: float) -> None:
        """The middle of the lower edge is the point that `place` puts on the ground.

        Args:
            bgr: (h, w, 3) 0..255, in the light that `place` calls 1.
            kelvin: (h, w) temperature.
            opacity: (h, w) 0..1.
            pixels_per_m: resolution of the three.
        """
        rows, columns = (np.flatnonzero(opacity.max(axis=axis)) for axis in (1, 0))
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        height, width = opacity.shape
        self._left_m = (columns[0] - width / 2) / pixels_per_m
        self._right_m = (columns[-1] + 1 - width / 2) / pixels_per_m
        self._top_m = (height - rows[0]) / pixels_per_m
        self._bottom_m = (height - rows[-1] - 1) / pixels_per_m
        alpha = opacity[part].astype(np.float32)
        bgra = np.dstack([bgr[part] * alpha[..., None], 255.0 * alpha]).astype(np.float32)
        counts = (alpha * (kelvin[part] * COUNTS_PER_K - _BASE_COUNTS)).astype(np.float32)
        self._levels = [self._level(bgra, counts)]
        while min(bgra.shape[:2]) >= 16:
            smaller = (bgra.shape[1] // 2, bgra.shape[0] // 2)
            bgra = cv2.resize(bgra, smaller, interpolation=cv2.INTER_AREA)
            counts = cv2.resize(counts, smaller, interpolation=cv2.INTER_AREA)
            self._levels.append(self._level(bgra, counts))

    def _level(self, bgra: np.ndarray, counts: np.ndarray) -> _Level:
        height, width = counts.shape
        pixels_per_m = (width / (self._right_m - self._left_m), height / (self._top_m - self._bottom_m))
        return _Level(np.clip(bgra.round(), 0, 255).astype(np.uint8), counts.round().astype(np.int16), pixels_per_m)

    def place(self, picture: Picture, view: Viewpoint, x: float, z: float, light: np.ndarray) -> None:
        """Draw the sprite standing at (x, 0, z) in `light`, a BGR factor on its colours."""
        left, top = view.project(x + self._left_m, self._top_m, z)
        right, bottom = view.project(x + self._right_m, self._bottom_m, z)
        rows, columns = _clipped(top, bottom, view.size.height), _clipped(left, right, view.size.width)
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return
        bgra, counts = self._warped(view.focal_px / z, left, top, rows, columns)
        in_sight = cv2.compare(picture.depth[rows, columns], z - _TOLERANCE_M, cv2.CMP_GT)
        bgra = cv2.bitwise_and(bgra, bgra, mask=in_sight)
        alpha = cv2.extractChannel(bgra, 3)
        lit = cv2.multiply(cv2.cvtColor(bgra, cv2.COLOR_BGRA2BGR), (*light.tolist(), 0.0))
        bgr = picture.bgr[rows, columns]
        bgr[:] = cv2.add(cv2.multiply(bgr, cv2.cvtColor(255 - alpha, cv2.COLOR_GRAY2BGR), scale=1 / 255), lit)
        thermal = picture.counts[rows, columns]
        covered = alpha * np.float32(1 / 255) * (thermal - _BASE_COUNTS)
        thermal[:] = thermal - covered + counts * (in_sight > 0) + np.float32(0.5)

    def _warped(
        self, pixels_per_m: float, left: float, top: float, rows: slice, columns: slice
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the sprite's BGRA and counts on the picture's pixels."""
        # The coarsest level that is not enlarged, or the finest.
        fine_enough = [level for level in self._levels if level.pixels_per_m[1] >= pixels_per_m]
        level = fine_enough[-1] if fine_enough else self._levels[0]
        zoom_x, zoom_y = pixels_per_m / level.pixels_per_m[0], pixels_per_m / level.pixels_per_m[1]
        # Pixel centres: a level's left edge is at its column -0.5.
        shift_x, shift_y = left + 0.5 * zoom_x - columns.start, top + 0.5 * zoom_y - rows.start
        matrix = np.array([[zoom_x, 0.0, shift_x], [0.0, zoom_y, shift_y]])
        size = (columns.stop - columns.start, rows.stop - rows.start)
        return cv2.warpAffine(level.bgra, matrix, size), cv2.warpAffine(level.counts, matrix, size)


def _clipped(first: float, last: float, length: int) -> slice:
    return slice(max(0, int(np.floor(first))), min(length, int(np.ceil(last)) + 1))
