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

"""The ideal camera: what it sees, and that its matrices agree."""

from __future__ import annotations

import numpy as np
import pytest

from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.pinhole import ideal_pinhole


def test_sees_60_degrees_across_through_the_centre() -> None:
    camera = ideal_pinhole(ImageSize(640, 480))
    focal, centre_x, centre_y = camera.k[0], camera.k[2], camera.k[5]
    assert 2 * np.degrees(np.arctan(320 / focal)) == pytest.approx(60, abs=0.01)
    assert (centre_x, centre_y) == (319.5, 239.5)


def test_the_projection_is_that_of_the_intrinsic_matrix() -> None:
    camera = ideal_pinhole(ImageSize(64, 48), focal_px=100.0)
    projection = np.reshape(camera.p, (3, 4))
    np.testing.assert_array_equal(projection[:, :3], np.reshape(camera.k, (3, 3)))
    np.testing.assert_array_equal(projection[:, 3], 0)
    np.testing.assert_array_equal(np.reshape(camera.r, (3, 3)), np.eye(3))
    assert camera.k[0] == 100
    assert not any(camera.d)
