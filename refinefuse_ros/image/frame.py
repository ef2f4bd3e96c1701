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

"""The two small types that every room passes around: an image size and a decoded camera frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class ImageSize(NamedTuple):
    """Width and height in pixels, in OpenCV's order."""

    width: int
    height: int

    @classmethod
    def of(cls, pixels: np.ndarray) -> ImageSize:
        return cls(pixels.shape[1], pixels.shape[0])

    @classmethod
    def parse(cls, text: str) -> ImageSize:
        """Read "640x480".

        Raises:
            ValueError: not two positive whole numbers with an x between them.
        """
        width, separator, height = text.lower().partition("x")
        if not (separator and width.isdigit() and height.isdigit() and int(width) and int(height)):
            raise ValueError(f"'{text}' is not an image size; write it as WIDTHxHEIGHT, such as 640x480.")
        return cls(int(width), int(height))

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class Frame:
    """One decoded image of one camera.

    Attributes:
        stamp_ns: time of the exposure in the camera driver's clock, nanoseconds.
        frame_id: the camera's optical frame (REP 103: z forward, x right, y down).
        encoding: ROS encoding of `pixels` ("bgr8", "mono16", ...), native byte order; or `codec.YUV444`.
        pixels: (H, W) or (H, W, channels), uint8, uint16, int16 or float32; may be a read-only view of the message.
    """

    stamp_ns: int
    frame_id: str
    encoding: str
    pixels: np.ndarray

    @property
    def size(self) -> ImageSize:
        return ImageSize.of(self.pixels)
