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

"""RefineFuse, the network: two encoders, SFIM and PSIM per level, FIM, decoders; and the padding that lets it
take any image size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refinefuse_ros.network.blocks import FIM, PSIM, SFIM, ConcatFusion, Decoder, Encoder, Head

__all__ = ["MINIMUM_SIDE", "RefineFuse", "RefineFuseConfig", "fuse_any_size"]

MINIMUM_SIDE = 32
"""Smallest height and width (pixels) that `fuse_any_size` accepts."""


@dataclass(frozen=True)
class RefineFuseConfig:
    """The shape of a RefineFuse network.

    encoder: channels of each level, finest first; as many levels as entries (the article: 4, its ablations:
        1, 2, 3, 5).
    head: channels of decoder 1's hidden convolutions.
    grids: side of the PSIM grid of each level beyond the shallow ones.
    shallow_levels: how many of the finest levels meet in SFIM; the others meet in PSIM.
    sfim, psim, fim: the article's ablations (Table 9); off is concatenation with a 3x3 convolution, for FIM
        an addition.
    unshuffle: the trunk works at 1 / unshuffle of the image's resolution (1 is the article's network).
    output: "image" is the article's Tanh image; "blend" predicts per pixel a weight and a residual on the two
        sources.
    """

    encoder: tuple[int, ...]
    head: tuple[int, ...]
    grids: tuple[int, ...]
    shallow_levels: int = 2
    sfim: bool = True
    psim: bool = True
    fim: bool = True
    unshuffle: int = 1
    output: Literal["image", "blend"] = "image"

    def __post_init__(self) -> None:
        for name in ("encoder", "head", "grids"):  # JSON and YAML give lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        deep = len(self.encoder) - self.shallow_levels
        if not 1 <= self.shallow_levels <= len(self.encoder):
            raise ValueError(
                f"shallow_levels is {self.shallow_levels} with {len(self.encoder)} encoder levels;"
                " give at least 1 and at most all."
            )
        if len(self.grids) != deep:
            raise ValueError(
                f"grids has {len(self.grids)} entries for {deep} levels beyond the shallow ones; give {deep}."
            )
        if self.output not in ("image", "blend"):
            raise ValueError(f"output is {self.output!r}; give 'image' or 'blend'.")
        if min((*self.encoder, *self.head, *self.grids, self.unshuffle)) < 1:
            raise ValueError("a width, a grid or unshuffle is below 1; give positive numbers.")

    @property
    def size_multiple(self) -> int:
        """What height and width must be a multiple of (pixels)."""
        return self.unshuffle * 2 ** (len(self.encoder) - 1)


class RefineFuse(nn.Module):
    """The fusion network (article, section "Approach" and Figure 2)."""

    def __init__(self, config: RefineFuseConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.encoder
        planes = config.unshuffle**2
        self.encoder_ir = Encoder(planes, widths)
        self.encoder_vis = Encoder(planes, widths)
        self.interactions = nn.ModuleList(self._interaction(level) for level in range(len(widths)))
        self.fim = FIM() if config.fim else None
        # decoders[i] brings level i + 1 up to level i
        self.decoders = nn.ModuleList(
            Decoder(widths[level] * self._join_factor(level), widths[level - 1]) for level in range(1, len(widths))
        )
        outputs = planes * (1 if config.output == "image" else 2)
        self.head = Head(widths[0] * self._join_factor(0), config.head, outputs)

    def _interaction(self, level: int) -> nn.Module:
        width, shallow = self.config.encoder[level], self.config.shallow_levels
        if level < shallow:
            return SFIM(width) if self.config.sfim else ConcatFusion(width)
        return PSIM(width, self.config.grids[level - shallow]) if self.config.psim else ConcatFusion(width)

    def _is_bridge(self, level: int) -> bool:
        """Whether FIM (or, switched off, an addition) joins the decoder below to this level."""
        return level == self.config.shallow_levels - 1

    def _join_factor(self, level: int) -> int:
        deepest = level == len(self.config.encoder) - 1
        return 1 if deepest or self._is_bridge(level) else 2

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fuse thermal and visible luma, each (N, 1, H, W) float in [0, 1], to (N, 1, H, W) in [0, 1].

        H and W must be multiples of `config.size_multiple`; `fuse_any_size` takes the others.
        """
        factor = self.config.unshuffle
        if factor > 1:
            ir, vis = F.pixel_unshuffle(ir, factor), F.pixel_unshuffle(vis, factor)
        levels = zip(self.interactions, self.encoder_ir(ir), self.encoder_vis(vis), strict=True)
        fused = [interact(of_ir, of_vis) for interact, of_ir, of_vis in levels]
        x = fused[-1]
        for level in range(len(fused) - 2, -1, -1):
            x = self._join(level, fused[level], self.decoders[level](x))
        x = self._output(self.head(x), ir, vis)
        return F.pixel_shuffle(x, factor) if factor > 1 else x

    def _output(self, x: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
        """The fused planes, in the trunk's resolution, from the head's output."""
        if self.config.output == "image":
            return (torch.tanh(x) + 1.0) / 2.0
        weight, residual = x.split(self.config.unshuffle**2, dim=1)
        return (vis + torch.sigmoid(weight) * (ir - vis) + residual).clamp(0.0, 1.0)

    def _join(self, level: int, shallow: Tensor, deep: Tensor) -> Tensor:
        if not self._is_bridge(level):
            return torch.cat((shallow, deep), dim=1)
        return self.fim(shallow, deep) if self.fim is not None else shallow + deep


def fuse_any_size(model: RefineFuse, ir: Tensor, vis: Tensor) -> Tensor:
    """Run `model` on images of any height and width of at least 32 pixels.

    Pads bottom and right by repeating the edge to the model's size multiple, and crops back: the engines do
    the same, so the exported graph never pads. Shapes and ranges as in `RefineFuse.forward`.

    Raises:
        ValueError: the two images differ in shape, or one side is below `MINIMUM_SIDE`.
    """
    if ir.shape != vis.shape:
        raise ValueError(f"thermal is {tuple(ir.shape)} and visible {tuple(vis.shape)}; give both the same shape.")
    height, width = ir.shape[-2:]
    if min(height, width) < MINIMUM_SIDE:
        raise ValueError(f"the image is {width}x{height}; give at least {MINIMUM_SIDE}x{MINIMUM_SIDE} pixels.")
    multiple = model.config.size_multiple
    padding = (0, -width % multiple, 0, -height % multiple)
    fused = model(F.pad(ir, padding, mode="replicate"), F.pad(vis, padding, mode="replicate"))
    return fused[..., :height, :width]
