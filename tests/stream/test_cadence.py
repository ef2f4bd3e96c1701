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

"""The frame period is learnt from stamps and survives lost frames and jumps."""

from __future__ import annotations

from refinefuse_ros.stream.cadence import Cadence


def cadence_of(*stamps: int) -> Cadence:
    cadence = Cadence()
    for stamp_ns in stamps:
        cadence.observe(stamp_ns)
    return cadence


def test_knows_nothing_before_the_first_frame() -> None:
    cadence = Cadence()
    assert cadence.earliest_next_ns() is None
    assert cadence.period_ns is None


def test_expects_anything_until_the_period_is_known() -> None:
    assert cadence_of(100, 200).earliest_next_ns() == 201


def test_expects_the_next_frame_no_sooner_than_three_quarters_of_a_period() -> None:
    assert cadence_of(100, 200, 300, 400).earliest_next_ns() == 475


def test_period_ignores_lost_frames_and_a_forward_jump() -> None:
    assert cadence_of(100, 200, 300, 600, 700, 100_000, 100_100).period_ns == 100


def test_period_survives_a_backward_jump() -> None:
    cadence = cadence_of(1000, 1100, 1200, 1300, 50)
    assert cadence.period_ns == 100
    assert cadence.earliest_next_ns() == 125


def test_backward_jump_is_no_interval() -> None:
    assert cadence_of(1000, 1100, 1200, 50).period_ns is None
