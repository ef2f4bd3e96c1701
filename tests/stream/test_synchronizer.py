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

"""Pairs are the nearest ones, in time, whatever stamps and clocks do; every frame is accounted for once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinefuse_ros.stream.outcome import Pair, RejectReason, Stamped, Stream, SyncOutcome
from refinefuse_ros.stream.synchronizer import BACKWARD_JUMP_NS, OWN_FRACTION, NearestSynchronizer, SyncConfig

MS = 1_000_000
START = 1_000_000 * MS
PERIOD_30_HZ = 33_333_333
THERMAL, RGB = Stream.THERMAL, Stream.RGB


@dataclass(frozen=True)
class Arrival:
    """A frame with `stamp_ns` that arrives at `now_ns`."""

    now_ns: int
    stream: Stream
    stamp_ns: int


@dataclass
class Rig:
    """A synchroniser, polled at its deadlines as by a node, and what it decided; payloads are numbers."""

    config: SyncConfig = field(default_factory=SyncConfig)
    pairs: list[Pair[int]] = field(default_factory=list)
    frames: dict[int, Arrival] = field(default_factory=dict)
    accounts: Counter[str] = field(default_factory=Counter)
    accounted: list[int] = field(default_factory=list)
    decided_at: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.synchronizer: NearestSynchronizer[int] = NearestSynchronizer(self.config)

    def feed(self, arrivals: Iterable[Arrival]) -> Rig:
        for arrival in arrivals:
            self.run_clock_to(arrival.now_ns)
            number = len(self.frames)
            self.frames[number] = arrival
            add = self.synchronizer.add_rgb if arrival.stream is RGB else self.synchronizer.add_thermal
            self.book(add(arrival.stamp_ns, number, arrival.now_ns), arrival.now_ns)
        return self

    def run_clock_to(self, now_ns: int) -> Rig:
        while (deadline_ns := self.synchronizer.next_deadline_ns()) is not None and deadline_ns <= now_ns:
            self.book(self.synchronizer.poll(deadline_ns), deadline_ns)
        return self

    def flush(self) -> Rig:
        self.book(self.synchronizer.flush(), 0)
        return self

    def book(self, outcome: SyncOutcome[int], now_ns: int) -> None:
        self.pairs += outcome.pairs
        self.accounts["resets"] += outcome.resets
        rgb = [pair.rgb.payload for pair in outcome.pairs]
        thermal = [pair.thermal.payload for pair in outcome.pairs if not pair.thermal_reused]
        for account in ("unpaired", "superseded", "rejected"):
            for entry in getattr(outcome, account):
                assert self.frames[entry.frame.payload].stream is entry.stream
                self.accounts[f"{entry.stream} {account}"] += 1
                (rgb if entry.stream is RGB else thermal).append(entry.frame.payload)
        self.decided_at.update(dict.fromkeys(rgb, now_ns))
        self.accounted += rgb + thermal

    def in_flight(self, stream: Stream) -> int:
        return sum(frame.stream is stream for frame in self.frames.values()) - sum(
            self.frames[number].stream is stream for number in self.accounted
        )

    def wait_ns(self, pair: Pair[int]) -> int:
        return self.decided_at[pair.rgb.payload] - self.frames[pair.rgb.payload].now_ns

    def stamps(self) -> list[tuple[int, int]]:
        return [(pair.thermal.stamp_ns, pair.rgb.stamp_ns) for pair in self.pairs]


def camera(
    stream: Stream, period_ns: int, frames: int, first_ns: int = 0, latency_ns: int = 0, start_ns: int = START
) -> list[Arrival]:
    stamps = [start_ns + first_ns + i * period_ns for i in range(frames)]
    return [Arrival(stamp_ns + latency_ns, stream, stamp_ns) for stamp_ns in stamps]


def merged(*streams: list[Arrival]) -> list[Arrival]:
    return sorted((arrival for stream in streams for arrival in stream), key=lambda arrival: arrival.now_ns)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"slop_ms": 0}, "slop_ms is 0"),
        ({"slop_ms": float("nan")}, "slop_ms is nan"),
        ({"max_wait_ms": -1}, "max_wait_ms is -1"),
        ({"thermal_hold_ms": float("inf")}, "thermal_hold_ms is inf"),
        ({"queue_size": 0}, "queue_size is 0"),
        ({"queue_size": 2.5}, "queue_size is 2.5"),
    ],
)
def test_bad_configuration_is_refused_in_a_sentence(values: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        SyncConfig(**values)


# What is paired


def reference_pairs(thermal: list[int], rgb: list[int], slop_ns: int) -> list[tuple[int, int]]:
    """The pairing rule by brute force, with all stamps known beforehand."""
    pairs: list[tuple[int, int]] = []
    newest_used = -1
    for r, next_r in zip(rgb, [*rgb[1:], None], strict=True):
        candidates = [
            t
            for t in thermal
            if t > newest_used
            and abs(t - r) <= slop_ns
            and (t <= r or next_r is None or t - r <= OWN_FRACTION * (next_r - r))
        ]
        if candidates:
            newest_used = min(candidates, key=lambda t: (abs(t - r), t))
            pairs.append((newest_used, r))
    return pairs


@st.composite
def camera_stamps(draw: st.DrawFn) -> list[int]:
    """A camera with jitter and now and then a lost frame, but never so much that its period is in doubt."""
    period_ns = draw(st.integers(8, 120)) * MS
    phase_ns = draw(st.integers(0, 120 * MS))
    jitter = draw(st.lists(st.floats(-0.07, 0.07), min_size=5, max_size=40))
    lost_every = draw(st.integers(4, 40))
    return [
        START + phase_ns + round((i + error) * period_ns)
        for i, error in enumerate(jitter)
        if i % lost_every != lost_every - 1
    ]


@given(camera_stamps(), camera_stamps(), st.integers(1, 150))
def test_pairs_are_those_of_the_offline_reference(thermal: list[int], rgb: list[int], slop_ms: int) -> None:
    rig = Rig(SyncConfig(slop_ms=slop_ms, max_wait_ms=1e6, queue_size=1000))
    arrivals = [Arrival(t, THERMAL, t) for t in thermal] + [Arrival(r, RGB, r) for r in rgb]
    rig.feed(sorted(arrivals, key=lambda arrival: arrival.now_ns)).run_clock_to(START + 10**16)
    # Of the last RGB frame alone the synchroniser cannot know that none follows.
    decided = [pair for pair in rig.stamps() if pair[1] != rgb[-1]]
    assert decided == [pair for pair in reference_pairs(thermal, rgb, slop_ms * MS) if pair[1] != rgb[-1]]


@given(st.integers(-12 * MS, 12 * MS), st.lists(st.integers(-2 * MS, 2 * MS), min_size=40, max_size=40))
def test_equal_rates_pair_every_frame_with_the_nearest_of_all(phase_ns: int, jitter: list[int]) -> None:
    thermal = [START + phase_ns + i * PERIOD_30_HZ + jitter[i] for i in range(20)]
    rgb = [START + i * PERIOD_30_HZ + jitter[20 + i] for i in range(20)]
    arrivals = merged([Arrival(t, THERMAL, t) for t in thermal], [Arrival(r, RGB, r) for r in rgb])
    rig = Rig().feed(arrivals).run_clock_to(arrivals[-1].now_ns + 50 * MS)
    assert rig.stamps() == [(min(thermal, key=lambda t: abs(t - r)), r) for r in rgb]


@pytest.mark.parametrize("max_wait_ms", [0, 20, 100])
def test_thirty_ms_offset_pairs_at_the_three_ms_on_the_other_side(max_wait_ms: int) -> None:
    cameras = merged(camera(THERMAL, PERIOD_30_HZ, 60, first_ns=30 * MS), camera(RGB, PERIOD_30_HZ, 60))
    rig = Rig(SyncConfig(slop_ms=50, max_wait_ms=max_wait_ms)).feed(cameras)
    assert len(rig.pairs) >= 59
    assert {pair.offset_ns for pair in rig.pairs[1:]} == {PERIOD_30_HZ - 30 * MS}


@pytest.mark.parametrize("max_wait_ms", [10, 32, 100])
def test_lost_thermal_frame_does_not_put_the_streams_out_of_step(max_wait_ms: int) -> None:
    thermal = camera(THERMAL, PERIOD_30_HZ, 60, first_ns=-5 * MS)
    del thermal[20]
    rig = Rig(SyncConfig(slop_ms=50, max_wait_ms=max_wait_ms))
    rig.feed(merged(thermal, camera(RGB, PERIOD_30_HZ, 60)))
    assert len(rig.pairs) == 59
    assert {pair.offset_ns for pair in rig.pairs} == {5 * MS}


@pytest.mark.parametrize("jitter_ms", [0.0, 0.3])
def test_cameras_half_a_period_apart_keep_pairing(jitter_ms: float) -> None:
    def shaken(frames: list[Arrival], cycle: int) -> list[Arrival]:
        steps = [round((i % cycle / (cycle - 1) * 2 - 1) * jitter_ms * MS) for i in range(len(frames))]
        return [
            Arrival(frame.now_ns + step, frame.stream, frame.stamp_ns + step)
            for frame, step in zip(frames, steps, strict=True)
        ]

    thermal = shaken(camera(THERMAL, PERIOD_30_HZ, 300, first_ns=PERIOD_30_HZ // 2), 7)
    rig = Rig().feed(merged(thermal, shaken(camera(RGB, PERIOD_30_HZ, 300), 5)))
    assert len(rig.pairs) >= 298


def test_exact_tie_goes_to_the_older_thermal_frame() -> None:
    rig = Rig().feed([Arrival(1, THERMAL, 90 * MS), Arrival(2, RGB, 100 * MS), Arrival(3, THERMAL, 110 * MS)])
    rig.run_clock_to(30 * MS)
    assert rig.stamps() == [(90 * MS, 100 * MS)]


def test_slop_is_inclusive_and_no_pair_exceeds_it() -> None:
    rig = Rig(SyncConfig(slop_ms=20))
    rig.feed([Arrival(0, THERMAL, 80 * MS), Arrival(0, RGB, 100 * MS)]).run_clock_to(20 * MS)
    rig.feed([Arrival(21 * MS, THERMAL, 180 * MS), Arrival(21 * MS, RGB, 200 * MS + 1)]).run_clock_to(99 * MS)
    assert rig.stamps() == [(80 * MS, 100 * MS)]
    assert rig.accounts["rgb unpaired"] == 1


def test_late_thermal_camera_pairs_with_the_next_rgb_frame_within_the_slop() -> None:
    thermal = camera(THERMAL, PERIOD_30_HZ, 60, latency_ns=45 * MS)
    rig = Rig(SyncConfig(slop_ms=50, max_wait_ms=20)).feed(merged(thermal, camera(RGB, PERIOD_30_HZ, 60)))
    assert len(rig.pairs) >= 57
    assert max(pair.offset_ns for pair in rig.pairs) == PERIOD_30_HZ


# When it is decided


def test_frame_is_not_held_back_for_a_thermal_frame_that_would_be_farther() -> None:
    cameras = merged(camera(THERMAL, PERIOD_30_HZ, 30, first_ns=-MS), camera(RGB, PERIOD_30_HZ, 30))
    rig = Rig(SyncConfig(max_wait_ms=30)).feed(cameras)
    assert len(rig.pairs) == 30
    assert {rig.wait_ns(pair) for pair in rig.pairs[4:]} == {0}


def test_frame_waits_for_a_nearer_thermal_frame_and_no_longer() -> None:
    cameras = merged(camera(THERMAL, PERIOD_30_HZ, 30, first_ns=8 * MS), camera(RGB, PERIOD_30_HZ, 30))
    rig = Rig(SyncConfig(slop_ms=50, max_wait_ms=1000)).feed(cameras)
    assert [rig.wait_ns(pair) for pair in rig.pairs[4:]] == [8 * MS] * 26


def test_frame_waits_no_longer_than_max_wait_when_the_thermal_camera_stops() -> None:
    cameras = merged(camera(THERMAL, PERIOD_30_HZ, 10), camera(RGB, PERIOD_30_HZ, 30))
    rig = Rig(SyncConfig(max_wait_ms=15)).feed(cameras).run_clock_to(START + 10**10)
    assert len(rig.pairs) == 10
    assert rig.accounts["rgb unpaired"] == 20
    late = [number for number, frame in rig.frames.items() if frame.stream is RGB][10:]
    assert {rig.decided_at[number] - rig.frames[number].now_ns for number in late[1:]} == {15 * MS}


def test_deadline_is_that_of_the_oldest_waiting_frame() -> None:
    synchronizer: NearestSynchronizer[None] = NearestSynchronizer(SyncConfig(max_wait_ms=20))
    assert synchronizer.next_deadline_ns() is None
    synchronizer.add_rgb(START, None, 5 * MS)
    synchronizer.add_rgb(START + 10 * MS, None, 15 * MS)
    assert synchronizer.next_deadline_ns() == 25 * MS
    assert synchronizer.poll(25 * MS - 1).unpaired == []
    assert [left.frame.stamp_ns for left in synchronizer.poll(25 * MS).unpaired] == [START]
    assert synchronizer.next_deadline_ns() == 35 * MS


def test_waiting_frame_keeps_its_max_wait_when_the_callers_clock_jumps_back() -> None:
    rig = Rig(SyncConfig(max_wait_ms=20)).feed([Arrival(START, RGB, START), Arrival(MS, RGB, START + 33 * MS)])
    assert rig.synchronizer.next_deadline_ns() == 21 * MS
    assert rig.run_clock_to(21 * MS).accounts["rgb unpaired"] == 2


def test_clock_read_slightly_out_of_order_by_another_thread_decides_nothing_early() -> None:
    rig = Rig(SyncConfig(max_wait_ms=20)).feed(
        [Arrival(START, RGB, START), Arrival(START - MS, THERMAL, START - 10 * MS)]
    )
    assert rig.pairs == []
    assert rig.synchronizer.next_deadline_ns() == START + 20 * MS


# Hold: a slow thermal camera


@pytest.mark.parametrize("phase_ms", [0, 3, 14, 16, 18, 30])
def test_hold_pairs_every_frame_of_a_fast_rgb_camera(phase_ms: int) -> None:
    cameras = merged(camera(THERMAL, 111_111_111, 30, first_ns=phase_ms * MS), camera(RGB, PERIOD_30_HZ, 95))
    rig = Rig(SyncConfig(thermal_hold_ms=120)).feed(cameras).run_clock_to(START + 10**10)
    assert len(rig.pairs) >= 94
    assert all(-20 * MS <= pair.offset_ns <= 120 * MS for pair in rig.pairs)
    assert sum(not pair.thermal_reused for pair in rig.pairs) >= 28
    thermal_stamps = [pair.thermal.stamp_ns for pair in rig.pairs]
    assert thermal_stamps == sorted(thermal_stamps)


def test_no_thermal_frame_is_reused_without_hold() -> None:
    cameras = merged(camera(THERMAL, 111_111_111, 30, first_ns=3 * MS), camera(RGB, PERIOD_30_HZ, 95))
    rig = Rig().feed(cameras)
    assert not any(pair.thermal_reused for pair in rig.pairs)
    assert len({pair.thermal.stamp_ns for pair in rig.pairs}) == len(rig.pairs) >= 28


def test_thermal_frame_given_away_early_is_not_reused_at_its_own_stamp_without_hold() -> None:
    rig = Rig(SyncConfig(max_wait_ms=0))
    rig.feed([Arrival(1, THERMAL, 100 * MS), Arrival(2, RGB, 90 * MS), Arrival(3, RGB, 100 * MS)])
    assert rig.stamps() == [(100 * MS, 90 * MS)]
    assert rig.accounts["rgb unpaired"] == 1


def test_hold_ends_after_its_time() -> None:
    frames = [Arrival(START, THERMAL, START), *camera(RGB, PERIOD_30_HZ, 10)]
    rig = Rig(SyncConfig(thermal_hold_ms=100)).feed(frames).run_clock_to(START + 10**10)
    assert [pair.thermal_reused for pair in rig.pairs] == [False, True, True, True]
    assert rig.accounts["rgb unpaired"] == 6


def test_hold_can_be_switched_on_while_running() -> None:
    rig = Rig().feed([Arrival(START, THERMAL, START), Arrival(START, RGB, START)])
    rig.synchronizer.reconfigure(SyncConfig(thermal_hold_ms=50))
    rig.feed([Arrival(START + 33 * MS, RGB, START + 33 * MS)]).run_clock_to(START + 99 * MS)
    assert [pair.thermal_reused for pair in rig.pairs] == [False, True]


# Stamps and clocks that misbehave


def test_bad_stamps_are_rejected_alone() -> None:
    synchronizer: NearestSynchronizer[None] = NearestSynchronizer(SyncConfig())
    synchronizer.add_rgb(START, None, START)
    reasons = [
        synchronizer.add_rgb(stamp_ns, None, START).rejected[0].reason
        for stamp_ns in (0, START, START - BACKWARD_JUMP_NS, START - 1)
    ]
    assert reasons == [
        RejectReason.ZERO_STAMP,
        RejectReason.DUPLICATE_STAMP,
        RejectReason.OUT_OF_ORDER,
        RejectReason.OUT_OF_ORDER,
    ]
    assert len(synchronizer.add_thermal(START, None, START).pairs) == 1


def looping(stream: Stream, rounds: int, frames: int, latency_ns: int, thermal_phase_ms: int = 0) -> list[Arrival]:
    """A camera replayed from a looping bag: stamps start over each round, the caller's clock goes on."""
    round_ns = frames * PERIOD_30_HZ
    first_ns = START + (thermal_phase_ms * MS if stream is THERMAL else 0)
    stamps = [first_ns + i * PERIOD_30_HZ for i in range(frames)]
    return [
        Arrival(turn * round_ns + stamp_ns + latency_ns, stream, stamp_ns)
        for turn in range(rounds)
        for stamp_ns in stamps
    ]


@pytest.mark.parametrize("hold_ms", [0, 120])
@pytest.mark.parametrize(("thermal_latency_ms", "rgb_latency_ms"), [(0, 0), (0, 5), (5, 0), (0, 150), (19, 0)], ids=str)
def test_looping_bag_keeps_pairing_every_frame(thermal_latency_ms: int, rgb_latency_ms: int, hold_ms: int) -> None:
    thermal = looping(THERMAL, 4, 60, thermal_latency_ms * MS)
    rig = Rig(SyncConfig(thermal_hold_ms=hold_ms))
    rig.feed(merged(thermal, looping(RGB, 4, 60, rgb_latency_ms * MS))).run_clock_to(START + 10**12)
    assert rig.accounts["resets"] == 3
    # Of a finished round only frames under way when the first stream jumps may be lost.
    lost_per_round = -(-max(thermal_latency_ms, rgb_latency_ms) * MS // PERIOD_30_HZ)
    assert len(rig.pairs) >= 4 * 60 - 3 * lost_per_round
    assert {pair.offset_ns for pair in rig.pairs} == {0}


def test_looping_bag_with_a_thermal_stream_that_jumps_much_later() -> None:
    config = SyncConfig(max_wait_ms=200)
    arrivals = merged(looping(THERMAL, 4, 60, 150 * MS), looping(RGB, 4, 60, 0))
    rig = Rig(config).feed(arrivals).run_clock_to(START + 10**12)
    assert rig.accounts["resets"] == 3
    assert len(rig.pairs) >= 4 * 60 - 3 * 5
    assert {pair.offset_ns for pair in rig.pairs} == {0}


@pytest.mark.parametrize("phase_ms", [-15, -1, 0, 8])
def test_new_round_of_a_looping_bag_pairs_from_its_first_frame_without_delay(phase_ms: int) -> None:
    frames, waits = 60, []
    for rounds in (1, 2):
        rig = Rig().feed(merged(*(looping(stream, rounds, frames, 0, phase_ms) for stream in Stream)))
        rig.run_clock_to(START + 10**12)
        assert len(rig.pairs) == rounds * frames
        waits.append([rig.wait_ns(pair) for pair in rig.pairs[-frames:]])
    first_round, second_round = waits
    assert second_round[5:-1] == first_round[5:-1]
    assert all(again <= before for again, before in zip(second_round, first_round, strict=True))


def test_reset_by_the_thermal_stream_ends_waiting_rgb_frames_and_the_hold() -> None:
    rig = Rig(SyncConfig(thermal_hold_ms=1000))
    rig.feed([Arrival(1, THERMAL, START), Arrival(2, RGB, START), Arrival(3, RGB, START + 1200 * MS)])
    assert rig.in_flight(RGB) == 1
    rig.feed([Arrival(4, THERMAL, START - 10_000 * MS)])
    assert rig.accounts == Counter({"resets": 1, "rgb unpaired": 1})
    rig.feed([Arrival(5, RGB, START + 900 * MS)]).run_clock_to(10**9)
    assert rig.accounts["rgb unpaired"] == 2
    assert rig.stamps() == [(START, START)]


def test_reset_by_the_rgb_stream_clears_thermal_frames() -> None:
    rig = Rig().feed([Arrival(1, RGB, START), Arrival(2, THERMAL, START + 500 * MS)])
    rig.feed([Arrival(3, RGB, START - 10_000 * MS)])
    assert rig.accounts == Counter({"resets": 1, "rgb unpaired": 1, "thermal unpaired": 1})


@pytest.mark.parametrize("stream", [THERMAL, RGB])
def test_one_stamp_from_the_far_future_costs_a_few_frames(stream: Stream) -> None:
    thermal, rgb = camera(THERMAL, PERIOD_30_HZ, 60), camera(RGB, PERIOD_30_HZ, 60)
    frames = {THERMAL: thermal, RGB: rgb}[stream]
    frames[30] = Arrival(frames[30].now_ns, stream, frames[30].stamp_ns + 10**18)
    rig = Rig().feed(merged(thermal, rgb))
    assert rig.accounts["resets"] == 1
    assert len(rig.pairs) >= 57
    assert {pair.offset_ns for pair in rig.pairs} == {0}
    assert {rig.wait_ns(pair) for pair in rig.pairs[-20:]} == {0}


@pytest.mark.parametrize(("thermal_step_s", "rgb_step_s"), [(0, 0.5), (0.5, 0)])
def test_pairing_goes_on_after_both_clocks_jump_forward(thermal_step_s: float, rgb_step_s: float) -> None:
    def stepping(stream: Stream, step_s: float) -> list[Arrival]:
        frames = camera(stream, PERIOD_30_HZ, 90)
        jump_ns = START + 10**9 + round(step_s * 1e9)
        return [
            Arrival(frame.now_ns, stream, frame.stamp_ns + (10**18 if frame.now_ns >= jump_ns else 0))
            for frame in frames
        ]

    rig = Rig().feed(merged(stepping(THERMAL, thermal_step_s), stepping(RGB, rgb_step_s)))
    assert rig.accounts["resets"] == 0
    assert len(rig.pairs) == 90 - 15


# Accounts


def test_full_queues_evict_their_oldest_frames() -> None:
    rig = Rig(SyncConfig(max_wait_ms=1e6, queue_size=3)).feed(camera(RGB, PERIOD_30_HZ, 5))
    assert rig.accounts["rgb superseded"] == 2
    rig = Rig(SyncConfig(queue_size=3)).feed(camera(THERMAL, PERIOD_30_HZ, 5))
    assert rig.accounts["thermal superseded"] == 2
    assert rig.flush().accounts["thermal unpaired"] == 3


def test_flush_leaves_nothing_behind_and_starts_anew() -> None:
    rig = Rig(SyncConfig(thermal_hold_ms=100)).feed(
        merged(camera(THERMAL, PERIOD_30_HZ, 5), camera(RGB, PERIOD_30_HZ, 5))
    )
    rig.flush()
    assert rig.in_flight(THERMAL) == rig.in_flight(RGB) == 0
    assert rig.synchronizer.next_deadline_ns() is None
    rig.feed([Arrival(MS, RGB, MS)]).run_clock_to(10**9)
    assert rig.accounts["resets"] == 0
    assert rig.accounts["rgb unpaired"] == 1


@st.composite
def unruly_arrivals(draw: st.DrawFn) -> list[Arrival]:
    """Two cameras whose stamps step, repeat, jump back and forth and lag behind the caller's clock."""
    now_ns, clocks, arrivals = START, {THERMAL: START, RGB: START}, []
    steps = st.tuples(
        st.sampled_from(Stream),
        st.integers(0, 40),
        st.one_of(st.integers(1, 50), st.sampled_from([0, -30, -100, -101, -5000, 100_000])),
        st.integers(0, 30),
    )
    for stream, now_step_ms, stamp_step_ms, zero in draw(st.lists(steps, max_size=80)):
        now_ns += now_step_ms * MS
        clocks[stream] = max(clocks[stream] + stamp_step_ms * MS, MS)
        arrivals.append(Arrival(now_ns, stream, 0 if zero == 30 else clocks[stream]))
    return arrivals


configs = st.builds(
    SyncConfig,
    slop_ms=st.integers(1, 60),
    max_wait_ms=st.sampled_from([0, 10, 50, 1000]),
    thermal_hold_ms=st.sampled_from([0, 30, 200]),
    queue_size=st.integers(1, 6),
)


@given(configs, unruly_arrivals())
def test_whatever_comes_every_frame_is_accounted_for_once_and_in_time(
    config: SyncConfig, arrivals: list[Arrival]
) -> None:
    rig = Rig(config)
    for arrival in arrivals:
        rig.feed([arrival])
        assert max(rig.in_flight(THERMAL), rig.in_flight(RGB)) <= config.queue_size
    for number, decided_ns in rig.decided_at.items():
        assert decided_ns - rig.frames[number].now_ns <= config.max_wait_ns
    rig.flush()
    assert sorted(rig.accounted) == list(range(len(arrivals)))
    for pair in rig.pairs:
        held = 0 <= pair.offset_ns <= config.thermal_hold_ns
        assert held or (abs(pair.offset_ns) <= config.slop_ns and not pair.thermal_reused)
        assert (rig.frames[pair.thermal.payload].stream, rig.frames[pair.rgb.payload].stream) == (
            THERMAL,
            RGB,
        )


@given(configs, unruly_arrivals())
def test_frames_of_pairs_never_go_back_in_arrival_order(config: SyncConfig, arrivals: list[Arrival]) -> None:
    pairs = Rig(config).feed(arrivals).flush().pairs
    rgb, thermal = [pair.rgb.payload for pair in pairs], [pair.thermal.payload for pair in pairs]
    assert rgb == sorted(set(rgb))
    assert thermal == sorted(thermal)
    reused = [pair.thermal_reused for pair in pairs]
    assert reused == [i > 0 and thermal[i] == thermal[i - 1] for i in range(len(pairs))]


def test_concurrent_cameras_lose_no_frame() -> None:
    synchronizer: NearestSynchronizer[tuple[Stream, int]] = NearestSynchronizer(SyncConfig(thermal_hold_ms=50))
    outcomes: list[SyncOutcome[tuple[Stream, int]]] = []
    frames = 1000

    def run(stream: Stream) -> None:
        add = synchronizer.add_rgb if stream is RGB else synchronizer.add_thermal
        for i in range(frames):
            stamp_ns = START + i * PERIOD_30_HZ
            outcomes.append(add(stamp_ns, (stream, i), stamp_ns))
            outcomes.append(synchronizer.poll(stamp_ns))

    threads = [threading.Thread(target=run, args=(stream,)) for stream in Stream]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30.0)
    outcomes.append(synchronizer.flush())
    seen: list[Stamped[tuple[Stream, int]]] = []
    for outcome in outcomes:
        seen += [pair.rgb for pair in outcome.pairs]
        seen += [pair.thermal for pair in outcome.pairs if not pair.thermal_reused]
        seen += [left.frame for left in outcome.unpaired + outcome.superseded]
    assert sorted(frame.payload for frame in seen) == sorted((stream, i) for stream in Stream for i in range(frames))
