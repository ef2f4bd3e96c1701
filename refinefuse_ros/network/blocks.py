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

"""The blocks of RefineFuse (article, section "Approach"): encoder, SFIM, PSIM, FIM and decoders.

Every tensor is float of shape (N, C, H, W). The blocks hold no data-dependent control flow and no adaptive
pooling, so that they export to ONNX with dynamic height and width. What the article leaves open is settled in
docs/paper.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["FIM", "PSIM", "SFIM", "ConcatFusion", "Decoder", "Encoder", "Head"]


def _conv3(inputs: int, outputs: int, stride: int = 1, groups: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, groups=groups, bias=bias)


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


class Encoder(nn.Module):
    """One modality's pyramid: a 3x3 convolution and ReLU per level, stride 1 at the first, 2 at the others."""

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        sizes = (inputs, *widths)
        self.levels = nn.ModuleList(
            _conv3(sizes[i], sizes[i + 1], stride=1 if i == 0 else 2) for i in range(len(widths))
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features of all levels, finest first; level i is (N, widths[i], H / 2**i, W / 2**i)."""
        features = []
        for level in self.levels:
            x = F.relu(level(x))
            features.append(x)
        return features


class ConcatFusion(nn.Module):
    """Concatenation and a 3x3 convolution: stands in for SFIM and PSIM where they are switched off."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fuse = _conv3(2 * width, width)

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        return self.fuse(torch.cat((ir, vis), dim=1))


class SFIM(nn.Module):
    """Superficial feature interaction (equations 1 and 2): spatial attention, then fusion channel by channel.

    The article interleaves both modalities' channels and fuses each pair with a grouped 3x3 convolution. That
    is the sum of one depthwise convolution per modality; written so, nothing is shuffled.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = _conv3(2, 2)
        self.fuse_ir = _conv3(width, width, groups=width)
        self.fuse_vis = _conv3(width, width, groups=width, bias=False)

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        # over the channels of both: pooled one by one, which spares copying them together
        largest = torch.maximum(ir.amax(dim=1, keepdim=True), vis.amax(dim=1, keepdim=True))
        average = (ir.mean(dim=1, keepdim=True) + vis.mean(dim=1, keepdim=True)) / 2.0
        pooled = torch.cat((largest, average), dim=1)
        weights = torch.sigmoid(self.attention(pooled)) + 1.0  # F + F * A
        return self.fuse_ir(ir * weights[:, 0:1]) + self.fuse_vis(vis * weights[:, 1:2])


class PSIM(nn.Module):
    """Profound semantic interaction (equations 3 and 4): cross-attention on a small grid of fixed size.

    Keys and values come from each modality, the query from both together. `grid` is the side of the square
    grid: features of any size are brought to (4 grid, 4 grid) bilinearly and averaged 4x4, so the cost of
    attention does not grow with the image.
    """

    def __init__(self, width: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.scale = 1.0 / math.sqrt(width)
        self.query = _conv3(2 * width, width)
        self.key_ir = _conv3(width, width)
        self.key_vis = _conv3(width, width)
        self.value_ir = _conv3(width, width)
        self.value_vis = _conv3(width, width)
        self.fuse = _conv3(2 * width, width)

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        small_ir, small_vis = self._to_grid(ir), self._to_grid(vis)
        query = self.query(torch.cat((small_ir, small_vis), dim=1)).flatten(2) * self.scale
        ir = ir + self._attend(query, self.key_ir(small_ir), self.value_ir(small_ir), ir)
        vis = vis + self._attend(query, self.key_vis(small_vis), self.value_vis(small_vis), vis)
        return self.fuse(torch.cat((ir, vis), dim=1))

    def _to_grid(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(_resize(x, (4 * self.grid, 4 * self.grid)), 4)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, like: Tensor) -> Tensor:
        attention = torch.softmax(query.transpose(1, 2) @ key.flatten(2), dim=-1)  # (N, positions, positions)
        context = value.flatten(2) @ attention.transpose(1, 2)
        return _resize(context.unflatten(2, (self.grid, self.grid)), like.shape[-2:])


class FIM(nn.Module):
    """Deep and superficial features meet (equation 5): the deep one guides the shallow one and is added.

    Channel weights from both features' global averages weigh the shallow one. `deep` is a decoder's output,
    so it already has the size and the width of `shallow`.
    """

    def forward(self, shallow: Tensor, deep: Tensor) -> Tensor:
        deep_weights = torch.sigmoid(deep.mean(dim=(2, 3), keepdim=True))
        shallow_weights = torch.sigmoid(shallow.mean(dim=(2, 3), keepdim=True))
        return shallow * (deep_weights + shallow_weights) + deep


class Decoder(nn.Module):
    """A decoder beyond the first: 1x1 and 3x3 convolutions with ReLU, then bilinear upsampling by 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(inputs, outputs, 1)
        self.refine = _conv3(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.refine(F.relu(self.mix(x))))
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class Head(nn.Sequential):
    """Decoder 1: 3x3 convolutions with ReLU between them; the last one's activation is the caller's."""

    def __init__(self, inputs: int, widths: Sequence[int], outputs: int) -> None:
        sizes = (inputs, *widths, outputs)
        layers: list[nn.Module] = []
        for i in range(len(sizes) - 1):
            layers += [_conv3(sizes[i], sizes[i + 1]), nn.ReLU()]
        super().__init__(*layers[:-1])
