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

"""The pairs are spread over what there is, and a picture that is not torch's is noticed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinefuse_ros.engine.base import Engine, EngineInfo
from refinefuse_ros.engine.manifest import Comparison
from refinefuse_ros.errors import UserError
from refinefuse_ros.evaluation.comparing import Sample, compare, sample_pairs, spread
from refinefuse_ros.image.files import SourceError
from refinefuse_ros.image.frame import ImageSize

SIZE = ImageSize(64, 48)


class Shifted(Engine):
    """Gives the visible plane, brighter by `levels`."""

    def __init__(self, levels: int, precision: str = "fp32") -> None:
        super().__init__(EngineInfo("stand-in", "no device", precision, "none", "", SIZE), size_multiple=1)
        self._levels = levels

    def _run(self, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
        return visible + np.uint8(self._levels)

    def close(self) -> None: ...


@given(st.integers(0, 500), st.integers(1, 50))
def test_so_many_are_taken_evenly(length: int, count: int) -> None:
    taken = spread(iter(range(length)), count)
    assert min(length, (count + 1) // 2) <= len(taken) <= count
    steps = {after - before for before, after in pairwise(taken)}
    assert len(steps) <= 1
    assert taken[:1] == list(range(length))[:1]


def test_without_a_folder_it_is_the_synthetic_street() -> None:
    sample = sample_pairs(None, SIZE, 3)
    assert sample.description == "3 pairs of the synthetic street"
    assert [(plane.shape, plane.dtype) for pair in sample.planes for plane in pair] == [((48, 64), np.uint8)] * 6


def test_a_folder_without_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="give a folder that holds thermal/ and rgb/"):
        sample_pairs(tmp_path, SIZE, 3)


def sample() -> Sample:
    planes = np.random.default_rng(0).integers(0, 200, (2, 2, *SIZE[::-1]), np.uint8)
    return Sample("2 pairs", [tuple(pair) for pair in planes])


def test_equal_pictures_do_not_change_the_metrics() -> None:
    found = compare(Shifted(0), Shifted(0), sample())
    assert (found.max_difference, found.mean_difference, found.pairs) == (0, 0.0, "2 pairs")
    assert found.reference == "stand-in in fp32"
    assert set(found.changes.values()) == {0.0}


def test_how_much_may_differ_depends_on_the_precision() -> None:
    with pytest.raises(
        UserError, match=r"differs from stand-in by 1\.000 grey levels on average, where 0\.1 is allowed"
    ):
        compare(Shifted(1, "fp16"), Shifted(0), sample())
    assert compare(Shifted(1, "int8"), Shifted(0), sample()).mean_difference == 1.0


def test_calibration_is_blamed_only_where_it_can_be_the_cause() -> None:
    with pytest.raises(UserError, match=r"2\.000 grey levels .*; calibrate with pairs like those that are to be fused"):
        compare(Shifted(2, "int8"), Shifted(0), sample())
    with pytest.raises(UserError, match=r"is allowed; it does not stand int8, or stand-in computes int8 wrongly"):
        compare(Shifted(2, "int8"), Shifted(0), sample(), calibrated_on_its_kind=True)
    with pytest.raises(UserError, match=r"0\.1 is allowed; export it in a wider precision, or train it again\.$"):
        compare(Shifted(1, "fp16"), Shifted(0), sample(), calibrated_on_its_kind=True)


def test_changes_are_in_per_cent_of_what_torch_reaches() -> None:
    changes = Comparison("", "", "", 0, 0.0, {"vif": (0.5, 0.49), "scd": (-1.0, -1.1), "en": (0.0, 0.0)}).changes
    assert changes == pytest.approx({"vif": -2.0, "scd": -10.0, "en": 0.0})
