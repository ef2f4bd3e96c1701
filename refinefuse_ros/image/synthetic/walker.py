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

"""Walking people: dark clothes that the RGB camera hardly sees at night, warm skin that the thermal camera does."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

import cv2
import numpy as np

from refinefuse_ros.image.synthetic.sprite import Sprite
from refinefuse_ros.image.synthetic.texture import fractal_noise

_PHASES: Final = 18
_PIXELS_PER_M: Final = 128
# Drawn this many times larger, then averaged.
_SUPERSAMPLING: Final = 2
_WIDTH_M, _HEIGHT_M = 1.35, 1.9

# Metres, of a person of 1.76 m.
_HIP, _SHOULDER, _HEAD = 0.93, 1.43, 1.635
_THIGH, _SHIN, _UPPER_ARM, _FOREARM = 0.45, 0.44, 0.30, 0.27

# What a pixel of a figure shows.
_NOTHING, _COAT, _TROUSERS, _SHOE, _SKIN, _HAIR, _BAG = range(7)
# Clothes insulate: the surface is nearer to the air than the skin is. The bag is at the air's temperature.
_KELVIN: Final = np.array([0.0, 296.5, 297.6, 293.0, 305.4, 300.0, 288.0], np.float32)

Point = tuple[float, float]


@dataclass(frozen=True)
class Clothes:
    """BGR of coat and trousers under a street lamp, and whether the person carries a bag."""

    coat: tuple[int, int, int]
    trousers: tuple[int, int, int]
    bag: bool = False


WARDROBE: Final = (
    Clothes((48, 42, 38), (44, 42, 41), bag=True),
    Clothes((38, 42, 50), (44, 40, 37)),
    Clothes((66, 64, 62), (56, 56, 58)),
    Clothes((54, 50, 46), (47, 42, 38), bag=True),
    Clothes((40, 39, 41), (46, 47, 50)),
)


class Heading(Enum):
    """Where somebody walks, as the camera sees it: across the picture or along the line of sight."""

    LEFT = "left"
    RIGHT = "right"
    ALONG = "along"


class Walker:
    """The gait cycle of one person."""

    def __init__(self, clothes: Clothes, rng: np.random.Generator, heading: Heading) -> None:
        folds = fractal_noise(rng, 256, 1.1)
        draw = _front_view if heading is Heading.ALONG else _side_view
        figures = [draw(2 * np.pi * k / _PHASES, clothes.bag) for k in range(_PHASES)]
        if heading is Heading.LEFT:
            figures = [np.ascontiguousarray(figure[:, ::-1]) for figure in figures]
        self._sprites = [_to_sprite(figure, clothes, folds) for figure in figures]

    def sprite(self, gait: float) -> Sprite:
        """Return the picture at `gait` cycles (any float; a cycle is two steps)."""
        return self._sprites[int(gait % 1.0 * _PHASES) % _PHASES]


class _Figure:
    """A drawing board in metres, x = 0 in its middle, y up from the ground."""

    def __init__(self) -> None:
        self._scale = _PIXELS_PER_M * _SUPERSAMPLING
        self.labels = np.zeros((round(_HEIGHT_M * self._scale), round(_WIDTH_M * self._scale)), np.uint8)

    def limb(self, label: int, start: Point, end: Point, start_width: float, end_width: float) -> None:
        """Draw a tapered, round-ended limb."""
        discs = [
            cv2.ellipse2Poly(self._pixel(at), (round(width * self._scale / 2),) * 2, 0, 0, 360, 20)
            for at, width in ((start, start_width), (end, end_width))
        ]
        cv2.fillConvexPoly(self.labels, cv2.convexHull(np.concatenate(discs)), label)

    def ellipse(self, label: int, centre: Point, width: float, height: float) -> None:
        axes = (round(width * self._scale / 2), round(height * self._scale / 2))
        cv2.ellipse(self.labels, self._pixel(centre), axes, 0, 0, 360, label, -1)

    def _pixel(self, at: Point) -> tuple[int, int]:
        return (
            round((at[0] + _WIDTH_M / 2) * self._scale),
            round(self.labels.shape[0] - at[1] * self._scale),
        )


def _below(start: Point, length: float, angle: float) -> Point:
    """Return the end of a limb that hangs from `start` and swings forward by `angle`, radians."""
    return start[0] + length * np.sin(angle), start[1] - length * np.cos(angle)


def _leg(hip: Point, phase: float) -> tuple[Point, Point, float]:
    """Return knee, ankle and foot angle of a leg; it bends its knee while it swings forward (cos phase > 0)."""
    swing = 0.44 * np.sin(phase)
    bend = 0.12 + 0.85 * max(0.0, np.cos(phase + 0.35)) ** 1.5
    knee = _below(hip, _THIGH, swing + 0.30 * bend)
    return knee, _below(knee, _SHIN, swing - 0.70 * bend), -0.6 * bend


def _side_view(phase: float, bag: bool) -> np.ndarray:
    """Draw a person who walks to the right; returns the labels, (h, w) uint8."""
    figure = _Figure()
    legs = [_leg((0.0, _HIP), phase + offset) for offset in (np.pi, 0.0)]
    # The lower foot carries: the body sinks until that one stands.
    sink = min(ankle[1] for _, ankle, _ in legs) - 0.07
    hip, shoulder = (0.0, _HIP - sink), (0.05, _SHOULDER - sink)
    legs = [_leg(hip, phase + offset) for offset in (np.pi, 0.0)]

    def draw_arm(angle: float) -> None:
        elbow = _below(shoulder, _UPPER_ARM, angle - 0.08)
        hand = _below(elbow, _FOREARM, angle + 0.35)
        figure.limb(_SKIN, hand, _below(hand, 0.07, angle + 0.4), 0.085, 0.07)
        figure.limb(_COAT, shoulder, elbow, 0.15, 0.12)
        figure.limb(_COAT, elbow, hand, 0.12, 0.09)

    def draw_leg(knee: Point, ankle: Point, tilt: float) -> None:
        toe = (ankle[0] + 0.19 * np.cos(tilt), ankle[1] - 0.035 + 0.19 * np.sin(tilt))
        figure.limb(_SHOE, (ankle[0] - 0.03, ankle[1] - 0.025), toe, 0.09, 0.06)
        figure.limb(_TROUSERS, hip, knee, 0.20, 0.14)
        figure.limb(_TROUSERS, knee, ankle, 0.14, 0.10)

    swing = 0.45 * np.sin(phase)
    draw_arm(swing)
    draw_leg(*legs[0])
    if bag:
        figure.ellipse(_BAG, (shoulder[0] - 0.16, shoulder[1] - 0.20), 0.20, 0.42)
    draw_leg(*legs[1])
    figure.limb(_COAT, (shoulder[0] - 0.01, shoulder[1] - 0.06), (hip[0], hip[1] - 0.06), 0.27, 0.25)
    figure.limb(_COAT, (shoulder[0] - 0.02, shoulder[1] - 0.01), shoulder, 0.18, 0.18)
    figure.limb(_SKIN, (shoulder[0] + 0.01, shoulder[1] + 0.05), (shoulder[0] + 0.03, shoulder[1] + 0.12), 0.10, 0.10)
    head = (shoulder[0] + 0.045, _HEAD - sink)
    figure.ellipse(_HAIR, (head[0] - 0.02, head[1] + 0.015), 0.205, 0.225)
    figure.ellipse(_SKIN, (head[0] + 0.035, head[1] - 0.02), 0.145, 0.20)
    draw_arm(-swing)
    return figure.labels


def _front_view(phase: float, bag: bool) -> np.ndarray:
    """Draw a person who walks along the line of sight; returns the labels, (h, w) uint8."""
    figure = _Figure()
    sway = 0.02 * np.sin(phase)
    for side in (-1, 1):
        lift = 0.10 * max(0.0, side * np.cos(phase))
        hip, ankle = (sway + side * 0.09, _HIP), (sway * 0.5 + side * 0.085, 0.08 + lift)
        knee = (side * 0.10, (hip[1] + ankle[1]) / 2 + 0.3 * lift)
        figure.limb(_SHOE, ankle, (ankle[0] + side * 0.02, ankle[1] - 0.04), 0.10, 0.09)
        figure.limb(_TROUSERS, hip, knee, 0.20, 0.15)
        figure.limb(_TROUSERS, knee, ankle, 0.15, 0.11)
        shoulder = (sway + side * 0.20, _SHOULDER - 0.03)
        elbow = (shoulder[0] + side * 0.06, shoulder[1] - 0.29)
        hand = (elbow[0] - side * 0.01, elbow[1] - 0.24 + 0.05 * side * np.sin(phase))
        figure.limb(_SKIN, hand, (hand[0], hand[1] - 0.06), 0.085, 0.07)
        figure.limb(_COAT, shoulder, elbow, 0.15, 0.12)
        figure.limb(_COAT, elbow, hand, 0.12, 0.095)
    figure.limb(_COAT, (sway, _SHOULDER - 0.12), (sway, _HIP - 0.05), 0.40, 0.33)
    figure.limb(_COAT, (sway - 0.12, _SHOULDER - 0.03), (sway + 0.12, _SHOULDER - 0.03), 0.17, 0.17)
    if bag:
        figure.limb(_BAG, (sway - 0.15, _SHOULDER - 0.02), (sway + 0.18, _HIP), 0.035, 0.035)
    figure.limb(_SKIN, (sway, _SHOULDER + 0.04), (sway, _SHOULDER + 0.12), 0.11, 0.11)
    figure.ellipse(_HAIR, (sway, _HEAD + 0.02), 0.19, 0.23)
    figure.ellipse(_SKIN, (sway, _HEAD - 0.02), 0.155, 0.20)
    return figure.labels


def _to_sprite(labels: np.ndarray, clothes: Clothes, folds: np.ndarray) -> Sprite:
    size = (labels.shape[1] // _SUPERSAMPLING, labels.shape[0] // _SUPERSAMPLING)
    wrinkles = np.tile(folds, (2, 2))[: size[1], : size[0]]
    colours = np.array(
        [(0, 0, 0), clothes.coat, clothes.trousers, (14, 14, 15), (52, 66, 88), (13, 13, 14), (22, 24, 27)],
        np.float32,
    )
    opacity = cv2.resize((labels != _NOTHING).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    coverage = np.maximum(opacity, 1e-3)
    bgr = cv2.resize(colours[labels], size, interpolation=cv2.INTER_AREA) / coverage[..., None]
    kelvin = cv2.resize(_KELVIN[labels], size, interpolation=cv2.INTER_AREA) / coverage
    # Round bodies: warmest and lightest where the surface faces the camera.
    facing = cv2.GaussianBlur(opacity, (0, 0), 0.035 * _PIXELS_PER_M)
    kelvin = np.where(opacity > 0, kelvin - 3.0 * (1.0 - facing) + 0.45 * wrinkles, 0.0)
    bgr = bgr * np.clip(0.55 + 0.5 * facing + 0.10 * wrinkles, 0.2, 1.5)[..., None]
    return Sprite(bgr, kelvin, opacity, _PIXELS_PER_M)
