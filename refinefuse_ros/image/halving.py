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

"""Fusing at half the size without losing the RGB picture's detail: what fusing changed is enlarged, not the picture."""

from __future__ import annotations

import cv2
import numpy as np


def halved(plane: np.ndarray) -> np.ndarray:
    """A plane, (H, W) uint8, at half the size, rounded up."""
    height, width = plane.shape
    return cv2.resize(plane, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)


def with_change(plane: np.ndarray, small: np.ndarray, small_fused: np.ndarray) -> np.ndarray:
    """The plane with what became of its half.

    Args:
        plane: (H, W) uint8.
        small: (h, w) uint8, the same halved.
        small_fused: (h, w) uint8, what was made of that.

    Returns:
        (H, W) uint8: `plane` and the enlarged difference of the two small ones.
    """
    change = cv2.subtract(small_fused, small, dtype=cv2.CV_16S)
    enlarged = cv2.resize(change, plane.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return cv2.add(plane, enlarged, dtype=cv2.CV_8U)
