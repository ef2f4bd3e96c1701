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

"""The filters' constants are kept between calls, and serve every mode of torch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from refinefuse_ros.training.filters import gaussian_blur, gaussian_valid, sobel


@pytest.mark.parametrize(
    "apply",
    [sobel, lambda x: gaussian_blur(x, 1.75), lambda x: gaussian_valid(x, 7)],
    ids=["sobel", "gaussian_blur", "gaussian_valid"],
)
def test_what_a_validation_asked_for_first_trains_afterwards(apply: Callable[[Tensor], Tensor]) -> None:
    picture = torch.rand(1, 1, 37, 29)  # a size that no other test has
    with torch.inference_mode():
        expected = apply(picture).clone()
    trained = picture.requires_grad_()
    found = apply(trained)
    found.square().sum().backward()
    torch.testing.assert_close(found.detach(), expected)
    assert trained.grad is not None
    assert trained.grad.abs().sum() > 0


def test_the_same_size_in_another_type_has_weights_of_its_own() -> None:
    picture = torch.rand(1, 1, 31, 23)
    assert gaussian_blur(picture, 2.0).dtype == torch.float32
    assert gaussian_blur(picture.double(), 2.0).dtype == torch.float64
