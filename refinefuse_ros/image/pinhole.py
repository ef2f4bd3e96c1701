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

"""The camera model of sources that have none: an ideal pinhole that looks through the image's centre."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from refinefuse_ros.image.frame import ImageSize

# A horizontal field of view of 60 degrees, as focal length per pixel of width.
FOCAL_PER_WIDTH: Final = 0.866


@dataclass(frozen=True)
class Pinhole:
    """The matrices of a sensor_msgs/CameraInfo, row by row, in pixels.

    Attributes:
        d: distortion of the model "plumb_bob": none.
        k: intrinsic matrix, 3x3.
        r: rectification, 3x3.
        p: projection matrix, 3x4.
    """

    d: list[float]
    k: list[float]
    r: list[float]
    p: list[float]


def ideal_pinhole(size: ImageSize, focal_px: float | None = None) -> Pinhole:
    """A camera without distortion; without `focal_px` it sees 60 degrees across."""
    focal = FOCAL_PER_WIDTH * size.width if focal_px is None else focal_px
    cx, cy = (size.width - 1) / 2, (size.height - 1) / 2
    return Pinhole(
        d=[0.0] * 5,
        k=[focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )
