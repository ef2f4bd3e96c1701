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

"""The ledger's sums balance whatever happens, and it says so when they do not."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinefuse_ros.stream.ledger import FrameLedger, LedgerSnapshot
from refinefuse_ros.stream.outcome import (
    Pair,
    RejectedFrame,
    RejectReason,
    Stamped,
    Stream,
    StreamFrame,
    SyncOutcome,
)
from refinefuse_ros.stream.slot import LatestSlot
from refinefuse_ros.stream.synchronizer import NearestSynchronizer, SyncConfig

FRAME: Stamped[None] = Stamped(1, None)
MS = 1_000_000


def test_outcome_is_booked_wholesale() -> None:
    ledger = FrameLedger()
    for stream, frames in ((Stream.THERMAL, 3), (Stream.RGB, 5)):
        for _ in range(frames):
            ledger.received(stream)
    ledger.rejected(Stream.RGB, "bad_data_length")
    ledger.account(
        SyncOutcome(
            pairs=[Pair(FRAME, FRAME), Pair(FRAME, FRAME, thermal_reused=True)],
            unpaired=[StreamFrame(Stream.THERMAL, FRAME)],
            superseded=[StreamFrame(Stream.RGB, FRAME)],
            rejected=[RejectedFrame(Stream.THERMAL, FRAME, RejectReason.ZERO_STAMP)],
            resets=1,
        )
    )
    ledger.published()
    ledger.passed_through()
    snapshot = ledger.snapshot()
    assert snapshot.balanced
    assert json.loads(json.dumps(snapshot.to_dict())) == {
        "thermal": {
            "received": 3,
            "paired": 1,
            "unpaired": 1,
            "superseded": 0,
            "rejected": 1,
            "rejected_by_reason": {"zero_stamp": 1},
            "in_flight": 0,
        },
        "rgb": {
            "received": 5,
            "paired": 2,
            "unpaired": 0,
            "superseded": 1,
            "rejected": 1,
            "rejected_by_reason": {"bad_data_length": 1},
            "in_flight": 1,
        },
        "pairs": {"formed": 2, "published": 1, "superseded": 0, "failed": 0, "unwatched": 0, "in_flight": 1},
        "thermal_reused": 1,
        "passed_through": 1,
        "resets": 1,
        "balanced": True,
    }


@pytest.mark.parametrize(
    "overbook",
    [
        lambda ledger: ledger.rejected(Stream.RGB, "x"),
        lambda ledger: ledger.account(SyncOutcome(unpaired=[StreamFrame(Stream.THERMAL, FRAME)])),
        lambda ledger: ledger.account(SyncOutcome(pairs=[Pair(FRAME, FRAME)])),
        lambda ledger: ledger.published(),
        lambda ledger: ledger.superseded(),
        lambda ledger: ledger.failed(),
    ],
)
def test_booking_too_much_shows(overbook: Callable[[FrameLedger], None]) -> None:
    ledger = FrameLedger()
    assert ledger.snapshot().balanced
    overbook(ledger)
    snapshot = ledger.snapshot()
    assert not snapshot.balanced
    assert min(snapshot.thermal.in_flight, snapshot.rgb.in_flight, snapshot.pairs.in_flight) == -1


def test_snapshot_does_not_change_afterwards() -> None:
    ledger = FrameLedger()
    ledger.received(Stream.RGB)
    snapshot = ledger.snapshot()
    ledger.rejected(Stream.RGB, "bad_data_length")
    assert snapshot.rgb.rejected == 0
    assert snapshot.rgb.in_flight == 1


class Rig:
    """Ledger, synchroniser and slot put together as a node does, with a worker that fails now and then."""

    def __init__(self) -> None:
        self.ledger = FrameLedger()
        self.synchronizer: NearestSynchronizer[None] = NearestSynchronizer(SyncConfig(thermal_hold_ms=50, queue_size=3))
        self.slot: LatestSlot[Pair[None]] = LatestSlot()

    def receive(self, stream: Stream, stamp_ms: int) -> None:
        self.ledger.received(stream)
        if stamp_ms % 17 == 0:
            self.ledger.rejected(stream, "malformed")
            return
        add = self.synchronizer.add_rgb if stream is Stream.RGB else self.synchronizer.add_thermal
        self.hand_on(add(stamp_ms * MS, None, stamp_ms * MS))

    def hand_on(self, outcome: SyncOutcome[None]) -> None:
        self.ledger.account(outcome)
        for pair in outcome.pairs:
            if self.slot.put(pair) is not None:
                self.ledger.superseded()

    def work(self, timeout_s: float) -> None:
        pair = self.slot.take(timeout_s)
        if pair is not None:
            (self.ledger.failed if pair.rgb.stamp_ns % (7 * MS) == 0 else self.ledger.published)()

    def finish(self) -> LedgerSnapshot:
        self.hand_on(self.synchronizer.flush())
        if self.slot.close() is not None:
            self.ledger.superseded()
        return self.ledger.snapshot()


@given(
    st.lists(
        st.one_of(st.none(), st.tuples(st.sampled_from(Stream), st.integers(0, 400))),
        max_size=60,
    )
)
def test_every_frame_and_pair_ends_in_one_account(steps: list[tuple[Stream, int] | None]) -> None:
    rig = Rig()
    for step in steps:
        if step is None:
            rig.work(0.0)
        else:
            rig.receive(*step)
        assert rig.ledger.snapshot().balanced
    final = rig.finish()
    assert final.balanced
    assert final.thermal.received + final.rgb.received == sum(step is not None for step in steps)
    assert (final.thermal.in_flight, final.rgb.in_flight, final.pairs.in_flight) == (0, 0, 0)


def test_balances_with_threads() -> None:
    rig = Rig()
    frames = 2000
    unbalanced: list[LedgerSnapshot] = []
    in_step = threading.Barrier(2)

    def camera(stream: Stream) -> None:
        generator = random.Random(stream.value)
        for i in range(frames):
            if i % 2 == 0:  # further apart, on a busy machine, one would overrun the other's queue
                in_step.wait(timeout=120.0)
            rig.receive(stream, i * 10 + generator.randint(0, 12))

    def worker() -> None:
        while not rig.slot.closed:
            rig.work(0.01)

    def auditor() -> None:
        while not rig.slot.closed:
            snapshot = rig.ledger.snapshot()
            if not snapshot.balanced:
                unbalanced.append(snapshot)

    cameras = [threading.Thread(target=camera, args=(stream,)) for stream in Stream]
    others = [threading.Thread(target=target) for target in (worker, auditor)]
    for thread in cameras + others:
        thread.start()
    for thread in cameras:
        thread.join(timeout=120.0)
    rig.finish()
    for thread in others:
        thread.join(timeout=120.0)
    final = rig.ledger.snapshot()
    assert unbalanced == []
    assert (final.thermal.received, final.rgb.received) == (frames, frames)
    assert (final.thermal.in_flight, final.rgb.in_flight, final.pairs.in_flight) == (0, 0, 0)
    assert final.pairs.formed > frames // 4
