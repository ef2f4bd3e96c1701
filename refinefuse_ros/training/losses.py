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

"""What the network is trained towards: intensity, texture, the penalty on structure that neither source has,
what four metrics still lack, and warm objects that are lost.

The article's loss (section "Loss function", its ablation settings A, B and C) and the project's own are
settings of the same terms. All images are float (N, 1, H, W) in [0, 1]; every loss is a scalar averaged
over all pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refinefuse_ros.training.filters import gaussian_blur, sobel
from refinefuse_ros.training.measures import (
    edge_transfer,
    information_fidelity,
    structural_similarity,
    sum_of_difference_correlations,
)
from refinefuse_ros.training.warmth import dark_rings, lost_contrast

__all__ = [
    "FusionLoss",
    "LossConfig",
    "contrast_mask",
    "dark_outlines",
    "distance_to_teacher",
    "excess_coarse_gradient",
    "thermal_saliency",
]

_CONTRAST_SIGMA = 1.5  # with the cut at three sigma: the 9x9 window, and a rim of a hundredth of the weight
_CONTRAST_MARGIN = 1e-6  # in squared grey levels 0.07: below it the difference is float rounding
_COARSE_SIGMA = 6.0
_OUTLINE_SIGMA, _OUTLINE_WINDOW, _OUTLINE_MARGIN = 1.5, 5, 4.0 / 255.0


@dataclass(frozen=True)
class LossConfig:
    """Which terms and how strong; config/train/ has the article's settings and the project's own.

    intensity: "mask" is the article's (equation 7); "mean" and "max" are its ablation settings A and B
        (equations 10 and 11); "salient_max" mixes the distance to the brighter source with the distance to
        thermal where it is salient and to visible elsewhere.
    salience_share: how much of "salient_max" is the latter distance, 0 to 1.
    texture: "magnitude" is the article's (equation 8); "signed" follows the signed gradient of the stronger
        source.
    texture_gain: the gradients that texture aims at are the sources' times this; the article's is 1.
    intensity_weight, texture_weight, coarse_weight: factors of the three terms. Setting C is texture_weight
        0. The coarse term is 100 times the excess coarse gradient on images in [0, 1].
    vif_weight, qabf_weight, scd_weight: factors of what each metric lacks to its ideal: 2 - VIF, 1 - Qabf and
        2 - SCD. They ask for what the other terms only approach; alone they would draw halos, so a greater
        coarse_weight belongs to them.
    ssim_weight: likewise, 2 - SSIM.
    outline_weight: factor of what is darker than its surroundings in the brighter source: the rims that texture
        and those three draw around warm things, and bright skies turned grey.
    kept_weight: factor of what warm objects lack of their contrast (`training/warmth.py`): nobody is to be lost.
    ring_weight: factor of how dark the surroundings of warm objects are.
    """

    intensity: Literal["mask", "mean", "max", "salient_max"] = "salient_max"
    salience_share: float = 0.5
    texture: Literal["magnitude", "signed"] = "signed"
    texture_gain: float = 1.0
    intensity_weight: float = 5.0
    texture_weight: float = 5.0
    coarse_weight: float = 1.0
    vif_weight: float = 0.0
    qabf_weight: float = 0.0
    scd_weight: float = 0.0
    ssim_weight: float = 0.0
    outline_weight: float = 0.0
    kept_weight: float = 0.0
    ring_weight: float = 0.0

    @property
    def asks_for_warm_objects(self) -> bool:
        """Whether a term needs to know where they are."""
        return bool(self.kept_weight or self.ring_weight)


class FusionLoss(nn.Module):
    """The training loss: its terms as `LossConfig` chooses and weighs them."""

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        for name, known in (("intensity", _INTENSITY), ("texture", _TEXTURE)):
            if getattr(config, name) not in known:
                raise ValueError(f"{name} is {getattr(config, name)!r}; give one of {', '.join(known)}.")
        self.config = config

    def forward(
        self, fused: Tensor, ir: Tensor, vis: Tensor, salient: Tensor, marks: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The weighted terms by name and their sum as "total".

        Args:
            fused, ir, vis: (N, 1, H, W) in [0, 1].
            salient: as of `thermal_saliency`.
            marks: as of `warm_marks`, uint8 (N, 3, H, W); None leaves out what asks for warm objects.
        """
        config = self.config
        intensity = _INTENSITY[config.intensity](fused, ir, vis, salient, config.salience_share)
        terms = {"intensity": config.intensity_weight * intensity}
        if config.texture_weight:
            texture = _TEXTURE[config.texture](fused, ir, vis, config.texture_gain)
            terms["texture"] = config.texture_weight * texture
        if config.coarse_weight:
            terms["coarse"] = config.coarse_weight * 100.0 * excess_coarse_gradient(fused, ir, vis)
        if config.outline_weight:
            terms["outline"] = config.outline_weight * dark_outlines(fused, ir, vis)
        if marks is not None and config.kept_weight:
            terms["kept"] = config.kept_weight * lost_contrast(fused, ir, marks)
        if marks is not None and config.ring_weight:
            terms["ring"] = config.ring_weight * dark_rings(fused, vis, marks)
        for name, (ideal, measure) in _MEASURES.items():
            if weight := getattr(config, f"{name}_weight"):
                terms[name] = weight * (ideal - measure(fused, ir, vis).mean())
        return {**terms, "total": torch.stack(list(terms.values())).sum()}


def _intensity_mask(fused: Tensor, ir: Tensor, vis: Tensor, salient: Tensor, share: float) -> Tensor:
    mask = torch.maximum((salient > 0.5).to(ir.dtype), contrast_mask(ir, vis))
    return (mask * (fused - ir)).abs().mean() + ((1.0 - mask) * (fused - vis)).abs().mean()


def _intensity_mean(fused: Tensor, ir: Tensor, vis: Tensor, salient: Tensor, share: float) -> Tensor:
    return ((fused - ir).abs() + (fused - vis).abs()).mean()


def _intensity_max(fused: Tensor, ir: Tensor, vis: Tensor, salient: Tensor, share: float) -> Tensor:
    return (fused - torch.maximum(ir, vis)).abs().mean()


def _intensity_salient_max(fused: Tensor, ir: Tensor, vis: Tensor, salient: Tensor, share: float) -> Tensor:
    by_salience = (fused - torch.lerp(vis, ir, salient)).abs().mean()
    return share * by_salience + (1.0 - share) * (fused - torch.maximum(ir, vis)).abs().mean()


def _texture_magnitude(fused: Tensor, ir: Tensor, vis: Tensor, gain: float) -> Tensor:
    strongest = torch.maximum(sobel(ir).abs(), sobel(vis).abs())
    return (sobel(fused).abs() - gain * strongest).abs().mean()


def _texture_signed(fused: Tensor, ir: Tensor, vis: Tensor, gain: float) -> Tensor:
    of_ir, of_vis = sobel(ir), sobel(vis)
    ir_is_stronger = of_ir.square().sum(dim=1, keepdim=True) > of_vis.square().sum(dim=1, keepdim=True)
    return (sobel(fused) - gain * torch.where(ir_is_stronger, of_ir, of_vis)).abs().mean()


_INTENSITY = {
    "mask": _intensity_mask,
    "mean": _intensity_mean,
    "max": _intensity_max,
    "salient_max": _intensity_salient_max,
}
_TEXTURE = {"magnitude": _texture_magnitude, "signed": _texture_signed}
_MEASURES = {
    "vif": (2.0, information_fidelity),
    "qabf": (1.0, edge_transfer),
    "scd": (2.0, sum_of_difference_correlations),
    "ssim": (2.0, structural_similarity),
}


def contrast_mask(ir: Tensor, vis: Tensor) -> Tensor:
    """1 where thermal's local contrast exceeds the visible one, else 0; (N, 1, H, W).

    Local contrast is the Gaussian-weighted variance around a pixel (sigma 1.5, about 9x9): the article's
    squared difference between a pixel and the average around it, averaged over the window.
    """

    def contrast(x: Tensor) -> Tensor:
        return gaussian_blur(x * x, _CONTRAST_SIGMA) - gaussian_blur(x, _CONTRAST_SIGMA).square()

    return (contrast(ir) > contrast(vis) + _CONTRAST_MARGIN).to(ir.dtype)


def excess_coarse_gradient(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Mean gradient of the blurred fused image beyond that of both blurred sources: halos and patches
    (DESIGN's ECG).

    The measure of refinefuse_ros.evaluation in a differentiable form and in [0, 1] units: Gaussian of sigma 6
    px, Sobel / 8, average of max(0, |grad F| - max(|grad ir|, |grad vis|)).
    """

    def slope(x: Tensor) -> Tensor:
        blurred = gaussian_blur(x, _COARSE_SIGMA)
        # the small constant keeps the square root's slope finite on flat areas
        return (sobel(blurred).square().sum(dim=1, keepdim=True) / 64.0 + 1e-12).sqrt()

    return F.relu(slope(fused) - torch.maximum(slope(ir), slope(vis))).mean()


def dark_outlines(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """How much darker the fused image is than its surroundings in the brighter source, on average; in [0, 1].

    Of the lowest value of max(ir, vis) in 5x5 pixels, less the fused image blurred by 1.5 pixels and a margin of
    4 / 255, the positive part.
    """
    brighter = torch.maximum(ir, vis)
    lowest = -F.max_pool2d(-brighter, _OUTLINE_WINDOW, stride=1, padding=_OUTLINE_WINDOW // 2)
    return F.relu(lowest - gaussian_blur(fused, _OUTLINE_SIGMA) - _OUTLINE_MARGIN).mean()


def thermal_saliency(ir: Tensor) -> Tensor:
    """How much each pixel stands out as warm, 0 to 1, (N, 1, H, W): in place of salient-object labels.

    A pixel's excess over its wide surroundings (Gaussian with a sigma of a tenth of the shorter side), in
    standard deviations of the image: 0 up to a half, 1 from one and a half on. Call it on whole images: on
    crops it depends on the crop.
    """
    surroundings = gaussian_blur(ir, min(ir.shape[-2:]) / 10.0)
    deviation = ir.std(dim=(2, 3), keepdim=True).clamp_min(1e-3)
    return ((gaussian_blur(ir, 1.0) - surroundings) / deviation - 0.5).clamp(0.0, 1.0)


def distance_to_teacher(fused: Tensor, teacher: Tensor) -> Tensor:
    """Mean L1 distance between two fused images and between their Sobel gradients: the distillation term."""
    return (fused - teacher).abs().mean() + (sobel(fused) - sobel(teacher)).abs().mean()
