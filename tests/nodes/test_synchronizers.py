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

"""message_filters behind our interface, where it is installed; a sentence where it is not."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from refinefuse_ros.errors import UserError
from refinefuse_ros.nodes.synchronizers import ApproximateSynchronizer, create_pairing
from refinefuse_ros.stream.ledger import FrameLedger
from refinefuse_ros.stream.outcome import Stream
from refinefuse_ros.stream.pairing import SyncSettings
from refinefuse_ros.stream.synchronizer import SyncConfig

MS = 1_000_000
HAS_MESSAGE_FILTERS = find_spec("message_filters") is not None


@pytest.mark.skipif(HAS_MESSAGE_FILTERS, reason="message_filters is installed here")
def test_approximate_without_message_filters_says_what_to_do() -> None:
    with pytest.raises(UserError, match="needs the ROS package message_filters"):
        create_pairing("approximate", SyncSettings())


@pytest.mark.skipif(not HAS_MESSAGE_FILTERS, reason="message_filters comes with a ROS install")
def test_approximate_pairs_and_accounts_for_every_frame() -> None:
    synchronizer = ApproximateSynchronizer(SyncConfig(slop_ms=10, queue_size=3))
    ledger = FrameLedger()
    offsets = []
    for index in range(20):
        for stream, add, offset in (
            (Stream.THERMAL, synchronizer.add_thermal, 0),
            (Stream.RGB, synchronizer.add_rgb, 4 * MS if index % 2 else 50 * MS),
        ):
            ledger.received(stream)
            outcome = add((1000 + 100 * index) * MS + offset, index, 0)
            ledger.account(outcome)
            offsets += [pair.offset_ns for pair in outcome.pairs]
    ledger.account(synchronizer.flush())
    snapshot = ledger.snapshot()
    assert offsets == [4 * MS] * 10
    assert snapshot.balanced
    assert (snapshot.thermal.in_flight, snapshot.rgb.in_flight) == (0, 0)
    assert (snapshot.rgb.paired, snapshot.rgb.unpaired) == (10, 10)


@pytest.mark.skipif(not HAS_MESSAGE_FILTERS, reason="message_filters comes with a ROS install")
def test_frames_from_before_another_configuration_spoil_no_account() -> None:
    synchronizer = ApproximateSynchronizer(SyncConfig(slop_ms=10, queue_size=3))
    for index in range(3):
        assert not synchronizer.add_rgb((9000 + 100 * index) * MS, index, 0).unpaired
    synchronizer.reconfigure(SyncConfig(slop_ms=10, queue_size=3))  # another parameter was set
    assert not synchronizer.add_rgb(9300 * MS, 3, 0).pairs
    synchronizer.reconfigure(SyncConfig(slop_ms=20, queue_size=3))
    first = synchronizer.add_rgb(1000 * MS, 4, 0)  # the recording starts anew
    assert len(first.unpaired) == 3
    assert not synchronizer.flush().unpaired[1:]


@pytest.mark.skipif(not HAS_MESSAGE_FILTERS, reason="message_filters comes with a ROS install")
def test_a_flushed_frame_does_not_pair_again() -> None:
    synchronizer = ApproximateSynchronizer(SyncConfig(slop_ms=10, queue_size=3))
    synchronizer.add_rgb(1000 * MS, 1, 0)
    assert len(synchronizer.flush().unpaired) == 1
    assert synchronizer.add_thermal(1000 * MS, 2, 0).pairs == []
    assert len(synchronizer.flush().unpaired) == 1
