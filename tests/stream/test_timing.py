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

"""Percentiles agree with numpy, windows slide, rates rise, fall to zero and survive clock jumps."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinefuse_ros.stream.timing import NS_PER_S, LatencyWindow, RateMeter, StageTimes


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.integers(1, 60))
def test_percentiles_are_numpys_over_the_last_samples(samples: list[float], size: int) -> None:
    window = LatencyWindow(size)
    for ms in samples:
        window.add(ms)
    kept = samples[-size:]
    result = window.percentiles()
    assert [result.p50, result.p95, result.p99] == pytest.approx(np.percentile(kept, [50, 95, 99]))
    assert result.max == max(kept)
    assert result.count == len(kept)


def test_empty_window_has_no_percentiles() -> None:
    result = LatencyWindow(5).percentiles()
    assert result.count == 0
    assert all(math.isnan(value) for value in (result.p50, result.p95, result.p99, result.max))


def test_window_of_no_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="window size is 0"):
        LatencyWindow(0)


def test_stages_are_timed_apart() -> None:
    stages = StageTimes(10)
    with stages.measure("engine"):
        time.sleep(0.02)
    with stages.measure("encode"):
        pass
    stages.add("encode", 3.0)
    result = stages.percentiles()
    assert list(result) == ["engine", "encode"]
    assert 19.0 < result["engine"].p50 < 1000.0
    assert result["encode"].max == 3.0
    assert result["encode"].count == 2


def test_failed_stage_leaves_no_sample() -> None:
    stages = StageTimes(10)
    with pytest.raises(RuntimeError), stages.measure("engine"):
        raise RuntimeError
    assert stages.percentiles() == {}


def seconds(value: float) -> int:
    return round(value * NS_PER_S)


def meter_at_30_hz(until_s: float, start_s: float = 100.0) -> RateMeter:
    meter = RateMeter(2.0)
    for i in range(round(until_s * 30) + 1):
        meter.tick(seconds(start_s + i / 30))
    return meter


@pytest.mark.parametrize("until_s", [0.2, 1.0, 10.0])
def test_rate_is_exact_from_the_start(until_s: float) -> None:
    assert meter_at_30_hz(until_s).rate_hz(seconds(100.0 + until_s + 0.01)) == pytest.approx(30.0)


def test_one_event_is_no_rate() -> None:
    meter = RateMeter(2.0)
    assert meter.rate_hz(seconds(1)) == 0.0
    meter.tick(seconds(1))
    assert meter.rate_hz(seconds(1)) == 0.0


def test_rate_falls_to_zero_when_events_stop() -> None:
    meter = meter_at_30_hz(5.0)
    rates = [meter.rate_hz(seconds(105.0 + i / 10)) for i in range(22)]
    assert rates == sorted(rates, reverse=True)
    assert rates[10] < 20.0
    assert rates[-1] == 0.0


@pytest.mark.parametrize("back_s", [0.5, 90.0])
def test_rate_recovers_after_the_clock_jumps_back(back_s: float) -> None:
    meter = meter_at_30_hz(5.0)
    restart_s = 105.0 - back_s
    for i in range(31):
        meter.tick(seconds(restart_s + i / 30))
    assert meter.rate_hz(seconds(restart_s + 1.0)) == pytest.approx(30.0)


def test_rate_is_zero_when_the_clock_jumps_back_and_events_stop() -> None:
    assert meter_at_30_hz(5.0).rate_hz(seconds(50.0)) == 0.0


def test_window_without_length_is_refused() -> None:
    with pytest.raises(ValueError, match="window_s is 0"):
        RateMeter(0)


def test_simultaneous_events_are_no_infinite_rate() -> None:
    meter = RateMeter(2.0)
    meter.tick(5)
    meter.tick(5)
    assert json.dumps(meter.rate_hz(5)) == "0.0"
