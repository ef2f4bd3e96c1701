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

"""What stands still in the synthetic scene: a street at night, seen by an RGB and a thermal camera at one place.

Everything is ray-cast from one geometry, so the two pictures agree pixel by pixel. The visible picture is linear
radiance under street lamps, bloomed and tone-mapped like a camera that saturates; the thermal one is temperature.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.synthetic.lighting import LAMPS, StreetLamp, irradiance, tone_map
from refinefuse_ros.image.synthetic.texture import fractal_noise, sample_wrapped
from refinefuse_ros.image.synthetic.viewpoint import Viewpoint

# Drawn this many times larger in each direction, then averaged: no staircases on edges and far road markings.
_SUPERSAMPLING: Final = 2
_TEXTURE_SIDE: Final = 512

AIR_K: Final = 285.5
COUNTS_PER_K: Final = 100.0

# The street's cross-section, left to right: facade, pavement, road, parking lane, pavement, grass, hedge.
_FACADE_X: Final = -9.5
_ROAD_LEFT_X: Final = -5.2
_ROAD_MIDDLE_X: Final = -1.7
_ROAD_RIGHT_X: Final = 1.8
_KERB_X: Final = 4.1
_GRASS_X: Final = 6.6
_HEDGE_X: Final = 8.6
_CROSSING_Z: Final = (10.2, 13.0)
_SKYLINE_Z: Final = 110.0


@dataclass(frozen=True)
class Backdrop:
    """The still pictures and what moving things need to stand in them.

    Attributes:
        bgr: (H, W, 3) uint8, the visible picture.
        counts: (H, W) uint16, the thermal picture in hundredths of a kelvin.
        depth: (H, W) float32, metres along z to the first surface; inf in the sky.
        ground: (H, W, 3) uint8, how much of a light on it the ground sends back; 0 where no ground is seen.
    """

    bgr: np.ndarray
    counts: np.ndarray
    depth: np.ndarray
    ground: np.ndarray


def render_backdrop(view: Viewpoint, rng: np.random.Generator) -> Backdrop:
    """Draw the street of one `rng`, which chooses lit windows, trees and surface textures."""
    canvas = _Canvas(view.enlarged(_SUPERSAMPLING), rng)
    _draw_sky(canvas)
    _draw_skyline(canvas)
    _draw_ground(canvas)
    _draw_facade(canvas, _FACADE_X, (5.0, 24.0), 10.4, lit_share=0.10)
    _draw_facade(canvas, _FACADE_X - 0.6, (27.0, 70.0), 13.2, lit_share=0.16)
    _draw_facade(canvas, 15.0, (24.0, 80.0), 11.0, lit_share=0.12)
    _draw_hedge(canvas)
    for lamp in sorted(LAMPS, key=lambda lamp: -lamp.z):
        _draw_lamp(canvas, lamp)
    for x, z, radius in ((7.0, 44.0, 2.6), (-7.6, 36.0, 1.9), (6.9, 27.0, 2.7), (7.1, 15.5, 2.5)):
        _draw_tree(canvas, x, z, radius)
    return canvas.developed(view.size)


class _Canvas:
    """The supersampled picture under construction; whatever is nearer covers what is there."""

    def __init__(self, view: Viewpoint, rng: np.random.Generator) -> None:
        shape = (view.size.height, view.size.width)
        self.view = view
        self.rng = rng
        self.origin = (0, 0)
        self.across, self.up = view.rays()
        self.radiance = np.zeros((*shape, 3), np.float32)
        self.kelvin = np.full(shape, AIR_K, np.float32)
        self.depth = np.full(shape, np.inf, np.float32)
        self.ground = np.zeros((*shape, 3), np.float32)
        self.fine = fractal_noise(rng, _TEXTURE_SIDE, 0.7)
        self.coarse = fractal_noise(rng, _TEXTURE_SIDE, 1.6)

    def part(self, corners: list[tuple[float, float]]) -> _Canvas:
        """Return the bounding box of (column, row) corners as a canvas that draws into this one."""
        width, height = self.view.size.width, self.view.size.height
        left, top = np.clip(np.floor(np.min(corners, axis=0)).astype(int) - 2, 0, (width - 1, height - 1))
        right, bottom = np.clip(np.ceil(np.max(corners, axis=0)).astype(int) + 3, 1, (width, height))
        part = copy(self)
        part.origin = (left, top)
        part.across, part.up = self.across[:, left:right], self.up[top:bottom]
        for name in ("radiance", "kelvin", "depth", "ground"):
            setattr(part, name, getattr(self, name)[top:bottom, left:right])
        return part

    def cover(self, where: np.ndarray, radiance: np.ndarray, kelvin: np.ndarray, depth: np.ndarray) -> None:
        """Replace the pixels of the bool mask `where` that lie nearer than what is drawn there."""
        nearer = where & (depth < self.depth)
        np.copyto(self.radiance, radiance, where=nearer[..., None])
        np.copyto(self.kelvin, kelvin, where=nearer)
        np.copyto(self.depth, depth, where=nearer)
        self.ground[nearer] = 0.0

    def polygon(self, corners: list[tuple[float, float]]) -> np.ndarray:
        """Return the bool mask of a polygon of (column, row) corners."""
        mask = np.zeros(self.depth.shape, np.uint8)
        cv2.fillPoly(mask, [np.round(np.subtract(corners, self.origin)).astype(np.int32)], 1)
        return mask.astype(bool)

    def developed(self, size: ImageSize) -> Backdrop:
        """Return the picture averaged down to `size` and as the cameras show it."""
        to_size = (size.width, size.height)
        radiance = cv2.resize(self.radiance, to_size, interpolation=cv2.INTER_AREA)
        kelvin = cv2.resize(self.kelvin, to_size, interpolation=cv2.INTER_AREA)
        # The air between takes some of the warmth.
        depth = self.depth[::_SUPERSAMPLING, ::_SUPERSAMPLING].copy()
        seen = np.where(np.isinf(depth), 1.0, np.exp(-depth / 400.0))
        kelvin = AIR_K + (kelvin - AIR_K) * seen
        return Backdrop(
            bgr=tone_map(_bloomed(radiance)).round().astype(np.uint8),
            counts=(kelvin * COUNTS_PER_K).round().astype(np.uint16),
            depth=depth,
            ground=cv2.resize(self.ground, to_size, interpolation=cv2.INTER_AREA).round().astype(np.uint8),
        )


def _bloomed(radiance: np.ndarray) -> np.ndarray:
    """Spread bright light as lenses do: a narrow and a wide halo."""
    width = radiance.shape[1]
    narrow = cv2.GaussianBlur(radiance, (0, 0), width / 250)
    wide = cv2.GaussianBlur(radiance, (0, 0), width / 45)
    return 0.86 * radiance + 0.09 * narrow + 0.05 * wide


def _draw_sky(canvas: _Canvas) -> None:
    elevation = np.maximum(canvas.up, 0.0)
    clouds = sample_wrapped(canvas.coarse, canvas.across * 260, canvas.up * 700)
    glow = np.exp(-elevation / 0.10)[..., None] * np.array([0.006, 0.009, 0.013], np.float32)
    base = np.array([0.0042, 0.0028, 0.0022], np.float32)
    canvas.radiance[:] = (base + glow) * (1.0 + 0.22 * clouds[..., None])
    # Overcast: a column of air and cloud, colder the steeper one looks up.
    canvas.kelvin[:] = 279.5 + 4.5 * np.exp(-elevation / 0.10) + 0.6 * clouds


def _draw_skyline(canvas: _Canvas) -> None:
    x = canvas.across * _SKYLINE_Z
    y = canvas.view.height_m + canvas.up * _SKYLINE_Z
    cell = np.floor(x / 11.0).astype(int) + 8
    height = canvas.rng.uniform(7.0, 21.0, 17)[np.clip(cell, 0, 16)]
    window, lit = _windows(canvas, x, y, pitch_m=3.0, storey_m=3.3, lit_share=0.13)
    radiance = np.where(
        (window & lit)[..., None], np.array([0.10, 0.20, 0.26]), np.array([0.0016, 0.0014, 0.0012])
    ).astype(np.float32)
    kelvin = np.where(window, 284.0, 285.6) + 0.2 * sample_wrapped(canvas.fine, x * 20, y * 20)
    canvas.cover((y >= 0) & (y <= height), radiance, kelvin, np.full(kelvin.shape, _SKYLINE_Z, np.float32))


def _windows(
    canvas: _Canvas, along: np.ndarray, y: np.ndarray, pitch_m: float, storey_m: float, lit_share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return where a wall has windows and, over the whole wall, which window cells are lit."""
    column, row = np.floor(along / pitch_m).astype(int), np.floor(y / storey_m).astype(int)
    across_cell, up_cell = along / pitch_m - column, y / storey_m - row
    window = (np.abs(across_cell - 0.5) < 0.22) & (np.abs(up_cell - 0.56) < 0.25) & (row >= 0)
    cells = canvas.rng.random((64, 32)) < lit_share
    return window, cells[column % 64, row % 32]


def _draw_ground(canvas: _Canvas) -> None:
    width, height = canvas.view.size.width, canvas.view.size.height
    canvas = canvas.part([(0, np.ceil(canvas.view.centre[1]) + 2), (width, height)])
    z = canvas.view.height_m / -canvas.up
    x = canvas.across * z
    z = np.broadcast_to(z, x.shape)
    # Texture fades where it becomes finer than a pixel.
    fine = sample_wrapped(canvas.fine, x * 24, z * 24) / (1.0 + (z / 9.0) ** 2)
    coarse = sample_wrapped(canvas.coarse, x * 6, z * 6) / (1.0 + (z / 60.0) ** 2)
    albedo, kelvin = _ground_materials(x, z, fine, coarse)
    light = irradiance(x, 0.0, z)
    canvas.cover(z < np.inf, albedo * light + _wet_gloss(canvas, x, z, coarse), kelvin, z)
    canvas.ground[:] = np.clip(470.0 * albedo**0.6, 0, 255)


def _ground_materials(
    x: np.ndarray, z: np.ndarray, fine: np.ndarray, coarse: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return albedo, BGR, and temperature of the ground at each point."""
    road = (x > _ROAD_LEFT_X) & (x < _KERB_X)
    kerb = (np.abs(x - _ROAD_LEFT_X) < 0.13) | (np.abs(x - _KERB_X) < 0.13)
    grass = (x > _GRASS_X) & (x < _HEDGE_X + 6)
    slab = np.minimum(np.mod(x, 0.9), np.mod(z, 0.9)) < 0.05
    middle = (np.abs(x - _ROAD_MIDDLE_X) < 0.08) & (np.mod(z - 1.0, 7.0) < 3.2) & (z > 15.5)
    parking = (np.abs(x - _ROAD_RIGHT_X) < 0.06) & (np.mod(z, 1.0) < 0.55) & (z > 13.6)
    stripes = (z > _CROSSING_Z[0]) & (z < _CROSSING_Z[1]) & (np.mod(x - _ROAD_LEFT_X - 0.35, 1.1) < 0.5)
    stop_line = (np.abs(z - 14.0) < 0.18) & (x < _ROAD_MIDDLE_X)
    paint = road & (middle | parking | ((stripes | stop_line) & (x < _ROAD_RIGHT_X))) & (fine + coarse < 1.4)

    grey = np.select([paint, kerb, grass, road], [0.27, 0.20, 0.055, 0.075], 0.13).astype(np.float32)
    grey *= np.where(slab & ~road & ~grass & (z < 25), 0.7, 1.0)
    grey *= np.clip(1.0 + np.where(paint, 0.10, 0.22) * fine + 0.12 * coarse, 0.3, 2.0)
    tint = np.where(grass[..., None], np.array([0.45, 1.15, 0.8]), np.array([1.0, 1.0, 1.0]))

    kelvin = np.select([paint, kerb, grass, road], [287.8, 288.0, 283.6, 288.7], 286.7)
    kelvin += np.where(grass, 0.6, 0.20) * fine + np.where(grass, 0.4, 0.35) * coarse
    # Tyres keep the wheel tracks a little warmer; two manhole covers lie over warm sewers.
    for track in (-4.2, -2.7, -0.7, 0.8):
        kelvin += np.where(road, 0.35 * np.exp(-(((x - track) / 0.25) ** 2)), 0.0)
    for cover_x, cover_z in ((-0.1, 14.2), (-3.4, 26.0)):
        kelvin += 2.6 * ((x - cover_x) ** 2 + (z - cover_z) ** 2 < 0.33**2)
    return (grey[..., None] * tint).astype(np.float32), kelvin.astype(np.float32)


def _wet_gloss(canvas: _Canvas, x: np.ndarray, z: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """Return the long reflections of the lamps on a damp road: Blinn-Phong with a broad, rough lobe."""
    gloss = np.zeros((*x.shape, 3), np.float32)
    to_eye = np.sqrt(x**2 + canvas.view.height_m**2 + z**2)
    for lamp in LAMPS:
        dx, dz = lamp.x - x, lamp.z - z
        to_lamp = np.sqrt(dx**2 + lamp.height_m**2 + dz**2)
        half_x, half_z = dx / to_lamp - x / to_eye, dz / to_lamp - z / to_eye
        half_y = lamp.height_m / to_lamp + canvas.view.height_m / to_eye
        facing = half_y / np.sqrt(half_x**2 + half_y**2 + half_z**2)
        strength = 0.0011 * lamp.power * np.clip(1.0 + 0.5 * coarse, 0, 2) * facing**90
        gloss += strength[..., None] * np.array(lamp.colour, np.float32)
    return gloss


def _draw_facade(canvas: _Canvas, plane_x: float, span_z: tuple[float, float], height: float, lit_share: float) -> None:
    """Draw a building front along the street: the plane x = plane_x."""
    view = canvas.view
    canvas = canvas.part([view.project(plane_x, y, z) for y in (0.0, height) for z in span_z])
    z = plane_x / canvas.across
    y = view.height_m + canvas.up * z
    window, lit = _windows(canvas, z, y, pitch_m=2.7, storey_m=3.1, lit_share=lit_share)
    mullion = np.abs(np.mod(z / 2.7, 1.0) - 0.5) < 0.02
    ledge = (np.mod(y, 3.1) < 0.22) & (y > 1.0)
    texture = sample_wrapped(canvas.fine, z * 22, y * 22) / (1.0 + (z / 14.0) ** 2)

    albedo = np.where(ledge, 0.16, np.where(window, 0.02, 0.10)) * np.clip(1.0 + 0.2 * texture, 0.2, 2.0)
    tint = np.array([0.80, 0.92, 1.0], np.float32)
    radiance = (albedo[..., None] * tint * 0.6 * irradiance(plane_x, y, z)).astype(np.float32)
    glow = np.where(mullion, 0.04, 0.30 * (0.7 + 0.3 * np.mod(y / 3.1, 1.0)))
    lit_window = (window & lit)[..., None]
    radiance = np.where(lit_window, glow[..., None] * np.array([0.40, 0.78, 1.0]), radiance).astype(np.float32)

    kelvin = np.where(window, np.where(lit, 289.5, 284.0), np.where(ledge, 288.0, 286.6)) + 0.2 * texture
    inside = (z > span_z[0]) & (z < span_z[1]) & (y >= 0) & (y <= height)
    canvas.cover(inside, radiance, kelvin.astype(np.float32), np.where(inside, z, np.inf).astype(np.float32))


def _draw_hedge(canvas: _Canvas) -> None:
    view = canvas.view
    canvas = canvas.part([view.project(_HEDGE_X, y, z) for y in (0.0, 1.6) for z in (8.0, 60.0)])
    z = _HEDGE_X / canvas.across
    y = view.height_m + canvas.up * z
    leaves = sample_wrapped(canvas.fine, z * 30, y * 30)
    top = 1.25 + 0.06 * leaves
    green = 0.05 * np.clip(1 + 0.5 * leaves, 0.1, 3)[..., None] * np.array([0.5, 1.1, 0.8], np.float32)
    radiance = green * irradiance(_HEDGE_X, y, z)
    inside = (z > 8) & (z < 60) & (y >= 0) & (y <= top)
    kelvin = 285.2 + 0.35 * leaves
    canvas.cover(inside, radiance.astype(np.float32), kelvin.astype(np.float32), np.where(inside, z, np.inf))


def _draw_lamp(canvas: _Canvas, lamp: StreetLamp) -> None:
    view, top = canvas.view, lamp.height_m
    reach = [(lamp.post_x, 0.0), (lamp.x, top + 0.4), (2 * lamp.x - lamp.post_x, top)]
    canvas = canvas.part([view.project(x, y, lamp.z) for x, y in reach])

    def polygon(*corners: tuple[float, float]) -> np.ndarray:
        return canvas.polygon([view.project(x, y, lamp.z) for x, y in corners])

    post = polygon(*((lamp.post_x + x, y) for x, y in ((-0.08, 0), (-0.05, top + 0.1), (0.05, top + 0.1), (0.08, 0))))
    arm = polygon((lamp.post_x, top + 0.12), (lamp.x, top + 0.22), (lamp.x, top + 0.12), (lamp.post_x, top))
    head = polygon(*((lamp.x + x, top + y) for x, y in ((-0.32, 0.14), (0.32, 0.14), (0.32, -0.04), (-0.32, -0.04))))
    depth = np.full(canvas.depth.shape, lamp.z, np.float32)
    y = view.height_m + canvas.up * lamp.z
    metal = 0.05 * irradiance(lamp.post_x, y, lamp.z)
    canvas.cover(post | arm, metal, np.full_like(depth, 285.9), depth)
    canvas.cover(head, 26.0 * np.array(lamp.colour), np.full_like(depth, 300.0), depth - 0.1)


def _draw_tree(canvas: _Canvas, x: float, z: float, radius: float) -> None:
    """Draw a trunk and a crown of overlapping leaf clusters."""
    view, rng = canvas.view, canvas.rng
    scale = view.focal_px / z
    crown_y = 2.6 + radius
    reach = [(x - 1.3 * radius, 0.0), (x + 1.3 * radius, crown_y + 1.3 * radius)]
    canvas = canvas.part([view.project(*corner, z) for corner in reach])
    centre = np.subtract(view.project(x, crown_y, z), canvas.origin)
    shade = np.zeros(canvas.depth.shape, np.uint8)
    for _ in range(110):
        direction = rng.normal(size=2)
        offset = direction / np.linalg.norm(direction) * np.sqrt(rng.random()) * radius * scale * 0.86
        size = radius * scale * rng.uniform(0.13, 0.27)
        at = (round(centre[0] + offset[0]), round(centre[1] + 0.85 * offset[1]))
        cv2.circle(shade, at, round(size), int(rng.integers(110, 256)), -1)
    leaves = sample_wrapped(canvas.fine, canvas.across * z * 27, canvas.up * z * 27)
    soft = cv2.GaussianBlur((shade > 0).astype(np.float32), (0, 0), 0.09 * radius * scale)
    crown = np.minimum(soft, 0.8) + 0.16 * leaves > 0.55
    crown &= soft > 0.15
    shape = np.clip(shade / 255.0 + 0.22 * leaves, 0.05, 1.4)
    depth = np.full(shade.shape, z, np.float32)
    y = view.height_m + canvas.up * z

    outline = ((-0.21, 0.0), (-0.11, crown_y), (0.11, crown_y), (0.20, 0.0))
    trunk = canvas.polygon([view.project(x + side, height, z) for side, height in outline])
    light = irradiance(x, y, z)
    bark = (0.05 * light * np.array([0.75, 0.9, 1.0])).astype(np.float32)
    canvas.cover(trunk, bark, (286.4 + 0.2 * leaves).astype(np.float32), depth)
    green = (0.055 * shape[..., None] * light * np.array([0.45, 1.15, 0.85])).astype(np.float32)
    canvas.cover(crown, green, (283.9 + 1.7 * shape).astype(np.float32), depth - 0.5)
