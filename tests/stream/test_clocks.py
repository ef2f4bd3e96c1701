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

"""Delays, periods and the lag between two streams, from stamps and arrivals, over a sliding window."""

from __future__ import annotations

import pytest

from refinefuse_ros.stream.clocks import ClockWatch
from refinefuse_ros.stream.outcome import Stream
from refinefuse_ros.stream.timing import NS_PER_MS, NS_PER_S


def watched(
    watch: ClockWatch, stream: Stream, frames: int, period_ms: float, delay_ms: float, start_ns: int = 0
) -> int:
    """Frames of a steady camera; returns when the last one came."""
    for number in range(1, frames + 1):
        stamp_ns = start_ns + round(number * period_ms * NS_PER_MS)
        watch.observe(stream, stamp_ns, stamp_ns + round(delay_ms * NS_PER_MS))
    return stamp_ns + round(delay_ms * NS_PER_MS)


def test_nothing_is_known_before_frames() -> None:
    reading = ClockWatch().read(NS_PER_S)
    assert (reading.lag_ms, reading.longest_lag_ms, reading.rgb.period_ms) == (None, None, None)


def test_one_frame_of_each_tells_the_lag() -> None:
    watch = ClockWatch()
    watched(watch, Stream.RGB, 1, 50, 10)
    now_ns = watched(watch, Stream.THERMAL, 1, 50, 310)
    assert watch.read(now_ns).lag_ms == pytest.approx(300)


def test_periods_and_delays() -> None:
    watch = ClockWatch()
    now_ns = watched(watch, Stream.THERMAL, 40, 111, 80)
    reading = watch.read(now_ns)[Stream.THERMAL]
    assert reading.period_ms == pytest.approx(111)
    assert reading.longest_ms == pytest.approx(111)
    assert reading.delay_ms == pytest.approx(80)


def test_a_pause_is_no_interval() -> None:
    watch = ClockWatch()
    watched(watch, Stream.THERMAL, 10, 100, 0)
    now_ns = watched(watch, Stream.THERMAL, 10, 100, 0, start_ns=3 * NS_PER_S)
    assert watch.read(now_ns).thermal.longest_ms == pytest.approx(100)


def test_a_clock_that_is_set_ahead_is_seen_within_two_seconds() -> None:
    watch = ClockWatch()
    watched(watch, Stream.THERMAL, 60, 33, 0)
    watched(watch, Stream.RGB, 60, 33, 0)
    for number in range(61, 61 + 45):
        now_ns = round(number * 33 * NS_PER_MS)
        watch.observe(Stream.RGB, now_ns + 3600 * NS_PER_S, now_ns)
        watch.observe(Stream.THERMAL, now_ns, now_ns)
    assert watch.read(now_ns).lag_ms == pytest.approx(3_600_000)


def test_a_clock_that_is_set_back_starts_its_stream_anew() -> None:
    watch = ClockWatch()
    watched(watch, Stream.RGB, 60, 33, 0, start_ns=NS_PER_S)
    watch.observe(Stream.RGB, NS_PER_S, 4 * NS_PER_S)
    assert watch.read(4 * NS_PER_S).rgb.delay_ms == pytest.approx(3000)


def test_a_frame_that_comes_again_or_out_of_order_says_nothing() -> None:
    watch = ClockWatch()
    now_ns = watched(watch, Stream.RGB, 10, 33, 0)
    before = watch.read(now_ns)
    watch.observe(Stream.RGB, now_ns, now_ns + 20 * NS_PER_MS)
    watch.observe(Stream.RGB, now_ns - 5 * NS_PER_MS, now_ns + 21 * NS_PER_MS)
    assert watch.read(now_ns) == before


def test_of_a_silent_stream_nothing_is_known() -> None:
    watch = ClockWatch()
    now_ns = watched(watch, Stream.RGB, 10, 33, 0)
    assert watch.read(now_ns + 2 * NS_PER_S).rgb.delay_ms == pytest.approx(0)
    assert watch.read(now_ns + 2 * NS_PER_S + 1).rgb.delay_ms is None
