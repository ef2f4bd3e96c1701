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

"""Where the scene's two cameras stand.

World coordinates are metres: x right, y up from the ground, z forward from the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refinefuse_ros.image.frame import ImageSize


@dataclass(frozen=True)
class Viewpoint:
    """A pinhole camera that looks along z, level, through the image's centre."""

    size: ImageSize
    height_m: float = 2.2

    @property
    def focal_px(self) -> float:
        return 0.9 * self.size.width

    @property
    def centre(self) -> tuple[float, float]:
        """Column and row of the optical axis, in pixels."""
        return (self.size.width - 1) / 2, (self.size.height - 1) / 2

    def project(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Return the column and row, in pixels, of a world point with z > 0."""
        scale = self.focal_px / z
        column, row = self.centre
        return column + x * scale, row + (self.height_m - y) * scale

    def rays(self) -> tuple[np.ndarray, np.ndarray]:
        """Return x, shape (1, W), and y (up), shape (H, 1), of every pixel's ray at z = 1, float32."""
        column, row = self.centre
        across = (np.arange(self.size.width, dtype=np.float32) - np.float32(column)) / self.focal_px
        up = (np.float32(row) - np.arange(self.size.height, dtype=np.float32)) / self.focal_px
        return across[None, :].astype(np.float32), up[:, None].astype(np.float32)

    def enlarged(self, factor: int) -> Viewpoint:
        """Return the same view on a finer pixel grid."""
        return Viewpoint(ImageSize(self.size.width * factor, self.size.height * factor), self.height_m)
