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

"""A scene that two cameras see alike but for brightness."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from refinefuse_ros.image.frame import ImageSize

SIZE = ImageSize(320, 240)


@pytest.fixture
def scene() -> Callable[..., tuple[list[np.ndarray], list[np.ndarray]]]:
    return boxes


def boxes(seed: int, count: int = 2) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Pictures of boxes that thermal sees with other brightnesses, each second one inverted, and its own noise."""
    random = np.random.default_rng(seed)
    thermal, rgb = [], []
    for _ in range(count):
        cold, bright = (np.full((SIZE.height, SIZE.width), level, np.float32) for level in (90, 120))
        for _ in range(60):
            box = cv2.boxPoints(
                (random.uniform((0, 0), SIZE), random.uniform(12, 70, 2), random.uniform(0, 180))
            ).astype(np.int32)
            cv2.fillPoly(cold, [box], float(random.uniform(20, 235)))
            cv2.fillPoly(bright, [box], float(random.uniform(20, 235)))
        thermal.append(np.clip(cv2.GaussianBlur(cold, (0, 0), 1) + random.normal(0, 3, cold.shape), 0, 255))
        rgb.append(np.clip(bright + random.normal(0, 3, cold.shape), 0, 255).astype(np.uint8))
    return thermal, rgb
