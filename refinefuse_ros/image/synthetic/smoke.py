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

"""A bank of smoke that drifts across the street: a wall to the RGB camera, a veil to the thermal one.

Smoke particles are small against the 8 to 14 micrometre waves of thermal cameras, which pass nearly unhindered.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from refinefuse_ros.image.synthetic.backdrop import COUNTS_PER_K
from refinefuse_ros.image.synthetic.lighting import irradiance, tone_map
from refinefuse_ros.image.synthetic.sprite import Picture
from refinefuse_ros.image.synthetic.texture import fractal_noise
from refinefuse_ros.image.synthetic.viewpoint import Viewpoint

_SIDE: Final = 256
# The smoke is soft: it is computed on a grid this much coarser than the picture.
_COARSENESS: Final = 3
_TILE_M: Final = 11.0
_OPACITY: Final = 0.95
_THERMAL_OPACITY: Final = 0.10
_KELVIN: Final = 287.6
# Heights at the bank's depth beyond which there is no smoke.
_TOP_M, _BOTTOM_M = 4.6, -0.9


class SmokeBank:
    """The bank stands in the plane z = Z_M and repeats seamlessly with its phase."""

    Z_M: Final = 9.6

    def __init__(self, view: Viewpoint, depth: np.ndarray, rng: np.random.Generator) -> None:
        """`depth` is `Backdrop.depth`: what stands before the smoke stays clear."""
        self._view = view
        _, top = view.project(0.0, _TOP_M, self.Z_M)
        _, bottom = view.project(0.0, _BOTTOM_M, self.Z_M)
        self._rows = slice(max(0, int(top)), min(view.size.height, int(bottom) + 1))
        across, up = view.rays()
        x, y = across * self.Z_M, view.height_m + up[self._rows] * self.Z_M
        self._light = tone_map(0.14 * irradiance(x, np.minimum(y, 4.0), self.Z_M) + 0.017).astype(np.uint8)
        self._size = (view.size.width, self._light.shape[0])
        coarse = (-(-self._size[0] // _COARSENESS), -(-self._size[1] // _COARSENESS))
        # The bank is some metres deep: it takes things in gradually.
        behind = np.clip((depth[self._rows] - self.Z_M + 2.4) / 3.0, 0.0, 1.0) ** 2
        self._behind = cv2.resize(behind.astype(np.float32), coarse, interpolation=cv2.INTER_AREA)
        self._x = cv2.resize(x, (coarse[0], 1), interpolation=cv2.INTER_AREA)
        y = cv2.resize(y, (1, coarse[1]), interpolation=cv2.INTER_AREA)
        self._profile = np.where(y > 1.2, np.exp(-(((y - 1.2) / 1.9) ** 2)), np.exp(-(((y - 1.2) / 2.4) ** 4)))
        self._relief_rows = max(1, view.size.height // (20 * _COARSENESS))
        self._billows = fractal_noise(rng, _SIDE, 1.75)
        self._wisps = fractal_noise(rng, _SIDE, 1.35)

    def draw(self, picture: Picture, phase: float) -> None:
        """Draw the bank, in place, at `phase` 0..1 of its cycle."""
        density, relief = self._density(phase)
        alpha = cv2.resize((density * 255).astype(np.uint8), self._size, interpolation=cv2.INTER_LINEAR)
        shade = np.clip(density * (0.82 + 0.20 * relief), 0.0, 1.0) * 255
        shade = cv2.resize(shade.astype(np.uint8), self._size, interpolation=cv2.INTER_LINEAR)
        bgr = picture.bgr[self._rows]
        cv2.multiply(bgr, cv2.cvtColor(255 - alpha, cv2.COLOR_GRAY2BGR), dst=bgr, scale=1 / 255)
        cv2.add(bgr, cv2.multiply(self._light, cv2.cvtColor(shade, cv2.COLOR_GRAY2BGR), scale=1 / 255), dst=bgr)
        counts = picture.counts[self._rows]
        veil = alpha.astype(np.float32) * np.float32(_THERMAL_OPACITY / 255)
        counts[:] = counts + veil * (np.float32(_KELVIN * COUNTS_PER_K) - counts)

    def transmittance(self, x: float, z: float, phase: float) -> float:
        """Return the share of light from depth z at x that comes through to the camera, roughly."""
        if z <= self.Z_M:
            return 1.0
        crossing = x * self.Z_M / z
        return float(1.0 - _OPACITY * self._extent(np.float32(crossing), phase))

    def _extent(self, x: np.ndarray | np.float32, phase: float) -> np.ndarray | np.float32:
        centre = -2.2 + 1.7 * np.sin(2 * np.pi * phase)
        return np.exp(-(np.abs((x - centre) / 3.1) ** 3.0))

    def _density(self, phase: float) -> tuple[np.ndarray, np.ndarray]:
        """Return opacity 0..1 and the billows' relief, about -1..1, float32 on the coarse grid."""
        billows = self._drifted(self._billows, phase, 1, 0)
        texture = billows + 0.7 * self._drifted(self._wisps, phase, 2, 1)
        extent = (self._extent(self._x, phase) * self._profile).astype(np.float32)
        density = np.clip(2.1 * extent + np.float32(0.26) * texture - np.float32(0.60), 0.0, _OPACITY)
        # Lit from above: what is denser than what lies over it is bright.
        relief = billows - np.roll(billows, self._relief_rows, axis=0)
        return density * self._behind, np.clip(relief, -1.0, 1.0)

    def _drifted(self, tile: np.ndarray, phase: float, laps_right: int, laps_up: int) -> np.ndarray:
        """Return the tile over the bank; a whole number of laps per cycle makes the cycle seamless."""
        step = _SIDE / _TILE_M * self.Z_M / self._view.focal_px * _COARSENESS
        shift = (-laps_right * phase * _SIDE, laps_up * phase * _SIDE)
        matrix = np.array([[step, 0.0, shift[0]], [0.0, step, shift[1]]])
        size = (self._behind.shape[1], self._behind.shape[0])
        return cv2.warpAffine(
            tile, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_WRAP
        )
