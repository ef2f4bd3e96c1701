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

"""A night street in which RGB and thermal camera need each other, rendered live: the demo's camera pair.

People in dark clothes cross, some behind smoke; a car approaches and dazzles the RGB camera. The thermal picture
shows the people and hardly the smoke, the RGB picture shows markings, lamps, windows and colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.synthetic.backdrop import Backdrop, render_backdrop
from refinefuse_ros.image.synthetic.car import DRIVEN, JUST_PARKED, Car
from refinefuse_ros.image.synthetic.headlights import Headlights
from refinefuse_ros.image.synthetic.lighting import irradiance
from refinefuse_ros.image.synthetic.sensors import Sensors
from refinefuse_ros.image.synthetic.smoke import SmokeBank
from refinefuse_ros.image.synthetic.sprite import Picture, Sprite
from refinefuse_ros.image.synthetic.viewpoint import Viewpoint
from refinefuse_ros.image.synthetic.walker import WARDROBE, Heading, Walker

_STRIDE_M = 1.45
_TICKS_PER_S = 1_000_000


@dataclass(frozen=True)
class _Crossing:
    """Someone crosses the street at depth z, from x_from to x_to, leaving at start_s."""

    z: float
    x_from: float
    x_to: float
    start_s: float
    speed: float


# They keep clear of the car, which passes z = 21 at 9.7 s and z = 11 at 10.7 s.
_CROSSINGS = (
    _Crossing(z=11.6, x_from=-7.3, x_to=7.3, start_s=0.2, speed=1.30),
    _Crossing(z=19.5, x_from=11.3, x_to=-9.5, start_s=0.0, speed=1.75),
    _Crossing(z=7.4, x_from=4.8, x_to=-4.8, start_s=2.0, speed=1.35),
    _Crossing(z=21.5, x_from=-9.6, x_to=12.6, start_s=1.0, speed=2.5),
)
_WAITING_AT = (-6.6, 15.0)
_STROLL_X, _STROLL_Z, _STROLL_REACH_M, _STROLL_STRIDES = 5.3, 14.0, 2.4, 7
_PARKED = ((2.95, 25.0, (58, 40, 26)), (2.95, 14.5, (22, 22, 62)))
_LANE_X, _CAR_SPEED, _CAR_SEEN_S, _CAR_GONE_S, _CAR_GONE_Z = -3.4, 10.2, 0.7, 11.9, -1.0
# Colours of sprites are as under a street lamp, which gives this irradiance.
_LAMP_LIGHT = 0.9


class SyntheticScene:
    """Renders pairs of a thermal and an RGB camera that stand at the same place and have the same lens.

    What it draws depends only on the arguments of the constructor and on the time, and repeats seamlessly after
    `PERIOD_S` seconds. Not thread-safe. Making one takes longer than a frame: the street is rendered once.
    """

    PERIOD_S: ClassVar[float] = 12.0

    def __init__(self, width: int = 640, height: int = 480, seed: int = 0) -> None:
        """`width` and `height` are in pixels.

        Raises:
            ValueError: a side is under 32 pixels.
        """
        if min(width, height) < 32:
            raise ValueError(f"a scene of {width}x{height} is too small; choose sides of at least 32 pixels.")
        rng = np.random.default_rng(seed)
        self._seed = seed
        self._view = Viewpoint(ImageSize(width, height))
        self._backdrop = _with_parked_cars(render_backdrop(self._view, rng), self._view)
        self._crossers = [
            Walker(clothes, rng, Heading.LEFT if crossing.x_to < crossing.x_from else Heading.RIGHT)
            for clothes, crossing in zip(WARDROBE, _CROSSINGS, strict=False)
        ]
        self._stroller = Walker(WARDROBE[-1], rng, Heading.ALONG)
        self._car = Car((72, 70, 68), DRIVEN, front=True)
        self._headlights = Headlights(self._view, self._backdrop.ground)
        self._smoke = SmokeBank(self._view, self._backdrop.depth, rng)
        self._sensors = Sensors(self._view.size, rng)

    @property
    def size(self) -> ImageSize:
        return self._view.size

    @property
    def focal_px(self) -> float:
        """Focal length of both cameras in pixels; they look through the image's centre and have no distortion."""
        return self._view.focal_px

    def render(self, t_seconds: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the pair at a time (any float): thermal, then RGB.

        The thermal frame is uint16 (H, W) in hundredths of a kelvin, the RGB frame uint8 (H, W, 3) in BGR order.
        Both are new arrays.
        """
        # Whole microseconds, so that a time and the same time some periods later give the very same noise.
        tick = round(t_seconds % self.PERIOD_S * _TICKS_PER_S) % round(self.PERIOD_S * _TICKS_PER_S)
        now = tick / _TICKS_PER_S
        picture = Picture(self._backdrop.bgr.copy(), self._backdrop.counts.copy(), self._backdrop.depth)
        phase = now / self.PERIOD_S
        car_z = _CAR_GONE_Z + _CAR_SPEED * (_CAR_GONE_S - now)
        car_is_there = _CAR_SEEN_S < now < _CAR_GONE_S
        if car_is_there:
            self._headlights.light_road(picture.bgr, _LANE_X, max(car_z, 0.0))
        things = self._walkers(now) + ([_Placed(self._car, _LANE_X, car_z)] if car_is_there else [])
        farthest_first = sorted(things, key=lambda thing: -thing.z)
        for thing in farthest_first:
            if thing.z > SmokeBank.Z_M:
                thing.draw(picture, self._view)
        self._smoke.draw(picture, phase)
        for thing in farthest_first:
            if thing.z <= SmokeBank.Z_M:
                thing.draw(picture, self._view)
        if car_is_there and car_z > 1.0:
            clear = self._smoke.transmittance(_LANE_X, car_z, phase)
            arriving = min(1.0, (now - _CAR_SEEN_S) / 1.5)
            self._headlights.dazzle(picture.bgr, _LANE_X, car_z, (0.6 + 0.4 * clear) * arriving)
        self._sensors.expose(picture, np.random.default_rng((self._seed, tick)))
        return picture.counts, picture.bgr

    def _walkers(self, now: float) -> list[_Placed]:
        placed = [_Placed(self._stroller.sprite(0.25), *_WAITING_AT)]
        phase = now / self.PERIOD_S
        stroll_z = _STROLL_Z + _STROLL_REACH_M * np.cos(2 * np.pi * phase)
        placed.append(_Placed(self._stroller.sprite(_STROLL_STRIDES * phase), _STROLL_X, stroll_z))
        for crossing, walker in zip(_CROSSINGS, self._crossers, strict=True):
            walked = (now - crossing.start_s) % self.PERIOD_S * crossing.speed
            way = crossing.x_to - crossing.x_from
            if walked < abs(way):
                placed.append(
                    _Placed(walker.sprite(walked / _STRIDE_M), crossing.x_from + np.copysign(walked, way), crossing.z)
                )
        return placed


@dataclass(frozen=True)
class _Placed:
    """Something that stands at (x, 0, z)."""

    thing: Sprite | Car
    x: float
    z: float

    def draw(self, picture: Picture, view: Viewpoint) -> None:
        self.thing.place(picture, view, self.x, self.z, _light_at(self.x, self.z))


def _with_parked_cars(backdrop: Backdrop, view: Viewpoint) -> Backdrop:
    """Return the backdrop with the cars that stand at the kerb in it, so that they hide what passes behind them."""
    picture = Picture(backdrop.bgr.copy(), backdrop.counts.copy(), backdrop.depth.copy())
    for x, z, paint in _PARKED:
        before = picture.counts.copy()
        _Placed(Car(paint, JUST_PARKED, front=False), x, z).draw(picture, view)
        covered = before != picture.counts
        picture.depth[covered] = np.minimum(picture.depth[covered], z)
    ground = np.where((picture.counts != backdrop.counts)[..., None], np.uint8(0), backdrop.ground)
    return Backdrop(picture.bgr, picture.counts, picture.depth, ground)


def _light_at(x: float, z: float) -> np.ndarray:
    """Return the BGR factor on a sprite's colours: display values, so the light's gamma is in it."""
    light = irradiance(x, 1.0, z) / _LAMP_LIGHT
    return np.clip(light, 0.02, 2.0).astype(np.float32) ** np.float32(1 / 2.2)
