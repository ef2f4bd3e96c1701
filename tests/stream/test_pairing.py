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

"""Cameras as their messages come: late, wrongly stamped, slow and jittering; paired by what is measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinefuse_ros.stream.outcome import Pair, Stream, SyncOutcome
from refinefuse_ros.stream.pairing import (
    FIRST_HOLD_MS,
    LEAST_WAIT_MS,
    MOST_WAIT_MS,
    CameraPairing,
    PairingReading,
    SyncSettings,
)
from refinefuse_ros.stream.synchronizer import NearestSynchronizer, SyncConfig
from refinefuse_ros.stream.timing import NS_PER_MS, NS_PER_S

EPOCH_NS = 1_700_000_000 * NS_PER_S
AUTO = SyncSettings()


@dataclass(frozen=True)
class Camera:
    """A simulated camera: when it exposes, how late its messages come, how wrong its stamps are (all ms)."""

    period_ms: float = 1000 / 30
    late_ms: float = 0.0
    wrong_ms: float = 0.0
    first_ms: float = 1.0
    intervals_ms: tuple[float, ...] = ()
    stamped: bool = True

    def messages(self, seconds: float) -> Iterable[tuple[float, int, float]]:
        """Of each message its arrival, ms, its stamp, ns, and when it was exposed, ms."""
        exposed, count = self.first_ms, 0
        while exposed < seconds * 1000:
            stamp_ns = EPOCH_NS + round((exposed + self.wrong_ms) * NS_PER_MS) if self.stamped else 0
            yield exposed + self.late_ms, stamp_ns, exposed
            exposed += self.intervals_ms[count % len(self.intervals_ms)] if self.intervals_ms else self.period_ms
            count += 1


@dataclass
class Run:
    """What came of it: the pairs (their payloads are the exposures, ms), counts, and the last reading."""

    pairs: list[Pair[float]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    reading: PairingReading | None = None

    def apart_ms(self) -> list[float]:
        return [pair.rgb.payload - pair.thermal.payload for pair in self.pairs]


def run(thermal: Camera, rgb: Camera, settings: SyncSettings = AUTO, seconds: float = 6.0) -> Run:
    """The two cameras through a pairing, polled at every deadline, by a clock that shows the time of exposure."""
    pairing: CameraPairing[float] = CameraPairing(settings, NearestSynchronizer(SyncConfig()))
    result = Run()

    def book(outcome: SyncOutcome[float]) -> None:
        result.pairs += outcome.pairs
        result.counts.update(f"{left.stream} unpaired" for left in outcome.unpaired)
        result.counts.update(f"{left.stream} superseded" for left in outcome.superseded)
        result.counts.update(f"{left.stream} {left.reason}" for left in outcome.rejected)

    events = [(*message, Stream.THERMAL) for message in thermal.messages(seconds)]
    events += [(*message, Stream.RGB) for message in rgb.messages(seconds)]
    for arrival_ms, stamp_ns, exposed_ms, stream in sorted(events, key=lambda event: event[0]):
        now_ns = EPOCH_NS + round(arrival_ms * NS_PER_MS)
        while (deadline_ns := pairing.next_deadline_ns()) is not None and deadline_ns <= now_ns:
            book(pairing.poll(deadline_ns))
        result.counts[f"{stream} sent"] += 1
        book(pairing.add(stream, stamp_ns, exposed_ms, now_ns))
    result.reading = pairing.read(now_ns)
    book(pairing.poll(now_ns + NS_PER_S))
    book(pairing.flush())
    return result


@pytest.mark.parametrize("late_ms", [0, 40, 80, 150, 300, 450])
def test_a_thermal_camera_that_is_late_is_waited_for(late_ms: float) -> None:
    found = run(Camera(period_ms=50, late_ms=late_ms), Camera(period_ms=50))
    assert len(found.pairs) >= 115
    assert set(found.apart_ms()) == {0.0}
    assert found.reading.in_use.max_wait_ms <= max(LEAST_WAIT_MS, late_ms + 60)


def test_a_thermal_camera_beyond_the_bound_delays_nothing() -> None:
    found = run(Camera(period_ms=50, late_ms=700), Camera(period_ms=50))
    assert len(found.pairs) <= 10  # of the first second, when it might have been on its way
    assert found.reading.in_use.max_wait_ms == LEAST_WAIT_MS
    assert found.reading.clocks.lag_ms == pytest.approx(700)


def test_a_wait_that_was_set_is_kept() -> None:
    settings = SyncSettings(max_wait_ms=900)
    found = run(Camera(period_ms=50, late_ms=700), Camera(period_ms=50), settings)
    assert len(found.pairs) == 120
    assert found.reading.in_use.max_wait_ms == 900


@pytest.mark.parametrize("late_ms", [150, 300, 700])
def test_an_rgb_camera_that_is_late_is_paired(late_ms: float) -> None:
    found = run(Camera(period_ms=50), Camera(period_ms=50, late_ms=late_ms))
    assert len(found.pairs) == 120
    assert set(found.apart_ms()) == {0.0}


@pytest.mark.parametrize("wrong_ms", [150.0, -150.0, 1200.0, -1200.0])
def test_a_constant_offset_is_cured_by_the_parameter_that_the_reading_names(wrong_ms: float) -> None:
    thermal, rgb = Camera(), Camera(wrong_ms=wrong_ms)
    lag_ms = run(thermal, rgb).reading.clocks.lag_ms
    assert lag_ms == pytest.approx(wrong_ms, abs=0.01)
    cured = run(thermal, rgb, SyncSettings(thermal_offset_ms=lag_ms))
    assert len(cured.pairs) == 180
    assert set(cured.apart_ms()) == {0.0}


@pytest.mark.parametrize("thermal", [Camera(stamped=False, first_ms=2), Camera(wrong_ms=-1e9, first_ms=2)])
def test_cameras_without_usable_stamps_are_paired_by_arrival(thermal: Camera) -> None:
    rgb = Camera()
    assert run(thermal, rgb).pairs == []
    found = run(thermal, rgb, SyncSettings(stamps="arrival"))
    assert len(found.pairs) >= 179
    assert max(map(abs, found.apart_ms())) <= 1


@pytest.mark.parametrize("late_ms", [0, 80])
def test_the_hold_follows_a_slow_thermal_camera_that_jitters(late_ms: float) -> None:
    intervals = (100, 120, 100, 240, 120, 100, 220, 120)
    found = run(Camera(intervals_ms=intervals, late_ms=late_ms), Camera(first_ms=20), seconds=12)
    assert found.counts["rgb unpaired"] == 0
    assert max(found.apart_ms()) <= 240
    assert 240 <= found.reading.in_use.thermal_hold_ms <= 280


@pytest.mark.parametrize("rate_hz", [25, 20, 15])
def test_no_frame_of_a_faster_rgb_camera_is_lost(rate_hz: float) -> None:
    found = run(Camera(period_ms=1000 / rate_hz), Camera(first_ms=5), seconds=8)
    assert found.counts["rgb unpaired"] == 0
    assert max(found.apart_ms()) <= 1000 / rate_hz


def test_a_lost_thermal_frame_is_bridged_by_the_one_before() -> None:
    lossy = Camera(intervals_ms=(*[1000 / 30] * 20, 2000 / 30))
    found = run(lossy, Camera())
    assert found.counts["rgb unpaired"] <= 1  # the first one shows that frames are left out
    assert max(found.apart_ms()) <= 2000 / 30 + 1


def test_cameras_of_one_rate_pair_one_to_one() -> None:
    found = run(Camera(first_ms=3), Camera())
    assert found.reading.in_use.thermal_hold_ms == 0
    assert not any(pair.thermal_reused for pair in found.pairs)


def test_a_pause_does_not_stretch_the_hold() -> None:
    found = run(Camera(intervals_ms=(*[100.0] * 20, 1500.0)), Camera())
    assert found.reading.in_use.thermal_hold_ms <= 120
    assert max(found.apart_ms()) <= FIRST_HOLD_MS


def test_a_hold_that_was_set_is_kept() -> None:
    found = run(Camera(period_ms=100), Camera(), SyncSettings(thermal_hold_ms=0))
    assert found.reading.in_use.thermal_hold_ms == 0
    assert len(found.pairs) == 60


def test_rgb_alone_is_decided_soon_once_no_thermal_frame_is_on_its_way() -> None:
    pairing: CameraPairing[int] = CameraPairing(SyncSettings(), NearestSynchronizer(SyncConfig()))
    waits = []
    for number in range(60):
        now_ns = EPOCH_NS + number * NS_PER_S // 30
        pairing.poll(now_ns)
        pairing.add(Stream.RGB, now_ns, number, now_ns)
        waits.append(pairing.read(now_ns).in_use.max_wait_ms)
    assert waits[0] == MOST_WAIT_MS
    assert waits[-1] == LEAST_WAIT_MS


@given(
    late_ms=st.tuples(st.floats(0, 450), st.floats(0, 450)),
    periods_ms=st.tuples(st.floats(15, 130), st.floats(15, 130)),
    first_ms=st.tuples(st.floats(1, 130), st.floats(1, 130)),
)
def test_each_frame_ends_once_and_no_pair_lies_beyond_slop_and_hold(
    late_ms: tuple[float, float], periods_ms: tuple[float, float], first_ms: tuple[float, float]
) -> None:
    thermal, rgb = (Camera(*values) for values in zip(periods_ms, late_ms, (0.0, 0.0), first_ms, strict=True))
    found = run(thermal, rgb, seconds=3)
    reused = sum(pair.thermal_reused for pair in found.pairs)
    for stream, in_pairs in ((Stream.RGB, len(found.pairs)), (Stream.THERMAL, len(found.pairs) - reused)):
        ended = sum(
            count for name, count in found.counts.items() if name.startswith(f"{stream} ") and "sent" not in name
        )
        assert in_pairs + ended == found.counts[f"{stream} sent"]
    assert all(-20.001 <= apart <= 2.2 * 130 + 5 + 1 for apart in found.apart_ms())
    stamps = [pair.rgb.stamp_ns for pair in found.pairs]
    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"slop_ms": 0}, "slop_ms is 0"),
        ({"max_wait_ms": -1}, "max_wait_ms is -1"),
        ({"thermal_offset_ms": float("nan")}, "thermal_offset_ms is nan"),
        ({"stamps": "guess"}, "give one of header, arrival"),
    ],
)
def test_settings_out_of_range_are_named(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SyncSettings(**arguments)
