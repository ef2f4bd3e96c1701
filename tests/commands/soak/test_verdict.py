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

"""A soak passes where the node stood everything, and says of each thing that it did not stand what was wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from refinefuse_ros.commands.soak.verdict import Faced, Soaked, longest_silence, recovered_after

GOOD = Faced("rgb-stops", 4.0, said=True, recovered_s=0.2, calm_s=3.0, silence_s=1.1, memory_mb=100.0)


def soaked(*faced: Faced, **changes: object) -> Soaked:
    return replace(Soaked(30.0, list(faced or (GOOD,)), reports=10), **changes)


def test_what_is_as_it_should_be_passes() -> None:
    result = soaked(GOOD, replace(GOOD, said=None, silence_s=None)).to_dict()
    assert (result["passed"], result["failures"]) == (True, [])
    assert (result["named"], result["to_be_named"], result["recovery_s_max"], result["longest_silence_s"]) == (
        1,
        1,
        0.2,
        1.1,
    )


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (soaked(unbalanced=2), "The frame ledger did not balance in 2 of 10 reports."),
        (soaked(furthest_ms=620.0), "A pair lay 620 ms apart, over 500 ms."),
        (soaked(reports=0), "No diagnostics came."),
        (soaked(broken="The fusion_node ended with status -11."), "The fusion_node ended with status -11."),
        (soaked(replace(GOOD, said=False, expected="it was silent")), "rgb-stops: it was silent"),
        (soaked(replace(GOOD, recovered_s=None)), "rgb-stops: the node did not come back to its full rate."),
        (soaked(replace(GOOD, recovered_s=1.5)), "rgb-stops: back to full rate after 1.50 s, over 1 s."),
        (soaked(replace(GOOD, calm_s=None)), "rgb-stops: /diagnostics still complains 12 s after it ended."),
        (soaked(replace(GOOD, silence_s=2.5)), "rgb-stops: no image for 2.50 s, over 2 s."),
    ],
)
def test_what_is_not_is_said(wrong: Soaked, sentence: str) -> None:
    assert wrong.failures() == [sentence]
    assert wrong.to_dict()["passed"] is False


def test_memory_that_grows_from_fault_to_fault_fails() -> None:
    sizes = [100, 104, 99, 103, 100, 102, 108, 109, 107]
    assert soaked(*(replace(GOOD, memory_mb=size) for size in sizes)).failures() == ["Memory grew by 8.0%, over 5%."]
    assert soaked(*(replace(GOOD, memory_mb=size) for size in reversed(sizes))).failures() == []


def test_memory_counts_from_when_each_fault_has_happened_once() -> None:
    first = [
        replace(GOOD, fault=f"{name} (drawn 1)", memory_mb=size) for name, size in zip("abc", (60, 70, 80), strict=True)
    ]
    again = [replace(GOOD, fault=f"{'abc'[index % 3]} (drawn 2)", memory_mb=100 + index // 3) for index in range(9)]
    assert soaked(*first, *again).memory_growth == pytest.approx(102 / 100 - 1, abs=0.02)
    leaking = [replace(one, memory_mb=one.memory_mb + 5 * index) for index, one in enumerate(again)]
    assert soaked(*first, *leaking).failures() != []
    assert soaked(*first, *again[:2]).failures() != []  # too few to leave some out


def test_recovery_begins_with_the_first_second_at_nearly_full_rate() -> None:
    thin = [10.0 + 0.2 * index for index in range(10)]
    full = [12.5 + 0.1 * index for index in range(12)]
    assert recovered_after([1.0, 1.1, *thin, *full], 10.0, 10.0) == pytest.approx(2.5)
    assert recovered_after([1.0, 1.1, *thin], 10.0, 10.0) is None
    assert recovered_after([*full], 12.45, 10.0) == pytest.approx(0.05)
    assert recovered_after([], 0.0, 10.0) is None


def test_silence_counts_before_the_first_and_after_the_last_image() -> None:
    assert longest_silence([0.0, 1.0, 1.5, 9.0], 0.8, 2.0) == pytest.approx(0.5)
    assert longest_silence([], 3.0, 5.0) == 2.0
    assert longest_silence([3.1, 3.2], 3.0, 5.0) == pytest.approx(1.8)
