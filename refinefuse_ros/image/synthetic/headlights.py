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

"""An approaching car's headlights, as the RGB camera suffers them: light on the road, its reflection, and glare."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from refinefuse_ros.image.synthetic.viewpoint import Viewpoint

# Metres from the car's middle and above the ground.
_LAMP_X, _LAMP_Y = 0.66, 0.68
_BEAM_WIDTH_M, _BEAM_LENGTH_M = 14.0, 42.0
_BEAM_SIZE: Final = (112, 252)
_GLARE_SIDE: Final = 256
# Glare of one lamp reaches this share of the picture's width when the lamp is 10 m away.
_GLARE_REACH: Final = 0.50


class Headlights:
    """Draws the light of two dipped headlights that shine along the road towards the camera."""

    def __init__(self, view: Viewpoint, ground: np.ndarray) -> None:
        """`ground` is `Backdrop.ground`: what the ground sends back of the light on it."""
        self._view = view
        self._horizon = int(np.ceil(view.centre[1])) + 1
        self._ground = ground[self._horizon :]
        self._beam = _beam_pattern()
        self._glare = _glare_pattern()
        self._reflection = (self._glare * 0.22).astype(np.uint8)

    def light_road(self, bgr: np.ndarray, x: float, z: float) -> None:
        """Add the light on the road, in place, before anything that stands on it is drawn."""
        view, (columns, rows) = self._view, _BEAM_SIZE
        # The pattern lies on the ground: pattern pixel -> (x, z, 1) -> homogeneous picture pixel, at half resolution.
        lay = np.array(
            [
                [_BEAM_WIDTH_M / columns, 0.0, x - _BEAM_WIDTH_M / 2],
                [0.0, -_BEAM_LENGTH_M / rows, z],
                [0.0, 0.0, 1.0],
            ]
        )
        column, row = view.centre
        see = np.array(
            [
                [view.focal_px, column, 0.0],
                [0.0, row - self._horizon, view.focal_px * view.height_m],
                [0.0, 1.0, 0.0],
            ]
        )
        halve = np.array([[0.5, 0.0, -0.25], [0.0, 0.5, -0.25], [0.0, 0.0, 1.0]])
        below = bgr[self._horizon :]
        size = ((below.shape[1] + 1) // 2, (below.shape[0] + 1) // 2)
        beam = cv2.warpPerspective(self._beam, halve @ see @ lay, size)
        beam = cv2.resize(beam, (below.shape[1], below.shape[0]), interpolation=cv2.INTER_LINEAR)
        lit = cv2.multiply(self._ground, cv2.cvtColor(beam, cv2.COLOR_GRAY2BGR), scale=1 / 255)
        cv2.add(below, lit, dst=below)

    def dazzle(self, bgr: np.ndarray, x: float, z: float, strength: float) -> None:
        """Add both lamps' glare, in place, over everything: it arises in the lens. `strength` is 0..1."""
        # Dipped beams are narrow: seen from the side they dazzle less.
        off_axis = np.arctan2(abs(x), z) / np.radians(24)
        reach = _GLARE_REACH * (10.0 / (z + 2.0)) ** 0.6 * np.exp(-(off_axis**2)) * strength
        radius = reach * self._view.size.width
        if radius < 1.0:
            return
        for side in (-_LAMP_X, _LAMP_X):
            column, row = self._view.project(x + side, _LAMP_Y, z)
            _add_scaled(bgr, self._glare, column, row, radius, radius)
            column, row = self._view.project(x + side, -2.2 * _LAMP_Y, z)
            _add_scaled(bgr, self._reflection, column, row, 0.35 * radius, 1.1 * radius)


def _add_scaled(
    bgr: np.ndarray, pattern: np.ndarray, column: float, row: float, half_width: float, half_height: float
) -> None:
    """Add `pattern`, stretched to the given half sides and centred at (column, row), to `bgr` in place."""
    left, right = max(0, int(column - half_width)), min(bgr.shape[1], int(column + half_width) + 1)
    top, bottom = max(0, int(row - half_height)), min(bgr.shape[0], int(row + half_height) + 1)
    if left >= right or top >= bottom:
        return
    # At half resolution: glare is soft.
    size = ((right - left + 1) // 2, (bottom - top + 1) // 2)
    middle = (_GLARE_SIDE - 1) / 2
    zoom_x, zoom_y = half_width / middle, half_height / middle
    shift_x, shift_y = column - left - middle * zoom_x, row - top - middle * zoom_y
    matrix = 0.5 * np.array([[zoom_x, 0.0, shift_x - 0.5], [0.0, zoom_y, shift_y - 0.5]])
    glare = cv2.resize(cv2.warpAffine(pattern, matrix, size), (right - left, bottom - top))
    part = bgr[top:bottom, left:right]
    cv2.add(part, glare, dst=part)


def _beam_pattern() -> np.ndarray:
    """Return the light on the ground seen from above, uint8; row 0 is at the car, columns run across."""
    columns, rows = _BEAM_SIZE
    across = (np.arange(columns) + 0.5) / columns * _BEAM_WIDTH_M - _BEAM_WIDTH_M / 2
    ahead = ((np.arange(rows) + 0.5) / rows * _BEAM_LENGTH_M)[:, None]
    spread = 0.5 + 0.11 * ahead
    lobes = sum(np.exp(-(((across - side) / spread) ** 2)) for side in (-_LAMP_X, _LAMP_X))
    along = np.clip((ahead - 0.8) / 3.0, 0, 1) * np.exp(-ahead / 13.0) * np.clip((_BEAM_LENGTH_M - ahead) / 10, 0, 1)
    return np.clip(255 * 0.9 * lobes * along, 0, 255).astype(np.uint8)


def _glare_pattern() -> np.ndarray:
    """Return one lamp's glare, (side, side, 3) uint8: a saturated core, a halo and a faint star."""
    position = np.linspace(-1, 1, _GLARE_SIDE)
    x, y = np.meshgrid(position, position)
    radius = np.hypot(x, y)
    rim = np.clip(1 - radius, 0, 1)
    core = 9.0 * np.exp(-((radius / 0.045) ** 2))
    halo = 0.030 / (radius**2 + 0.010) * rim**1.5
    star = np.zeros_like(radius)
    for angle in np.radians((12, 72, 132)):
        off_ray = np.abs(-x * np.sin(angle) + y * np.cos(angle))
        star += 0.30 * np.exp(-off_ray / 0.010) * np.exp(-radius / 0.22) * rim
    tint = np.array([0.95, 0.97, 1.0])
    light = (core + halo + star)[..., None] * np.where(core[..., None] > 1, 1.0, tint)
    return (255 * (1 - np.exp(-light))).round().astype(np.uint8)
