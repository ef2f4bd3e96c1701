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

"""Clicked points: read line by line, and fitted by the map that they can bear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from refinefuse_ros.alignment.camera import AlignmentError
from refinefuse_ros.alignment.models import apply
from refinefuse_ros.alignment.points import fit_points, read_points

MATRIX = np.array([[1.1, 0.05, -3], [-0.04, 1.05, 2], [2e-4, -1e-4, 1]])
POINTS = np.array([(0, 0), (100, 0), (100, 80), (0, 80), (50, 33), (20, 70)], float)


def test_points_are_read_with_commas_or_blanks_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "points.txt"
    path.write_text("# thermal, RGB\n1, 2, 3, 4\n5 6 7 8.5 # a corner\n\n")
    thermal, rgb = read_points(path)
    np.testing.assert_array_equal(thermal, [(1, 2), (5, 6)])
    np.testing.assert_array_equal(rgb, [(3, 4), (7, 8.5)])
    path.write_text("1 2 3 4\n1 2 three 4\n")
    with pytest.raises(AlignmentError, match=r"Line 2 of .* is '1 2 three 4'; give four numbers"):
        read_points(path)


def test_enough_points_give_the_homography_back() -> None:
    matrix, model, residual = fit_points(POINTS, apply(MATRIX, POINTS))
    assert model == "homography"
    np.testing.assert_allclose(matrix, MATRIX, atol=1e-6)
    assert residual == pytest.approx(0, abs=1e-6)


def test_few_points_give_a_stiffer_map_and_points_on_a_line_none() -> None:
    assert fit_points(POINTS[:4], apply(MATRIX, POINTS[:4]))[1] == "affine"
    assert fit_points(POINTS[:3], apply(MATRIX, POINTS[:3]))[1] == "similarity"
    with pytest.raises(AlignmentError, match="2 pair"):
        fit_points(POINTS[:2], POINTS[:2])
    line = np.column_stack([np.arange(6.0), np.arange(6.0)])
    with pytest.raises(AlignmentError, match="on a line"):
        fit_points(line, line)
