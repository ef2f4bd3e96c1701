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

"""Each loss term on images small or simple enough to know the answer."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from refinefuse_ros.evaluation.metrics import ecg
from refinefuse_ros.training.losses import (
    FusionLoss,
    LossConfig,
    contrast_mask,
    dark_outlines,
    distance_to_teacher,
    excess_coarse_gradient,
    thermal_saliency,
)


def flat(value: float) -> Tensor:
    return torch.full((1, 1, 32, 32), value)


def term(name: str, config: LossConfig, fused: Tensor, ir: Tensor, vis: Tensor, salient: Tensor) -> float:
    return float(FusionLoss(config)(fused, ir, vis, salient)[name])


def test_a_dark_rim_is_an_outline_and_the_sources_edges_are_none() -> None:
    vis = torch.full((1, 1, 64, 64), 0.8)
    ir = torch.zeros(1, 1, 64, 64)
    ir[..., 24:40, 24:40] = 1.0
    brighter = torch.maximum(ir, vis)
    assert dark_outlines(brighter, ir, vis) < 1e-5  # the blur of the corners
    rimmed = brighter.clone()
    rimmed[..., 20:44, 20:44] = 0.5
    rimmed[..., 24:40, 24:40] = 1.0
    found = float(dark_outlines(rimmed, ir, vis))
    assert 0.01 < found < 0.3 * (24**2 - 16**2) / 64**2
    assert term("outline", LossConfig(outline_weight=2.0), rimmed, ir, vis, ir) == pytest.approx(2.0 * found)


@pytest.mark.parametrize(
    ("intensity", "salient", "expected"),
    [
        ("mean", 0.0, 0.3 + 0.1),  # |0.5 - 0.8| + |0.5 - 0.4|
        ("max", 0.0, 0.3),  # |0.5 - 0.8|
        ("mask", 1.0, 0.3),  # salient: thermal
        ("mask", 0.0, 0.1),  # both flat, neither has the greater contrast: visible
        ("salient_max", 0.0, (0.3 + 0.1) / 2),
        ("salient_max", 0.5, (0.3 + 0.1) / 2),  # halfway: |0.5 - 0.6|
        ("salient_max", 1.0, 0.3),
    ],
)
def test_intensity_of_flat_images(intensity: str, salient: float, expected: float):
    config = LossConfig(intensity=intensity, intensity_weight=1.0)
    found = term("intensity", config, flat(0.5), flat(0.8), flat(0.4), flat(salient))
    assert found == pytest.approx(expected, abs=1e-6)


def test_the_salience_share_weighs_the_two_distances():
    config = LossConfig(salience_share=0.25, intensity_weight=1.0)
    found = term("intensity", config, flat(0.5), flat(0.8), flat(0.4), flat(0.0))
    assert found == pytest.approx(0.75 * 0.3 + 0.25 * 0.1, abs=1e-6)


def test_mask_takes_thermal_where_its_contrast_is_greater():
    ir, vis = flat(0.2), flat(0.7)
    ir[..., 16, 16] = 0.9
    mask = contrast_mask(ir, vis)
    assert mask[0, 0, 16, 16] == 1
    assert mask[0, 0, 16, 13] == 1
    assert mask[0, 0, 16, 4] == 0
    assert contrast_mask(vis, ir).sum() == 0


@pytest.mark.parametrize("texture", ["magnitude", "signed"])
def test_texture_is_zero_for_the_source_that_is_stronger_everywhere(texture: str):
    ramp = torch.linspace(0, 1, 32).expand(1, 1, 32, 32)
    config = LossConfig(texture=texture)
    assert term("texture", config, ramp, ramp, flat(0.5), flat(0.0)) == pytest.approx(0.0, abs=1e-6)
    assert term("texture", config, flat(0.5), ramp, flat(0.5), flat(0.0)) > 0.1


def test_only_the_signed_texture_minds_an_inverted_edge():
    ramp = torch.linspace(0, 1, 32).expand(1, 1, 32, 32)
    inverted = 1.0 - ramp
    assert term("texture", LossConfig(texture="magnitude"), inverted, ramp, flat(0.5), flat(0.0)) < 1e-5
    assert term("texture", LossConfig(texture="signed"), inverted, ramp, flat(0.5), flat(0.0)) > 0.1


@pytest.mark.parametrize("texture", ["magnitude", "signed"])
def test_texture_gain_aims_at_steeper_gradients(texture: str):
    ramp = torch.linspace(0, 0.5, 32).expand(1, 1, 32, 32)
    config = LossConfig(texture=texture, texture_gain=1.5)
    assert term("texture", config, 1.5 * ramp, ramp, flat(0.5), flat(0.0)) == pytest.approx(0.0, abs=1e-6)
    assert term("texture", config, ramp, ramp, flat(0.5), flat(0.0)) > 0.05


def test_the_teacher_is_matched_in_level_and_gradient():
    ramp = torch.linspace(0, 0.5, 32).expand(1, 1, 32, 32)
    assert distance_to_teacher(ramp, ramp) == 0
    assert distance_to_teacher(flat(0.5), flat(0.3)) == pytest.approx(0.2)
    assert distance_to_teacher(ramp, flat(0.25)) > (ramp - 0.25).abs().mean()


def test_coarse_penalty_is_the_evaluations_measure():
    random = np.random.default_rng(3)
    planes = [cv2.GaussianBlur(random.integers(0, 256, (64, 80), np.uint8), (0, 0), 3) for _ in range(3)]
    planes = [cv2.normalize(plane, None, 0, 255, cv2.NORM_MINMAX) for plane in planes]
    ir, vis, fused = (torch.from_numpy(plane)[None, None] / 255.0 for plane in planes)
    found = float(excess_coarse_gradient(fused, ir, vis)) * 255.0 * 100.0
    assert found == pytest.approx(ecg(*planes), rel=0.03)


@settings(max_examples=10, deadline=None)
@given(weight=st.floats(0.0, 1.0), seed=st.integers(0, 100))
def test_a_fixed_blend_of_the_sources_has_hardly_any_coarse_penalty(weight: float, seed: int):
    ir, vis = torch.rand(2, 1, 1, 40, 56, generator=torch.Generator().manual_seed(seed))
    assert excess_coarse_gradient(torch.lerp(vis, ir, weight), ir, vis) < 1e-5


def test_a_warm_walker_is_salient_and_the_background_is_not():
    ir = flat(0.2) + 0.02 * torch.rand(1, 1, 32, 32)
    ir[..., 10:22, 14:18] = 0.9
    salience = thermal_saliency(ir)
    assert salience[..., 12:20, 15:17].min() > 0.9
    assert salience[..., :, :6].max() == 0
    assert thermal_saliency(flat(0.9)).max() == 0


def test_terms_add_up_and_a_weight_of_zero_switches_one_off():
    planes = torch.rand(4, 1, 1, 32, 32)
    terms = FusionLoss(LossConfig(texture_weight=0.0, coarse_weight=2.0))(*planes)
    assert set(terms) == {"intensity", "coarse", "total"}
    assert terms["total"] == pytest.approx(float(terms["intensity"] + terms["coarse"]))


@pytest.mark.parametrize("intensity", ["mask", "mean", "max", "salient_max"])
@pytest.mark.parametrize("texture", ["magnitude", "signed"])
def test_gradients_are_finite_even_on_flat_images(intensity: str, texture: str):
    fused = flat(0.5).requires_grad_()
    FusionLoss(LossConfig(intensity, texture=texture))(fused, flat(0.5), flat(0.5), flat(0.0))["total"].backward()
    assert torch.isfinite(fused.grad).all()


def test_unknown_settings_are_refused_by_name():
    with pytest.raises(ValueError, match=r"'median'.*mask"):
        FusionLoss(LossConfig(intensity="median"))
