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

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from refinefuse_ros.evaluation.ranking import KEPT_WORST, Ranked, worst_first


@st.composite
def ranked(draw: st.DrawFn) -> list[Ranked]:
    badness = draw(st.lists(st.integers(0, 9), max_size=40))
    a_second = draw(st.sampled_from([None, 1, 7]))
    return [Ranked(float(bad), i, a_second and i // a_second) for i, bad in enumerate(badness)]


def test_of_a_second_only_the_worst_pair_counts() -> None:
    pairs = [Ranked(bad, i, i // 3) for i, bad in enumerate([1.0, 9.0, 8.0, 2.0, 7.0, 7.0, 0.0])]
    assert [pair.index for pair in worst_first(pairs)] == [1, 4, 6]


def test_stills_are_all_their_own() -> None:
    pairs = [Ranked(bad, i, None) for i, bad in enumerate([1.0, 9.0, 8.0, 8.0])]
    assert [pair.index for pair in worst_first(pairs)] == [1, 2, 3]


@given(ranked(), st.data())
def test_ranking_piece_by_piece_gives_the_same(pairs: list[Ranked], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(pairs)))
    so_far = worst_first(pairs[:cut])
    limit = so_far[-1].badness if len(so_far) == KEPT_WORST else float("-inf")
    candidates = [pair for pair in worst_first(pairs[cut:]) if pair.badness > limit]
    assert worst_first([*so_far, *candidates]) == worst_first(pairs)
