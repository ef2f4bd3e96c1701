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

"""The four causes for which frames do not pair are told apart, each with the parameter and the value that cures it."""

from __future__ import annotations

import pytest

from refinefuse_ros.stream.advice import LedgerWindow, judge_frames, refusal_of_late
from refinefuse_ros.stream.clocks import ClockReading, StreamClock
from refinefuse_ros.stream.health import Judgement, Level
from refinefuse_ros.stream.ledger import FrameLedger
from refinefuse_ros.stream.outcome import Pair, Stamped, Stream, StreamFrame, SyncOutcome
from refinefuse_ros.stream.pairing import PairingReading, SyncSettings
from refinefuse_ros.stream.timing import NS_PER_S

AUTO = SyncSettings()


def clock(
    delay_ms: float, period_ms: float = 33.0, longest_ms: float | None = None, late_ms: float | None = None
) -> StreamClock:
    return StreamClock(5000.0, period_ms, longest_ms or period_ms, delay_ms, delay_ms if late_ms is None else late_ms)


AGREE = ClockReading(clock(5.0), clock(5.0))


class Booked:
    """A ledger and its window, second by second."""

    def __init__(self) -> None:
        self.ledger = FrameLedger()
        self.window = LedgerWindow()
        self._now_ns = 0
        self.second()

    def second(self, paired: int = 0, unpaired: int = 0, thermal: int = 0, rejected: dict[str, int] | None = None):
        """One second: RGB frames with and without a partner, further thermal frames, and refused thermal ones."""
        frame = Stamped(1, None)
        for _ in range(paired + unpaired):
            self.ledger.received(Stream.RGB)
        for _ in range(paired + thermal):
            self.ledger.received(Stream.THERMAL)
        for reason, count in (rejected or {}).items():
            for _ in range(count):
                self.ledger.received(Stream.THERMAL)
                self.ledger.rejected(Stream.THERMAL, reason)
        left = [StreamFrame(Stream.RGB, frame)] * unpaired + [StreamFrame(Stream.THERMAL, frame)] * thermal
        self.ledger.account(SyncOutcome(pairs=[Pair(frame, frame)] * paired, unpaired=left))
        for _ in range(paired):
            self.ledger.published()
        self._now_ns += NS_PER_S
        self.window.add(self._now_ns, self.ledger.snapshot())
        return self

    def judged(self, clocks: ClockReading = AGREE, settings: SyncSettings = AUTO) -> Judgement:
        judgement = judge_frames(
            self.ledger.snapshot(), self.window, PairingReading(clocks, settings.in_use(clocks)), settings
        )
        assert not judgement.message[0].islower()
        assert judgement.message.endswith(".")
        return judgement


def test_from_nothing_to_pairs() -> None:
    booked = Booked()
    assert booked.judged().level is Level.STALE
    assert booked.second(paired=30).second(paired=30).judged() == (Level.OK, "30 of 30 pairs published of late.")


def test_more_out_than_in_is_a_bug() -> None:
    booked = Booked().second(paired=30)
    booked.ledger.published()
    assert booked.judged().level is Level.ERROR


def test_an_hour_of_pairs_does_not_hide_that_they_stopped() -> None:
    booked = Booked()
    for _ in range(100):
        booked.second(paired=30)
    assert booked.judged().level is Level.OK
    booked.second(unpaired=30, thermal=30)
    booked.second(unpaired=30, thermal=30)
    level, message = booked.judged()
    assert level is Level.WARN
    assert message.startswith("Both cameras send frames but none could be paired: compare their stamps")


@pytest.mark.parametrize(
    ("thermal_ms", "rgb_ms", "parts"),
    [
        (700, 0, ["thermal frames come 700 ms later", "sync.max_wait_ms: 730", "sync.thermal_offset_ms: 700"]),
        (
            0,
            -1200,
            ["RGB's stamps stand +1200 ms from thermal's", "ahead of the clock", "sync.thermal_offset_ms: 1200"],
        ),
        (-1200, 0, ["RGB's stamps stand -1200 ms from", "ahead of the clock", "sync.thermal_offset_ms: -1200"]),
        (0, 1200, ["RGB's stamps stand -1200 ms from", "sync.thermal_offset_ms: -1200", "sync.max_wait_ms: 1200"]),
        (0, -3_600_000, ["stand +3600.0 s from thermal's", "different clocks", "sync.stamps: arrival"]),
    ],
)
def test_each_cause_is_named_with_its_cure(thermal_ms: float, rgb_ms: float, parts: list[str]) -> None:
    booked = Booked().second(unpaired=30, thermal=30).second(unpaired=30, thermal=30)
    level, message = booked.judged(ClockReading(clock(thermal_ms), clock(rgb_ms)))
    assert level is Level.WARN
    assert message.startswith("Both cameras send frames but none could be paired: ")
    for part in parts:
        assert part in message


def test_an_offset_is_said_while_frames_pair_too_and_confirmed_by_the_wait() -> None:
    booked = Booked().second(paired=30).second(paired=30)
    clocks = ClockReading(clock(150), clock(0))
    level, message = booked.judged(clocks)
    assert level is Level.WARN
    assert message.startswith("RGB's stamps stand +150 ms from thermal's as they come; set sync.thermal_offset_ms: 150")
    assert booked.judged(clocks, SyncSettings(max_wait_ms=200)).level is Level.OK
    assert booked.judged(ClockReading(clock(0), clock(80))).level is Level.OK


def test_a_few_frames_that_a_busy_machine_held_up_are_no_matter_unless_they_are_lost() -> None:
    clocks = ClockReading(clock(6, late_ms=160), clock(5, late_ms=160))
    fixed = SyncSettings(max_wait_ms=150)
    assert Booked().second(paired=30).second(paired=30).judged(clocks, fixed).level is Level.OK
    level, message = Booked().second(paired=20, unpaired=10).second(paired=20, unpaired=10).judged(clocks, fixed)
    assert level is Level.WARN
    assert "thermal frames come 1 to 155 ms later than RGB's" in message
    assert "set sync.max_wait_ms: 190" in message


def test_a_corrected_offset_is_counted_in() -> None:
    booked = Booked().second(paired=30)
    _, message = booked.judged(ClockReading(clock(150), clock(0)), SyncSettings(thermal_offset_ms=1000))
    assert "sync.thermal_offset_ms: 1150" in message


def test_cameras_that_are_both_ahead_are_no_fault_of_one() -> None:
    booked = Booked().second(paired=30)
    assert booked.judged(ClockReading(clock(-5000), clock(-5000))).level is Level.OK


def test_arrival_compares_no_stamps() -> None:
    booked = Booked().second(paired=30)
    assert booked.judged(ClockReading(clock(900), clock(0)), SyncSettings(stamps="arrival")).level is Level.OK


def test_rates_that_do_not_meet_name_the_hold() -> None:
    booked = Booked().second(paired=30)
    for _ in range(3):
        booked.second(paired=26, unpaired=4)
    clocks = ClockReading(clock(0, 111, 240), clock(0))
    level, message = booked.judged(clocks, SyncSettings(thermal_hold_ms=120))
    assert level is Level.WARN
    assert message == (
        "13% of the RGB frames found no thermal frame: thermal frames are up to 240 ms apart;"
        " set sync.thermal_hold_ms: 270, or leave it to auto."
    )
    assert booked.judged(clocks).message == "13% of the RGB frames found no thermal frame."


def test_a_thermal_camera_as_fast_as_rgb_needs_no_hold_when_it_stops() -> None:
    booked = Booked().second(paired=30)
    for _ in range(3):
        booked.second(paired=26, unpaired=4)
    clocks = ClockReading(clock(0, 100, 101), clock(0, 100))
    message = booked.judged(clocks, SyncSettings(thermal_hold_ms=0)).message
    assert message == "13% of the RGB frames found no thermal frame."


def test_frames_before_the_first_pair_are_no_loss() -> None:
    booked = Booked().second(unpaired=20).second(paired=20, unpaired=10, thermal=1).second(paired=30)
    assert booked.judged().level is Level.OK


@pytest.mark.parametrize(
    ("reason", "part"),
    [
        ("zero_stamp", "the stamp is zero; set sync.stamps: arrival"),
        ("frozen", "the picture stands still"),
        ("flat", "the picture is flat"),
        ("encoding", "they are refused for their encoding; see what the node says"),
    ],
)
def test_frames_that_are_all_refused_are_the_message(reason: str, part: str) -> None:
    booked = Booked().second(paired=30)
    for _ in range(6):
        booked.second(unpaired=30, rejected={reason: 9})
    level, message = booked.judged()
    assert level is Level.WARN
    assert message.startswith(f"The thermal camera's frames cannot be used: {part}")


def test_a_few_refused_frames_are_not() -> None:
    booked = Booked().second(paired=30, rejected={"frozen": 20})
    assert refusal_of_late(Stream.THERMAL, booked.window) == ""
    assert booked.judged().level is Level.OK


def test_a_camera_that_sends_only_garbage_from_now_on_is_told_from_one_that_is_silent() -> None:
    booked = Booked().second(paired=30).second(paired=30).second(rejected={"encoding": 30})
    assert refusal_of_late(Stream.THERMAL, booked.window) == ""  # the last moments had good frames
    booked.second(rejected={"encoding": 30})
    assert refusal_of_late(Stream.THERMAL, booked.window).startswith("The thermal camera's frames cannot be used")
    assert refusal_of_late(Stream.RGB, booked.window) == ""
    assert refusal_of_late(Stream.THERMAL, booked.second(paired=30).window) == ""
