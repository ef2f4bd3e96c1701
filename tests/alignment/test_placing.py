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

"""Thermal frames on the RGB image's pixel grid."""

from __future__ import annotations

import numpy as np
import pytest

from refinefuse_ros.alignment.placing import fit_to
from refinefuse_ros.image.frame import ImageSize


def test_equal_sizes_are_not_copied():
    thermal = np.zeros((48, 64), np.uint16)
    assert fit_to(thermal, ImageSize(64, 48)) is thermal


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("size", [ImageSize(64, 48), ImageSize(20, 13), ImageSize(80, 13), ImageSize(1, 1)])
def test_result_has_the_size_and_depth_and_keeps_the_mean(dtype, size):
    ramp = np.linspace(10, 250, 40)[None, :].repeat(32, axis=0).astype(dtype)
    fitted = fit_to(ramp, size)
    assert ImageSize.of(fitted) == size
    assert fitted.dtype == dtype
    assert fitted.mean() == pytest.approx(ramp.mean(), abs=1.5)


def test_a_warm_spot_stays_at_its_relative_place():
    thermal = np.zeros((24, 32), np.uint16)
    thermal[18, 8] = 30000
    row, column = np.unravel_index(np.argmax(fit_to(thermal, ImageSize(128, 96))), (96, 128))
    assert (row + 0.5) / 96 == pytest.approx(18.5 / 24, abs=0.02)
    assert (column + 0.5) / 128 == pytest.approx(8.5 / 32, abs=0.02)


def test_shrinking_averages_instead_of_aliasing():
    stripes = np.zeros((32, 32), np.uint16)
    stripes[:, ::2] = 1000
    np.testing.assert_array_equal(fit_to(stripes, ImageSize(16, 16)), np.full((16, 16), 500))


def test_read_only_and_strided_frames_are_taken():
    padded = np.arange(24 * 40, dtype=np.uint16).reshape(24, 40)
    view = padded[:, :32]
    view.flags.writeable = False
    np.testing.assert_array_equal(fit_to(view, ImageSize(64, 48)), fit_to(view.copy(), ImageSize(64, 48)))
