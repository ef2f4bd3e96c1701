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

"""The choice of `sync.policy`: our nearest-pair synchroniser, or message_filters' behind the same interface."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from importlib import import_module
from typing import Generic, TypeVar

from std_msgs.msg import Header

from refinefuse_ros.nodes.messages import to_stamp
from refinefuse_ros.nodes.running import StartError
from refinefuse_ros.stream.outcome import (
    Pair,
    RejectedFrame,
    RejectReason,
    Stamped,
    Stream,
    StreamFrame,
    SyncOutcome,
)
from refinefuse_ros.stream.pairing import CameraPairing, SyncSettings
from refinefuse_ros.stream.synchronizer import NearestSynchronizer, SyncConfig

T = TypeVar("T")


def create_pairing(policy: str, settings: SyncSettings) -> CameraPairing:
    """Pairing by the synchroniser of `sync.policy`.

    Raises:
        StartError: "approximate" was asked for where message_filters is not installed.
    """
    config = SyncConfig(slop_ms=settings.slop_ms, queue_size=settings.queue_size)
    kind = NearestSynchronizer if policy == "nearest" else ApproximateSynchronizer
    return CameraPairing(settings, kind(config))


@dataclass(frozen=True)
class _StampedMessage(Generic[T]):
    """Looks to message_filters like a message with a header."""

    header: Header
    frame: Stamped[T]


class ApproximateSynchronizer(Generic[T]):
    """message_filters.ApproximateTimeSynchronizer, with the accounts it does not keep itself.

    It drops the oldest frame of a full queue without a word; the same is done here in step, so that each frame still
    ends in one account. A frame that arrives with the stamp of one that waits would replace it; it is rejected instead.

    Raises:
        StartError: message_filters is not installed.
    """

    def __init__(self, config: SyncConfig) -> None:
        try:
            self._filters = import_module("message_filters")
        except ImportError as error:
            raise StartError(
                "sync.policy 'approximate' needs the ROS package message_filters, which is not installed;"
                " install it, or use 'nearest'."
            ) from error
        self._lock = threading.Lock()
        self._paired: list[Pair[T]] = []
        self._waiting: dict[Stream, dict[int, Stamped[T]]] = {stream: {} for stream in Stream}
        self._left: list[StreamFrame[T]] = []  # unpaired since the last outcome
        self._slop_ms, self._queue_size = config.slop_ms, config.queue_size
        self._start_anew()

    def reconfigure(self, config: SyncConfig) -> None:
        """Start a new message_filters synchroniser; frames that wait in the old one leave unpaired with the next call.

        With the same slop and queue all goes on as it is: message_filters knows neither a wait nor a hold.
        """
        with self._lock:
            if (config.slop_ms, config.queue_size) != (self._slop_ms, self._queue_size):
                self._slop_ms, self._queue_size = config.slop_ms, config.queue_size
                self._start_anew()

    def add_thermal(self, stamp_ns: int, payload: T, now_ns: int) -> SyncOutcome[T]:
        return self._add(Stream.THERMAL, Stamped(stamp_ns, payload))

    def add_rgb(self, stamp_ns: int, payload: T, now_ns: int) -> SyncOutcome[T]:
        return self._add(Stream.RGB, Stamped(stamp_ns, payload))

    def poll(self, now_ns: int) -> SyncOutcome[T]:
        """Nothing: message_filters decides only when a frame arrives."""
        return SyncOutcome()

    def next_deadline_ns(self) -> int | None:
        """None, for the same reason."""
        return None

    def flush(self) -> SyncOutcome[T]:
        with self._lock:
            self._start_anew()
            return SyncOutcome(unpaired=self._take_left())

    def _start_anew(self) -> None:
        """Let every frame that waits go unpaired; message_filters' own queues cannot be emptied, only replaced."""
        self._left += [StreamFrame(s, frame) for s, frames in self._waiting.items() for frame in frames.values()]
        self._waiting = {stream: {} for stream in Stream}
        self._inputs = {stream: self._filters.SimpleFilter() for stream in Stream}
        approximate = self._filters.ApproximateTimeSynchronizer(
            [self._inputs[Stream.THERMAL], self._inputs[Stream.RGB]], self._queue_size, self._slop_ms / 1000
        )
        approximate.registerCallback(self._on_pair)

    def _take_left(self) -> list[StreamFrame[T]]:
        left, self._left = self._left, []
        return left

    def _add(self, stream: Stream, frame: Stamped[T]) -> SyncOutcome[T]:
        with self._lock:
            outcome: SyncOutcome[T] = SyncOutcome(unpaired=self._take_left())
            waiting = self._waiting[stream]
            reason = RejectReason.ZERO_STAMP if frame.stamp_ns <= 0 else RejectReason.DUPLICATE_STAMP
            if frame.stamp_ns <= 0 or frame.stamp_ns in waiting:
                outcome.rejected.append(RejectedFrame(stream, frame, reason))
                return outcome
            waiting[frame.stamp_ns] = frame
            self._inputs[stream].signalMessage(_StampedMessage(Header(stamp=to_stamp(frame.stamp_ns)), frame))
            outcome.pairs, self._paired = self._paired, []
            while len(waiting) > self._queue_size:
                outcome.unpaired.append(StreamFrame(stream, waiting.pop(min(waiting))))
            return outcome

    def _on_pair(self, thermal: _StampedMessage[T], rgb: _StampedMessage[T]) -> None:
        for stream, message in ((Stream.THERMAL, thermal), (Stream.RGB, rgb)):
            self._waiting[stream].pop(message.frame.stamp_ns, None)
        self._paired.append(Pair(thermal.frame, rgb.frame))
