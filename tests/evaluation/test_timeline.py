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

"""Stamps over time: every stamp in one bin, few enough bins for a chart, gaps where they are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinefuse_ros.evaluation.recording import Gap
from refinefuse_ros.evaluation.timeline import bin_width_s, count_per_bin, gaps, histogram
from refinefuse_ros.stream.timing import NS_PER_S


@pytest.mark.parametrize(("duration_s", "width_s"), [(0, 0.5), (5, 0.5), (60, 0.5), (61, 1), (3600, 50), (1e9, 1e7)])
def test_bins_are_round_and_few(duration_s: float, width_s: float) -> None:
    assert bin_width_s(duration_s) == pytest.approx(width_s)


@given(st.lists(st.integers(10**18, 10**18 + 10**12), min_size=1))
def test_every_stamp_is_in_one_bin(stamps: list[int]) -> None:
    start, end = min(stamps), max(stamps)
    counts = count_per_bin([0, *stamps], start, end, bin_width_s((end - start) / NS_PER_S))
    assert sum(counts) == len(stamps)
    assert len(counts) <= 121
    assert counts[0] > 0
    assert counts[-1] > 0


def test_a_gap_is_more_than_one_and_a_half_periods_and_a_jump_back_is_none() -> None:
    seconds = [10.0, 10.1, 10.2, 10.34, 10.44, 10.84, 5.0, 5.1]
    found = gaps([round(second * NS_PER_S) for second in seconds], 10 * NS_PER_S)
    assert found == [Gap(pytest.approx(0.44), pytest.approx(400.0))]
    assert gaps([1], 1) == gaps([], 0) == []


@given(st.lists(st.floats(-300, 300), min_size=1))
def test_every_offset_is_in_the_histogram(offsets: list[float]) -> None:
    edges, counts = histogram(np.array(offsets), slop_ms=20.0)
    assert sum(counts) == len(offsets)
    assert len(edges) == len(counts) + 1 <= 50
    assert edges[0] <= -20 < 20 <= edges[-1]
    (middle,) = (i for i, (low, high) in enumerate(pairwise(edges)) if low < 0 < high)
    assert middle == len(counts) // 2
