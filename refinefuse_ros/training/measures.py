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

"""Four of the metrics in a form that a network can be trained on: VIF, Qabf, SCD and SSIM.

`refinefuse_ros.evaluation.metrics` defines them, with their sources; the functions here follow it on float images and
whole batches. They differ from it where its form has no useful slope and in Qabf's border: on three msrs_val pairs by
up to 0.014 in Qabf and less than 0.001 in VIF and SCD. SSIM's differs where nothing but the rounding to 8 bits varies.

All images are float (N, 1, H, W) in [0, 1]; each function returns one value per image, (N,).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from refinefuse_ros.evaluation.metrics import QABF_ANGLE, QABF_STRENGTH, VIF_NOISE_VARIANCE, VIF_WINDOWS
from refinefuse_ros.training.filters import gaussian_valid, sobel

__all__ = ["edge_transfer", "information_fidelity", "structural_similarity", "sum_of_difference_correlations"]

_LEVELS = 255.0
# In squared grey levels: where nothing varies, no quotient of two variances has a slope.
_FLAT_VARIANCE = 1e-3
_FLAT_EDGE = 1e-2
_SSIM_WINDOW = 7
# The metric's own constants are far below the variance that rounding to 8 bits brings, 1 / 12 for each plane.
_SSIM_MEAN, _SSIM_VARIANCE = 4e-4, 0.3


def information_fidelity(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """VIF(ir, fused) + VIF(vis, fused); images of at least `evaluation.metrics.MIN_SIDE` pixels a side."""
    sources = torch.cat((ir, vis)) * _LEVELS
    fused = fused * _LEVELS
    kept = offered = torch.zeros(2, len(fused), device=fused.device)
    for scale, size in enumerate(VIF_WINDOWS):
        if scale > 0:
            sources, fused = (gaussian_valid(x, size)[..., ::2, ::2] for x in (sources, fused))
        mean, mean_f = gaussian_valid(sources, size), gaussian_valid(fused, size)
        both = fused.repeat(2, 1, 1, 1)
        variance = (gaussian_valid(sources.square(), size) - mean.square()).clamp_min(0.0)
        variance_f = (gaussian_valid(fused.square(), size) - mean_f.square()).repeat(2, 1, 1, 1)
        covariance = gaussian_valid(sources * both, size) - mean * mean_f.repeat(2, 1, 1, 1)
        signal = covariance.clamp_min(0.0).square() / (variance + _FLAT_VARIANCE)
        noise = (variance_f - signal).clamp_min(0.0) + VIF_NOISE_VARIANCE
        kept = kept + _per_image(torch.log1p(signal / noise))
        offered = offered + _per_image(torch.log1p(variance / VIF_NOISE_VARIANCE))
    return (kept / (offered + 1.0)).sum(dim=0)  # the 1 nat is for a source without structure, whose share is 0


def _per_image(x: Tensor) -> Tensor:
    """Sums over the pixels of (2 N, 1, H, W), as (2, N): a row per source."""
    return x.sum(dim=(1, 2, 3)).unflatten(0, (2, -1))


def edge_transfer(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Qabf; the image's edge is repeated instead of zero."""
    strength_f, angle_f = _edges(fused)
    preserved = total = torch.zeros(len(fused), device=fused.device)
    for source in (ir, vis):
        strength, angle = _edges(source)
        ratio = torch.minimum(strength, strength_f) / torch.maximum(strength, strength_f)
        alignment = 1.0 - (angle - angle_f).abs() / (math.pi / 2)
        quality = _sigmoid(ratio, *QABF_STRENGTH) * _sigmoid(alignment, *QABF_ANGLE)
        preserved = preserved + (quality * strength).sum(dim=(1, 2, 3))
        total = total + strength.sum(dim=(1, 2, 3))
    return preserved / total


def _edges(x: Tensor) -> tuple[Tensor, Tensor]:
    """Sobel strength in grey levels and angle in [-pi/2, pi/2]."""
    gx, gy = (sobel(x) * _LEVELS).split(1, dim=1)
    side = torch.where(gx < 0, -1.0, 1.0)  # the angle of a line, not of a direction
    angle = torch.atan2(-gy * side, (gx * side).clamp_min(1e-3))
    return (gx.square() + gy.square() + _FLAT_EDGE).sqrt(), angle


def _sigmoid(x: Tensor, limit: float, slope: float, middle: float) -> Tensor:
    return limit * torch.sigmoid(slope * (x - middle))


def sum_of_difference_correlations(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """SCD: r(ir, fused - vis) + r(vis, fused - ir)."""
    return _correlation(ir, fused - vis) + _correlation(vis, fused - ir)


def structural_similarity(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """SSIM(ir, fused) + SSIM(vis, fused), each the mean over the uniform 7x7 windows that lie wholly inside."""
    return _similarity(ir, fused) + _similarity(vis, fused)


def _similarity(x: Tensor, y: Tensor) -> Tensor:
    x, y = x * _LEVELS, y * _LEVELS
    pixels = _SSIM_WINDOW**2
    mean_x, mean_y, of_xx, of_yy, of_xy = F.avg_pool2d(
        torch.cat((x, y, x * x, y * y, x * y), dim=1), _SSIM_WINDOW, stride=1
    ).split(1, dim=1)
    sample = pixels / (pixels - 1)
    variance_x, variance_y, covariance = (
        sample * (square - product)
        for square, product in ((of_xx, mean_x**2), (of_yy, mean_y**2), (of_xy, mean_x * mean_y))
    )
    above = (2 * mean_x * mean_y + _SSIM_MEAN) * (2 * covariance + _SSIM_VARIANCE)
    below = (mean_x**2 + mean_y**2 + _SSIM_MEAN) * (variance_x.clamp_min(0) + variance_y.clamp_min(0) + _SSIM_VARIANCE)
    return (above / below).mean(dim=(1, 2, 3))


def _correlation(x: Tensor, y: Tensor) -> Tensor:
    x, y = (z - z.mean(dim=(1, 2, 3), keepdim=True) for z in (x, y))
    covariance, variance_x, variance_y = ((a * b).sum(dim=(1, 2, 3)) for a, b in ((x, y), (x, x), (y, y)))
    return covariance / (variance_x * variance_y + 1e-8).sqrt()
