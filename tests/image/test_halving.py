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

"""What is not changed keeps every detail; what is changed is changed at the full size."""

from __future__ import annotations

import numpy as np
import pytest

from refinefuse_ros.image.halving import halved, with_change


def texture(shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("shape", [(48, 64), (49, 65), (1, 1)])
def test_what_fusing_leaves_alone_stays_as_it_is(shape: tuple[int, int]) -> None:
    plane = texture(shape)
    small = halved(plane)
    assert small.shape == ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
    np.testing.assert_array_equal(with_change(plane, small, small.copy()), plane)


def test_what_fusing_brightens_is_brightened_at_its_place_and_keeps_its_texture() -> None:
    plane = texture((64, 64)) // 4 + 64
    small = halved(plane)
    fused = small.copy()
    fused[:, 16:] += 100
    changed = with_change(plane, small, fused).astype(int) - plane
    assert (changed[:, :30] == 0).all()
    assert (changed[:, 34:] == 100).all()


def test_changes_end_at_black_and_white() -> None:
    plane = np.array([[10, 10], [250, 250]], np.uint8)
    assert with_change(plane, np.full((1, 1), 100, np.uint8), np.full((1, 1), 0, np.uint8)).tolist() == [
        [0, 0],
        [150, 150],
    ]
    assert with_change(plane, np.full((1, 1), 0, np.uint8), np.full((1, 1), 255, np.uint8)).min() == 255
