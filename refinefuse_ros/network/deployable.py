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

"""The network as it is deployed: uint8 planes in, a uint8 plane out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from refinefuse_ros.network.model import RefineFuse


class Deployable(nn.Module):
    """RefineFuse between 8-bit planes, so that scaling, clipping and rounding are part of the graph.

    Takes `thermal` and `visible`, gives `fused`, each (1, 1, H, W) uint8; H and W are multiples of the network's size
    multiple: the caller pads and crops.
    """

    def __init__(self, model: RefineFuse) -> None:
        super().__init__()
        self.model = model

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        fused = self.model(thermal.float() / 255.0, visible.float() / 255.0)
        return torch.round(fused.clamp(0.0, 1.0) * 255.0).to(torch.uint8)  # torch rounds halves to even
