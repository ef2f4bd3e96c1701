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

"""Smoke and glare over visible pictures: what hides a person from the RGB camera and not from the thermal one.

Of the data sets at hand few pictures show it, and it is where a fused picture must not lose her. A visible picture here
is float (1, H, W) in [0, 1], and so is what comes back.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["glare", "smoke"]

_CLOUDS, _WISPS = 4, 8  # random values a side that a cloud's outline, and its brightness, are drawn through


def smoke(visible: Tensor, random: np.random.Generator) -> Tensor:
    """Grey to white clouds over the picture, dense where they are dense, with soft or hard edges."""
    height, width = visible.shape[-2:]
    level, edge, softness, density = random.uniform((0.5, 0.1, 4.0, 0.5), (1.0, 0.9, 16.0, 1.0))
    opacity = density * torch.sigmoid(softness * (_field(_CLOUDS, height, width, random) - edge))
    brightness = (level + 0.15 * (_field(_WISPS, height, width, random) - 0.5)).clamp(0.0, 1.0)
    return torch.lerp(visible, brightness, opacity)


def glare(visible: Tensor, random: np.random.Generator) -> Tensor:
    """The picture up to two and a half times as bright, saturated."""
    return (visible * random.uniform(1.0, 2.5)).clamp(0.0, 1.0)


def _field(points: int, height: int, width: int, random: np.random.Generator) -> Tensor:
    """A smooth field of about 0 to 1, (1, H, W) float32."""
    grid = torch.from_numpy(random.random((1, 1, points, points), np.float32))
    return F.interpolate(grid, size=(height, width), mode="bicubic", align_corners=False)[0]
