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

"""Bringing the thermal image onto the pixel grid of the RGB image: by an alignment, or without one by stretching it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from refinefuse_ros.alignment.camera import AlignmentError, Camera
from refinefuse_ros.alignment.file import Alignment, Calibrated
from refinefuse_ros.alignment.maps import AlignmentMap
from refinefuse_ros.image.frame import ImageSize


@dataclass(frozen=True)
class PlacedThermal:
    """A thermal plane as the network takes it.

    Attributes:
        plane: (H, W) uint8 at the RGB image's size.
        weight: (H, W) uint8: how much thermal counts in each pixel, from 0 where it sees nothing to 255; None where it
            counts fully everywhere.
    """

    plane: np.ndarray
    weight: np.ndarray | None = None

    def fade(self, fused: np.ndarray, luma: np.ndarray) -> np.ndarray:
        """The fused luma where thermal sees, and the RGB image's where it does not; (H, W) uint8 all."""
        if self.weight is None:
            return fused
        # luma + weight/255 (fused - luma), to half a level, without leaving 16 bit.
        change = cv2.subtract(fused, luma, dtype=cv2.CV_16S)
        weighed = cv2.multiply(change, self.weight, scale=1 / 255, dtype=cv2.CV_16S)
        return cv2.add(luma, weighed, dtype=cv2.CV_8U)


class Placer:
    """Places the thermal planes of one camera. Maps are built once a size. Not thread-safe."""

    def __init__(self, alignment: Alignment | None = None) -> None:
        self._alignment = alignment
        self._cameras: dict[str, Camera] = {}
        self._map: AlignmentMap | None = None

    def ask(self, camera_of: Callable[[str], Camera | None]) -> None:
        """Let the cameras that the alignment leaves open say what they are now.

        Args:
            camera_of: the camera of a name, "thermal" or "rgb"; None where it does not say.
        """
        for name in self._unknown:
            camera = camera_of(name)
            if camera is not None and self._cameras.get(name) != camera:
                self._cameras[name] = camera
                self._map = None

    @property
    def _unknown(self) -> list[str]:
        """Which cameras the alignment leaves open."""
        if not isinstance(self._alignment, Calibrated):
            return []
        return [name for name in ("thermal", "rgb") if getattr(self._alignment, name) is None]

    def place(self, plane: np.ndarray, size: ImageSize) -> PlacedThermal:
        """A normalised thermal plane, (H, W) uint8, onto an RGB image of `size`.

        Raises:
            AlignmentError: the alignment is not for images of these sizes, or a camera that it leaves open is unknown.
        """
        if self._alignment is None:
            return PlacedThermal(fit_to(plane, size))
        own = ImageSize.of(plane)
        if self._map is None or (self._map.thermal_size, self._map.rgb_size) != (own, size):
            self._map = AlignmentMap(self._complete(self._alignment), own, size)
        return PlacedThermal(self._map.place(plane), self._map.weight)

    def _complete(self, alignment: Alignment) -> Alignment:
        missing = [name for name in self._unknown if name not in self._cameras]
        if missing:
            raise AlignmentError(
                f"The alignment says nothing of the {missing[0]} camera's lens, and no CameraInfo came with its images;"
                " publish one, or write the camera into the alignment file."
            )
        return replace(alignment, **{name: self._cameras[name] for name in self._unknown})


def fit_to(thermal: np.ndarray, size: ImageSize) -> np.ndarray:
    """Return `thermal`, HxW of uint8, uint16 or float32, stretched to the size of the RGB image.

    The whole field of view is mapped onto the whole image: right for cameras that see the same frame, an
    approximation for others. Bilinear when it grows, area average when it shrinks in either direction
    (bilinear would alias). Equal sizes return the argument itself.
    """
    own = ImageSize.of(thermal)
    if own == size:
        return thermal
    shrinks = size.width < own.width or size.height < own.height
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(thermal, (size.width, size.height), interpolation=interpolation)
