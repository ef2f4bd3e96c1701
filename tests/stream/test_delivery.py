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

"""Frames timed by their stamps: joined with the right publication, counted once, and summed up as documented."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinefuse_ros.stream.delivery import Delivered, Timed, counted, join, mean, summarize, summarize_round

MS = 1_000_000


def round_at(start_ms: int, stamps: range) -> list[Timed]:
    return [Timed(stamp, (start_ms + 10 * index) * MS) for index, stamp in enumerate(stamps)]


def test_an_arrival_belongs_to_the_newest_publication_of_its_stamp() -> None:
    rounds = [round_at(0, range(3)), round_at(1000, range(3))]
    arrivals = [Timed(0, 5 * MS), Timed(1, 16 * MS), Timed(2, 999 * MS), Timed(0, 1007 * MS), Timed(2, 1021 * MS)]
    first, second = join(rounds, arrivals)
    assert first == [Delivered(0, 5 * MS), Delivered(10 * MS, 16 * MS), Delivered(20 * MS, 999 * MS)]
    assert second == [Delivered(1000 * MS, 1007 * MS), Delivered(1020 * MS, 1021 * MS)]


def test_unknown_stamps_early_and_double_arrivals_belong_to_none() -> None:
    arrivals = [Timed(7, 5 * MS), Timed(1, 9 * MS), Timed(0, 5 * MS), Timed(0, 6 * MS)]
    assert join([round_at(0, range(3))], arrivals) == [[Delivered(0, 5 * MS)]]


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=8), min_size=1, max_size=4), st.integers(0, 900))
def test_every_arrival_is_joined_exactly_once_and_never_before_it_was_sent(
    arrives: list[list[bool]], delay_ms: int
) -> None:
    rounds = [round_at(1000 * number, range(len(flags))) for number, flags in enumerate(arrives)]
    arrivals = [
        Timed(frame.stamp_ns, frame.at_ns + delay_ms * MS)
        for sent, flags in zip(rounds, arrives, strict=True)
        for frame, arrived in zip(sent, flags, strict=True)
        if arrived
    ]
    joined = join(rounds, arrivals)
    assert [len(one) for one in joined] == [sum(flags) for flags in arrives]
    assert all(frame.arrived_ns - frame.sent_ns == delay_ms * MS for one in joined for frame in one)


def test_the_numbers_of_a_round() -> None:
    delivered = [Delivered(t * MS, (t + latency) * MS) for t, latency in ((0, 4), (100, 6), (200, 5), (300, 9))]
    numbers = summarize_round(delivered, sent=10, unpaired=5)
    assert (numbers.sent, numbers.fused, numbers.unpaired, numbers.missed) == (10, 4, 5, 1)
    assert numbers.rate_hz == pytest.approx(3 / 0.305)
    assert (numbers.latency_ms_p50, numbers.latency_ms_max) == (5.5, 9)
    assert numbers.latency_ms_p90 == pytest.approx(8.1)
    assert numbers.jitter_ms == pytest.approx((2 + 1 + 4) / 3)


def test_frames_passed_through_alone_are_no_negative_loss() -> None:
    numbers = summarize([], [0, MS, 2 * MS], sent=3, unpaired=2)
    assert (numbers.fused, numbers.unpaired, numbers.missed, numbers.latency_ms_p50) == (3, 0, 0, None)


def test_nothing_arrived_and_nobody_counted() -> None:
    assert summarize([], [], sent=5, unpaired=0).missed == 5
    unknown = summarize([], [0, MS], sent=None, unpaired=3)
    assert (unknown.sent, unknown.missed, unknown.unpaired) == (None, None, 3)


def test_best_and_worst_round_do_not_count() -> None:
    latencies_and_frames = [(5.0, 10), (3.0, 10), (4.0, 9), (6.0, 10), (4.0, 10)]
    rounds = [summarize([latency] * frames, range(frames), 10, 0) for latency, frames in latencies_and_frames]
    assert counted(rounds) == [True, False, False, True, True]
    assert mean([one for one, counts in zip(rounds, counted(rounds), strict=True) if counts]).latency_ms_p50 == 5.0
    assert counted(rounds[:2]) == [True, True]
    assert mean(rounds[:1]) is rounds[0]
