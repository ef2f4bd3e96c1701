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

"""Warm objects in training: that none is lost, and that none gets a dark ring (the evaluation's KEPT, LOST and RING).

Where they are is found once, on whole thermal images, and goes through every crop and turn with the pictures: `marks`,
uint8 (..., 3, H, W), are the number of the object that a pixel belongs to, the number of the object whose ring it
belongs to (each 0 for none), and `NEAR` or `FAR` where RING compares. Pictures are float (N, 1, H, W) in [0, 1].
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from refinefuse_ros.evaluation.warm_objects import WarmObjects

__all__ = ["FAR", "NEAR", "dark_rings", "lost_contrast", "warm_marks"]

NEAR, FAR = 1, 2
_NUMBERS = 31  # of objects in an image; further ones share them, which is of no weight
_LEAST_PIXELS = 12  # of an object, and of its ring, in a crop
_LEAST_CONTRAST = 20.0 / 255.0
_ENOUGH, _LITTLE = 0.8, 0.35  # shares of the thermal contrast: what is wanted, and what is nearly lost
_LEAST_BAND = 30  # pixels near objects, and far from them
_RING_MARGIN = 1.0 / 255.0


def warm_marks(thermal: np.ndarray) -> np.ndarray:
    """The marks of a whole thermal plane, uint8 (H, W), as uint8 (3, H, W)."""
    found = WarmObjects(thermal)
    marks = np.zeros((3, thermal.size), np.uint8)
    for index, warm in enumerate(found.objects):
        number = index % _NUMBERS + 1
        marks[0, warm.pixels] = number
        marks[1, warm.ring] = number
    marks[2, found.far] = FAR
    marks[2, found.near] = NEAR
    return marks.reshape(3, *thermal.shape)


def lost_contrast(fused: Tensor, ir: Tensor, marks: Tensor) -> Tensor:
    """How much the warm objects lack of their contrast, on average over all of a batch's crops.

    k is an object's contrast to its ring in the fused picture, of either sign, over that in thermal; what it lacks is
    max(0, 0.8 - k) + 2 max(0, 0.35 - k). 0 where there is no object.
    """
    pictures = torch.cat((ir, fused), dim=1)
    (inside, pixels), (around, ring_pixels) = (_means(pictures, marks[:, plane]) for plane in (0, 1))
    of_ir, of_fused = (inside - around).unbind(dim=2)
    known = (pixels >= _LEAST_PIXELS) & (ring_pixels >= _LEAST_PIXELS)
    counted = (known & (of_ir >= _LEAST_CONTRAST)).to(fused.dtype)
    kept = of_fused.abs() / of_ir.clamp_min(_LEAST_CONTRAST)
    lacking = F.relu(_ENOUGH - kept) + 2.0 * F.relu(_LITTLE - kept)
    return (lacking * counted).sum() / counted.sum().clamp_min(1.0)


def _means(pictures: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of each of (N, K, H, W) over the pixels of each number, (N, numbers, K), and how many these are.

    By one product with all masks: adding pixel by pixel waits, on a GPU, for all that belong to no object.
    """
    every = torch.arange(1, _NUMBERS + 1, device=pictures.device)[None, :, None]
    masks = (numbers.flatten(1)[:, None] == every).to(pictures.dtype)
    pixels = masks.sum(dim=2)
    return masks @ pictures.flatten(2).transpose(1, 2) / pixels.clamp_min(1.0)[..., None], pixels


def dark_rings(fused: Tensor, vis: Tensor, marks: Tensor) -> Tensor:
    """How much darker, than further away, fused is of visible beside warm objects, on average over the crops with both.

    The positive part of fused minus visible 20 to 30 pixels from the nearest object, less the same 2 to 4 pixels from
    it, less a margin of 1 / 255.
    """
    changed = fused - vis
    near, far = ((marks[:, 2:3] == band).to(fused.dtype) for band in (NEAR, FAR))
    (of_near, near_pixels), (of_far, far_pixels) = (
        ((changed * band).sum(dim=(1, 2, 3)), band.sum(dim=(1, 2, 3))) for band in (near, far)
    )
    deeper = of_far / far_pixels.clamp_min(1.0) - of_near / near_pixels.clamp_min(1.0)
    counted = ((near_pixels >= _LEAST_BAND) & (far_pixels >= _LEAST_BAND)).to(fused.dtype)
    return (F.relu(deeper - _RING_MARGIN) * counted).sum() / counted.sum().clamp_min(1.0)
