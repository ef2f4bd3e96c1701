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

"""Cars, parallel to the road: in the thermal picture only what the engine and the brakes have warmed stands out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from refinefuse_ros.image.synthetic.backdrop import COUNTS_PER_K
from refinefuse_ros.image.synthetic.sprite import Picture
from refinefuse_ros.image.synthetic.viewpoint import Viewpoint

_NEAREST_Z: Final = 0.6
# Fractional bits of polygon corners.
_SHIFT: Final = 4

# A corner is (sideways from the middle, up, along the car from its near end), metres.
Corner = tuple[float, float, float]


@dataclass(frozen=True)
class Warmth:
    """Surface temperatures of a car's parts, kelvin."""

    body: float
    bonnet: float
    # Glass and roof look at the sky and lose warmth to it.
    glass: float
    roof: float
    grille: float
    lamp: float
    tyre: float
    underside: float


DRIVEN: Final = Warmth(287.2, 294.0, 283.5, 284.5, 310.0, 302.0, 299.0, 291.5)
JUST_PARKED: Final = Warmth(286.0, 288.2, 282.5, 283.5, 289.0, 286.2, 291.0, 289.8)

# Part -> BGR under a street lamp (a factor on the paint where it is one number), and the `Warmth` field.
_LOOKS: Final[dict[str, tuple[float | tuple[float, float, float], str]]] = {
    "shadow": ((5, 5, 6), "underside"),
    "flank": (0.62, "body"),
    "hot flank": (0.62, "bonnet"),
    "end": (0.85, "body"),
    "bonnet": (1.15, "bonnet"),
    "roof": (1.05, "roof"),
    "pillar": (0.75, "body"),
    "glass": ((15, 13, 12), "glass"),
    "grille": ((8, 8, 8), "grille"),
    "headlamp": ((130, 138, 142), "lamp"),
    "tail lamp": ((16, 13, 70), "lamp"),
    "plate": ((72, 76, 76), "body"),
    "tyre": ((9, 9, 9), "tyre"),
    "rim": (0.55, "tyre"),
}


@dataclass(frozen=True)
class _Panel:
    """A convex polygon of one part."""

    part: str
    corners: tuple[Corner, ...]

    def mirrored(self) -> _Panel:
        return _Panel(self.part, tuple((-side, up, along) for side, up, along in self.corners))


def _across(part: str, *half: Corner) -> list[_Panel]:
    """Return a panel that reaches across the car, from the corners of its right half in order."""
    return [_Panel(part, (*half, *((-side, up, along) for side, up, along in reversed(half))))]


def _both(part: str, *corners: Corner) -> list[_Panel]:
    """Return a panel on the right and its mirror image on the left."""
    panel = _Panel(part, corners)
    return [panel, panel.mirrored()]


def _wheel(along: float) -> list[_Panel]:
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    return [
        _Panel(part, tuple((0.885, 0.32 + r * float(np.sin(a)), along + r * float(np.cos(a))) for a in turn))
        for part, r in (("tyre", 0.32), ("rim", 0.19))
    ]


# The right flank; the left one is its mirror image. Farthest panels first, everywhere below.
_FLANK_LOW: Final = [
    _Panel(
        "flank",
        (
            (0.88, 0.28, 0.1),
            (0.89, 0.66, 0.0),
            (0.88, 0.90, 0.9),
            (0.88, 0.94, 3.9),
            (0.88, 0.80, 4.2),
            (0.88, 0.3, 4.15),
        ),
    )
]
_FRONT_FLANK: Final = [
    *_FLANK_LOW,
    _Panel("hot flank", ((0.89, 0.45, 0.02), (0.89, 0.68, 0.02), (0.89, 0.86, 0.9), (0.89, 0.45, 0.9))),
    _Panel("pillar", ((0.87, 0.91, 1.0), (0.66, 1.41, 1.75), (0.66, 1.42, 3.2), (0.87, 0.94, 3.95))),
    _Panel("glass", ((0.85, 0.96, 1.3), (0.69, 1.36, 1.85), (0.69, 1.37, 3.1), (0.85, 0.97, 3.5))),
    *_wheel(0.80),
    *_wheel(3.40),
]
_REAR_FLANK: Final = [
    *_FLANK_LOW,
    _Panel("pillar", ((0.87, 0.94, 0.15), (0.64, 1.39, 0.6), (0.66, 1.42, 2.4), (0.87, 0.91, 3.2))),
    _Panel("glass", ((0.85, 0.98, 0.6), (0.69, 1.35, 0.9), (0.69, 1.37, 2.3), (0.85, 0.96, 2.9))),
    *_wheel(0.80),
    *_wheel(3.40),
]
_UNDERSIDE: Final = _across("shadow", (0.84, 0.0, 4.1), (0.84, 0.0, 0.05))
_FRONT: Final = [
    *_across("roof", (0.64, 1.43, 3.2), (0.66, 1.41, 1.75)),
    *_across("pillar", (0.66, 1.41, 1.75), (0.86, 0.91, 1.0)),
    *_across("glass", (0.61, 1.37, 1.70), (0.76, 0.94, 1.04)),
    *_across("bonnet", (0.85, 0.92, 1.02), (0.87, 0.74, 0.08)),
    *_both("pillar", (0.86, 1.02, 1.1), (1.00, 1.02, 1.1), (1.00, 0.92, 1.1), (0.86, 0.92, 1.1)),
    *_both("tyre", (0.64, 0.0, 0.35), (0.86, 0.0, 0.35), (0.86, 0.4, 0.35), (0.64, 0.4, 0.35)),
    *_across("end", (0.84, 0.76, 0.05), (0.89, 0.66, 0.0), (0.89, 0.42, 0.0), (0.82, 0.24, 0.05)),
    *_across("grille", (0.42, 0.69, 0.0), (0.38, 0.53, 0.0)),
    *_across("grille", (0.60, 0.39, 0.0), (0.54, 0.28, 0.0)),
    *_both("headlamp", (0.50, 0.69, 0.0), (0.83, 0.75, 0.03), (0.86, 0.64, 0.03), (0.55, 0.60, 0.0)),
    *_across("plate", (0.25, 0.50, 0.0), (0.25, 0.41, 0.0)),
]
_REAR: Final = [
    *_across("roof", (0.66, 1.42, 2.4), (0.64, 1.39, 0.6)),
    *_across("pillar", (0.64, 1.40, 0.6), (0.87, 0.94, 0.12)),
    *_across("glass", (0.58, 1.36, 0.55), (0.72, 1.00, 0.18)),
    *_both("tyre", (0.62, 0.0, 0.3), (0.86, 0.0, 0.3), (0.86, 0.4, 0.3), (0.62, 0.4, 0.3)),
    *_across("end", (0.85, 0.96, 0.10), (0.89, 0.80, 0.0), (0.89, 0.45, 0.0), (0.83, 0.24, 0.05)),
    *_both("tail lamp", (0.60, 0.88, 0.03), (0.87, 0.86, 0.05), (0.88, 0.68, 0.0), (0.66, 0.70, 0.0)),
    *_across("plate", (0.26, 0.78, 0.0), (0.26, 0.68, 0.0)),
    *_across("grille", (0.74, 0.34, 0.0), (0.72, 0.26, 0.02)),
]


class Car:
    """Flat panels in perspective; `front` tells which end is the near one."""

    def __init__(self, paint: tuple[int, int, int], warmth: Warmth, *, front: bool) -> None:
        """`paint` is the BGR colour of the body under a street lamp."""
        flank, end = (_FRONT_FLANK, _FRONT) if front else (_REAR_FLANK, _REAR)
        look = {name: _look(name, paint, warmth) for name in _LOOKS}
        self._under = _Panels(_UNDERSIDE, look)
        self._right = _Panels(flank, look)
        self._left = _Panels([panel.mirrored() for panel in flank], look)
        self._end = _Panels(end, look)

    def place(self, picture: Picture, view: Viewpoint, x: float, z: float, light: np.ndarray) -> None:
        """Draw the car with its near end's middle at (x, 0, z) in `light`, a BGR factor on its colours."""
        self._under.fill(picture, view, x, z, light)
        if abs(x) > 0.9:
            (self._left if x > 0 else self._right).fill(picture, view, x, z, light)
        self._end.fill(picture, view, x, z, light)


def _look(name: str, paint: tuple[int, int, int], warmth: Warmth) -> tuple[np.ndarray, float]:
    """Return BGR and thermal counts of a part."""
    colour, field = _LOOKS[name]
    bgr = np.multiply(paint, colour) if isinstance(colour, float) else np.array(colour)
    return bgr.astype(np.float32), getattr(warmth, field) * COUNTS_PER_K


class _Panels:
    """Panels as arrays, so that a car is projected in one go."""

    def __init__(self, panels: Iterable[_Panel], look: dict[str, tuple[np.ndarray, float]]) -> None:
        panels = list(panels)
        self._corners = np.array([corner for panel in panels for corner in panel.corners])
        self._ends = np.cumsum([len(panel.corners) for panel in panels])[:-1]
        self._bgr = np.array([look[panel.part][0] for panel in panels])
        self._counts = [look[panel.part][1] for panel in panels]

    def fill(self, picture: Picture, view: Viewpoint, x: float, z: float, light: np.ndarray) -> None:
        near = np.maximum(self._corners[:, 2] + z, _NEAREST_Z)
        if near.max() <= _NEAREST_Z:
            return
        column, row = view.centre
        scale = view.focal_px / near
        pixels = np.stack(
            [column + (self._corners[:, 0] + x) * scale, row + (view.height_m - self._corners[:, 1]) * scale], axis=1
        )
        outlines = np.split(np.round(np.clip(pixels, -9000, 9000) * 2**_SHIFT).astype(np.int32), self._ends)
        for outline, bgr, counts in zip(outlines, (self._bgr * light).tolist(), self._counts, strict=True):
            cv2.fillConvexPoly(picture.bgr, outline, bgr, cv2.LINE_AA, _SHIFT)
            cv2.fillConvexPoly(picture.counts, outline, counts, cv2.LINE_8, _SHIFT)
