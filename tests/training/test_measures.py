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

"""The metrics to train on are those of the evaluation, and a network can follow their slope."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from refinefuse_ros.evaluation import metrics
from refinefuse_ros.training.losses import FusionLoss, LossConfig
from refinefuse_ros.training.measures import (
    edge_transfer,
    information_fidelity,
    structural_similarity,
    sum_of_difference_correlations,
)

Measure = Callable[[Tensor, Tensor, Tensor], Tensor]
MEASURES = {
    information_fidelity: metrics.vif,
    edge_transfer: metrics.qabf,
    sum_of_difference_correlations: metrics.scd,
    structural_similarity: metrics.ssim,
}
each_measure = pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.__name__)


def picture(seed: int, shape: tuple[int, int] = (72, 96)) -> np.ndarray:
    blurred = cv2.GaussianBlur(np.random.default_rng(seed).integers(0, 256, shape, np.uint8), (0, 0), 2)
    blurred = cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX)
    return cv2.copyMakeBorder(blurred, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=0)  # no edge beyond, as Qabf assumes


def batch(*planes: np.ndarray) -> Tensor:
    return torch.from_numpy(np.stack(planes))[:, None] / 255.0


@each_measure
def test_a_batch_scores_as_the_evaluation_scores_each_image(measure: Measure):
    pairs = [(picture(seed), picture(seed + 10)) for seed in range(3)]
    planes = [(ir, vis, cv2.addWeighted(ir, 0.6, vis, 0.5 - 0.1 * i, 0)) for i, (ir, vis) in enumerate(pairs)]
    irs, viss, fuseds = (batch(*column) for column in zip(*planes, strict=True))
    expected = [MEASURES[measure](*triple) for triple in planes]
    assert measure(fuseds, irs, viss).tolist() == pytest.approx(expected, rel=0.02)


@each_measure
def test_following_the_slope_raises_the_evaluations_score(measure: Measure):
    ir, vis = picture(1), picture(2)
    start = cv2.GaussianBlur(cv2.addWeighted(ir, 0.5, vis, 0.5, 0), (0, 0), 1)
    fused = batch(start).requires_grad_()
    optimizer = torch.optim.Adam([fused], 0.005)
    for _ in range(10):
        optimizer.zero_grad()
        (-measure(fused, batch(ir), batch(vis))).sum().backward()
        optimizer.step()
    improved = torch.round(fused.detach()[0, 0].clamp(0, 1) * 255).to(torch.uint8).numpy()
    score = MEASURES[measure]
    assert score(ir, vis, improved) > score(ir, vis, start) + 0.02


@each_measure
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_flat_images_have_a_finite_value_and_slope(measure: Measure, level: float):
    fused = torch.full((2, 1, 48, 48), level, requires_grad=True)
    value = measure(fused, torch.zeros(2, 1, 48, 48), torch.ones(2, 1, 48, 48))
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(fused.grad).all()


def test_the_loss_counts_what_each_metric_lacks():
    fused, ir, vis = batch(picture(1)), batch(picture(2)), batch(picture(3))
    terms = FusionLoss(LossConfig(vif_weight=0.5, qabf_weight=2.0, scd_weight=0.25))(fused, ir, vis, ir)
    assert terms["vif"] == pytest.approx(0.5 * (2.0 - float(information_fidelity(fused, ir, vis))))
    assert terms["qabf"] == pytest.approx(2.0 * (1.0 - float(edge_transfer(fused, ir, vis))))
    assert terms["scd"] == pytest.approx(0.25 * (2.0 - float(sum_of_difference_correlations(fused, ir, vis))))
    assert terms["total"] == pytest.approx(float(sum(value for name, value in terms.items() if name != "total")))
