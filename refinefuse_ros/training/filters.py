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

"""Filters on one-channel images, float (N, 1, H, W), that the losses differentiate through."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["gaussian_blur", "gaussian_valid", "sobel"]

_KEPT = 64  # sizes of each constant


def _made_once(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Keeps a constant for each size: a step of training would make dozens of each, in a dozen small kernels apiece,
    and what is copied to a GPU at every step cannot be part of a CUDA graph.

    A validation may be the first that asks; training could not differentiate past a tensor of its inference mode.
    """
    return lru_cache(_KEPT)(torch.inference_mode(False)(make))


def sobel(x: Tensor) -> Tensor:
    """Horizontal and vertical Sobel gradients of (N, 1, H, W) as (N, 2, H, W); the edge is repeated."""
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), _sobel_kernels(x.dtype, x.device))


@_made_once
def _sobel_kernels(dtype: torch.dtype, device: torch.device) -> Tensor:
    kernel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], dtype=dtype, device=device)
    return torch.stack((kernel, kernel.T))[:, None]


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """Gaussian of (N, 1, H, W), cut at three sigma, mirrored at the border.

    As two matrix products: for wide kernels on one channel that is faster on a CPU than convolutions.
    """
    rows, columns = (_blur_matrix(side, sigma, x.dtype, x.device) for side in x.shape[-2:])
    return rows @ x @ columns.T


@_made_once
def _blur_matrix(side: int, sigma: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(side, side) matrix whose row i holds the Gaussian's weights of all pixels in the blurred pixel i."""
    half = min(math.ceil(3.0 * sigma), side - 1)
    offsets = torch.arange(-half, half + 1, device=device)
    weights = torch.exp(-0.5 * (offsets / sigma).square()).to(dtype)
    centres = torch.arange(side, device=device)[:, None]
    neighbours = (centres + offsets).abs()
    neighbours = (side - 1) - ((side - 1) - neighbours).abs()  # mirrored without repeating the edge pixel
    matrix = torch.zeros(side, side, dtype=dtype, device=device)
    return matrix.scatter_add_(1, neighbours, (weights / weights.sum()).expand(side, -1))


def gaussian_valid(x: Tensor, size: int) -> Tensor:
    """Gaussian window of `size` pixels and sigma size / 5 where it lies wholly inside, (N, 1, H - size + 1, ...).

    As two matrix products, like `gaussian_blur`.
    """
    rows, columns = (_window_matrix(side, size, x.dtype, x.device) for side in x.shape[-2:])
    return rows @ x @ columns.T


@_made_once
def _window_matrix(side: int, size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(side - size + 1, side) matrix whose row i holds the window's weights of the pixels from i on."""
    offsets = torch.arange(size, device=device)
    weights = torch.exp(-0.5 * ((offsets - (size - 1) / 2) / (size / 5)).square()).to(dtype)
    starts = torch.arange(side - size + 1, device=device)[:, None]
    matrix = torch.zeros(len(starts), side, dtype=dtype, device=device)
    return matrix.scatter_(1, starts + offsets, (weights / weights.sum()).expand(len(starts), -1))
