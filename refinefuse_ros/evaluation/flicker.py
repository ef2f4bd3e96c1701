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

"""Flicker of fused videos: their change where the sources stand still (this project's own measure).

Mean |fused_t - fused_(t-1)| in grey levels over all pixels of all frames where neither |ir_t - ir_(t-1)| nor
|vis_t - vis_(t-1)| exceeds 2 levels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from refinefuse_ros.image.steadying import still_pixels


@dataclass(frozen=True)
class Planes:
    """One moment's grey planes, uint8 (H, W), all of one size: the sources, and what was fused of them by label."""

    ir: np.ndarray
    vis: np.ndarray
    fused: Mapping[str, np.ndarray]


class Flicker:
    """The flicker of one or several videos that were fused of the same sources.

    Feed the frames in order with `add`, or stretches of them in order with `extend`, which gives the same to the last
    digit. A video may leave frames out; its change is then measured over the gap. Between the clips of a source, `cut`.
    """

    def __init__(self) -> None:
        self._is_cut = False
        self._first: dict[str, Planes] = {}
        self._last: dict[str, Planes] = {}
        self._change: Counter[str] = Counter()
        self._pixels: Counter[str] = Counter()

    def add(self, planes: Planes) -> None:
        """Take the next frame; the planes are kept, so they must not change later.

        Raises:
            ValueError: a plane is no uint8 (H, W) of the size of the others and of the frame before.
        """
        _check(planes)
        static: dict[int, np.ndarray] = {}
        for label in planes.fused:
            before = self._last.get(label)
            if before is not None:
                if id(before) not in static:  # the same for all videos that have the frame before
                    static[id(before)] = _static(before, planes)
                self._compare(label, before, planes, static[id(before)])
            elif not self._is_cut:
                self._first[label] = planes
            self._last[label] = planes

    def cut(self) -> None:
        """What comes now is another clip: nothing has changed from the one before it."""
        self._is_cut = True
        self._last = {}

    def extend(self, later: Flicker) -> None:
        """Take the stretch that follows this one."""
        for label, first in later._first.items():
            before = self._last.get(label)
            if before is not None:
                self._compare(label, before, first, _static(before, first))
            elif not self._is_cut:
                self._first[label] = first
        if later._is_cut:
            self._is_cut = True
            self._last = {}
        self._last |= later._last
        self._change += later._change
        self._pixels += later._pixels

    def value(self, label: str) -> float | None:
        """Flicker in grey levels so far; None while no pixel of the sources has stood still yet."""
        return self._change[label] / self._pixels[label] if self._pixels[label] else None

    def _compare(self, label: str, before: Planes, now: Planes, static: np.ndarray) -> None:
        change = cv2.bitwise_and(cv2.absdiff(now.fused[label], before.fused[label]), static)
        self._change[label] += int(cv2.sumElems(change)[0])  # a whole number, exact in float64
        self._pixels[label] += cv2.countNonZero(static)


def _static(before: Planes, now: Planes) -> np.ndarray:
    """255 where neither source has changed, else 0."""
    if before.ir.shape != now.ir.shape:
        raise ValueError(
            f"the frame before is {_size(before.ir)} pixels but this one is {_size(now.ir)}; the frames of a video have"
            " one size."
        )
    return still_pixels((before.ir, before.vis), (now.ir, now.vis))


def _check(planes: Planes) -> None:
    for name, plane in {"ir": planes.ir, "vis": planes.vis, **planes.fused}.items():
        if plane.dtype != np.uint8 or plane.shape != planes.ir.shape or plane.ndim != 2:
            raise ValueError(
                f"{name} is {plane.dtype} of shape {plane.shape}; flicker takes grey planes, uint8 of one shape (H, W),"
                f" here {planes.ir.shape}."
            )


def _size(plane: np.ndarray) -> str:
    return f"{plane.shape[1]}x{plane.shape[0]}"
