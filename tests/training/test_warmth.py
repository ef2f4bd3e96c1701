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

"""Warm objects in training: what is lost of them, and how dark it is around them, in scenes that can be reckoned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from refinefuse_ros.evaluation.warm_objects import WarmObjects
from refinefuse_ros.training.losses import FusionLoss, LossConfig
from refinefuse_ros.training.warmth import FAR, NEAR, dark_rings, lost_contrast, warm_marks

SIZE = 120
BODIES = (slice(20, 36), slice(20, 32)), (slice(70, 90), slice(70, 84))


def thermal() -> np.ndarray:
    plane = np.full((SIZE, SIZE), 50, np.uint8)
    for body in BODIES:
        plane[body] = 200
    return plane


def batch(plane: np.ndarray) -> Tensor:
    return torch.from_numpy(plane)[None, None] / 255.0


def marks() -> Tensor:
    return torch.from_numpy(warm_marks(thermal()))[None]


def showing(*levels: int) -> Tensor:
    """A flat picture of level 100 in which the bodies have these levels."""
    plane = np.full((SIZE, SIZE), 100, np.uint8)
    for body, level in zip(BODIES, levels, strict=True):
        plane[body] = level
    return batch(plane)


def test_the_marks_are_the_evaluations_objects_and_bands() -> None:
    found, planes = WarmObjects(thermal()), warm_marks(thermal())
    assert len(found) == 2
    for number, warm in enumerate(found.objects, 1):
        np.testing.assert_array_equal(np.flatnonzero(planes[0] == number), np.sort(warm.pixels))
        np.testing.assert_array_equal(np.flatnonzero(planes[1] == number), np.sort(warm.ring))
    np.testing.assert_array_equal(np.flatnonzero(planes[2] == NEAR), np.sort(found.near))
    np.testing.assert_array_equal(np.flatnonzero(planes[2] == FAR), np.sort(found.far))


@pytest.mark.parametrize(
    ("levels", "kept"),
    [((250, 250), (1.0, 1.0)), ((190, 190), (0.6, 0.6)), ((100, 100), (0.0, 0.0)), ((10, 130), (0.6, 0.2))],
)
def test_what_is_lost_is_what_each_object_lacks_of_its_contrast_of_either_sign(levels, kept) -> None:
    expected = np.mean([max(0, 0.8 - k) + 2 * max(0, 0.35 - k) for k in kept])
    assert float(lost_contrast(showing(*levels), batch(thermal()), marks())) == pytest.approx(expected, abs=1e-5)


def test_objects_of_other_crops_are_not_mixed_up() -> None:
    both = torch.cat((showing(250, 250), showing(100, 100)))
    ir, two = (torch.cat((x, x)) for x in (batch(thermal()), marks()))
    assert float(lost_contrast(both, ir, two)) == pytest.approx((0 + 0.8 + 2 * 0.35) / 2, abs=1e-5)


def test_without_an_object_nothing_is_lost_and_nothing_is_dark() -> None:
    flat = np.full((SIZE, SIZE), 50, np.uint8)
    none = torch.from_numpy(warm_marks(flat))[None]
    assert float(lost_contrast(showing(100, 100), batch(flat), none)) == 0
    assert float(dark_rings(showing(100, 100), batch(flat), none)) == 0


@pytest.mark.parametrize(("depth", "expected"), [(0, 0.0), (1, 0.0), (21, 20 / 255), (-20, 0.0)])
def test_a_dark_ring_is_as_deep_as_it_is_beyond_a_level(depth: int, expected: float) -> None:
    vis = torch.full((1, 1, SIZE, SIZE), 0.5)
    fused = vis - depth / 255.0 * (marks()[:, 2:3] == NEAR)
    assert float(dark_rings(fused, vis, marks())) == pytest.approx(expected, abs=1e-5)


def test_the_loss_weighs_both_and_following_it_shows_who_was_lost() -> None:
    loss = FusionLoss(LossConfig(intensity_weight=0.0, texture_weight=0.0, coarse_weight=0.0, kept_weight=3.0))
    ir, vis, where = batch(thermal()), showing(100, 100), marks()
    fused = showing(104, 96).requires_grad_()
    terms = loss(fused, ir, vis, ir, where)
    assert float(terms["kept"].detach()) == pytest.approx(3.0 * float(lost_contrast(fused.detach(), ir, where)))
    assert "kept" not in loss(fused, ir, vis, ir)
    terms["total"].backward()
    assert float(fused.grad[0, 0][BODIES[0]].mean()) < 0 < float(fused.grad[0, 0][BODIES[1]].mean())
    ringed = FusionLoss(LossConfig(ring_weight=2.0))(vis - 0.1 * (where[:, 2:3] == NEAR), ir, vis, ir, where)
    assert float(ringed["ring"]) == pytest.approx(2.0 * (0.1 - 1 / 255), abs=1e-5)
