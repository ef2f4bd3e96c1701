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

"""Nearest-pair synchroniser: for each RGB frame the nearest thermal frame within the slop.

Two neighbours matter to an RGB frame: the newest unused thermal frame at or before it and the oldest one
after it. The nearer of the two is its partner, with one limit: a thermal frame that lies clearly nearer to
the next RGB frame (`OWN_FRACTION`) is left to that one. Without this limit a single lost thermal frame would
make its RGB frame take the following one's partner, and so would every frame after it, and the streams would
stay one frame out of step for good.

An RGB frame is decided as soon as no better partner can come, judged by the stamps seen and by each stream's
`Cadence`, and at the latest `max_wait_ms` after it arrived. Decisions are made in RGB stamp order and thermal
stamps never go back either.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from refinefuse_ros.stream.cadence import Cadence
from refinefuse_ros.stream.outcome import (
    BACKWARD_JUMP_NS,
    Pair,
    RejectedFrame,
    RejectReason,
    Stamped,
    Stream,
    StreamFrame,
    SyncOutcome,
)

T = TypeVar("T")

# A thermal frame belongs to the RGB frame before it up to this fraction of the way to the next RGB frame.
# Just above one half: at exactly one half, cameras half a period apart would with every flicker of jitter
# change step and lose a frame each time.
OWN_FRACTION = 0.6


@dataclass(frozen=True)
class SyncConfig:
    """How frames are paired.

    Attributes:
        slop_ms: largest distance between the stamps of a pair, ms, > 0.
        max_wait_ms: longest time an RGB frame waits after its arrival for a nearer thermal frame, ms, >= 0.
        thermal_hold_ms: with > 0, an RGB frame without an unused thermal frame within the slop takes the
            newest thermal frame at or before it that is at most this much older, ms, used or not; 0 keeps
            pairing one to one.
        queue_size: most frames kept waiting per stream, >= 1.

    Raises:
        ValueError: a value is outside its range.
    """

    slop_ms: float = 20.0
    max_wait_ms: float = 50.0
    thermal_hold_ms: float = 0.0
    queue_size: int = 10

    def __post_init__(self) -> None:
        if not (math.isfinite(self.slop_ms) and self.slop_ms > 0):
            raise ValueError(f"slop_ms is {self.slop_ms}: give a number of milliseconds above 0.")
        for name in ("max_wait_ms", "thermal_hold_ms"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}: give a number of milliseconds, 0 or above.")
        if not isinstance(self.queue_size, int) or self.queue_size < 1:
            raise ValueError(f"queue_size is {self.queue_size}: give a whole number of frames, 1 or above.")

    @property
    def slop_ns(self) -> int:
        """`slop_ms` in ns."""
        return round(self.slop_ms * 1e6)

    @property
    def max_wait_ns(self) -> int:
        """`max_wait_ms` in ns."""
        return round(self.max_wait_ms * 1e6)

    @property
    def thermal_hold_ns(self) -> int:
        """`thermal_hold_ms` in ns."""
        return round(self.thermal_hold_ms * 1e6)

    @property
    def backward_reach_ns(self) -> int:
        """How much older than its RGB frame an unused thermal frame may be, ns."""
        return max(self.slop_ns, self.thermal_hold_ns)


class _Waiting(NamedTuple):
    """An undecided RGB frame and the caller's clock at its arrival."""

    frame: Stamped
    arrival_ns: int


class NearestSynchronizer(Generic[T]):
    """Pairs thermal and RGB frames by nearest stamp. Thread-safe; no call blocks, none calls back.

    Frames of one stream are given in the order they arrive. Stamps are ns of the cameras' common clock;
    `now_ns` is any clock of the caller's, always the same one, in ns. Every call returns what it decided;
    each frame given comes out in exactly one outcome, the last ones with `flush`.

    A stamp that steps back by more than `BACKWARD_JUMP_NS` is a reset: waiting RGB frames are decided at once,
    then both queues and the held frame are cleared. The other stream usually follows a moment later with its
    own jump; that belongs to the same reset and ends only its own old frames, so that a looping recording
    loses no frame of its new round, whichever stream jumps first.
    """

    def __init__(self, config: SyncConfig) -> None:
        self._lock = threading.Lock()
        self._config = config
        self._start_anew()

    def _start_anew(self) -> None:
        self._thermal: deque[Stamped[T]] = deque()  # unused frames, in stamp order
        self._rgb: deque[_Waiting] = deque()  # undecided frames, in stamp order
        self._cadence = {stream: Cadence() for stream in Stream}
        self._held: Stamped[T] | None = None  # the thermal frame of the last pair
        self._decided_ns: int | None = None  # stamp of the newest RGB frame decided
        self._jumped: Stream | None = None  # the stream that was reset while the other has not followed yet
        self._now_ns = 0

    def add_thermal(self, stamp_ns: int, payload: T, now_ns: int) -> SyncOutcome[T]:
        """Take in a thermal frame that arrived at `now_ns`."""
        return self._add(Stream.THERMAL, Stamped(stamp_ns, payload), now_ns)

    def add_rgb(self, stamp_ns: int, payload: T, now_ns: int) -> SyncOutcome[T]:
        """Take in an RGB frame that arrived at `now_ns`."""
        return self._add(Stream.RGB, Stamped(stamp_ns, payload), now_ns)

    def poll(self, now_ns: int) -> SyncOutcome[T]:
        """Decide the RGB frames whose `max_wait_ms` has passed; to be called at `next_deadline_ns`."""
        outcome: SyncOutcome[T] = SyncOutcome()
        with self._lock:
            self._advance_clock(now_ns)
            self._settle(outcome)
        return outcome

    def next_deadline_ns(self) -> int | None:
        """When, on the clock of `now_ns`, the oldest waiting RGB frame is decided; None when none waits."""
        with self._lock:
            return self._deadline_ns(self._rgb[0]) if self._rgb else None

    def flush(self) -> SyncOutcome[T]:
        """Let every queued frame leave as unpaired and forget all that was seen."""
        outcome: SyncOutcome[T] = SyncOutcome()
        with self._lock:
            self._clear_thermal(outcome)
            outcome.unpaired += [StreamFrame(Stream.RGB, waiting.frame) for waiting in self._rgb]
            self._start_anew()
        return outcome

    def reconfigure(self, config: SyncConfig) -> None:
        """Pair by `config` from the next call on; frames beyond a smaller queue leave with that call."""
        with self._lock:
            self._config = config

    def _add(self, stream: Stream, frame: Stamped[T], now_ns: int) -> SyncOutcome[T]:
        outcome: SyncOutcome[T] = SyncOutcome()
        with self._lock:
            self._advance_clock(now_ns)
            if self._admit(stream, frame, outcome):
                self._cadence[stream].observe(frame.stamp_ns)
                if stream is Stream.THERMAL:
                    self._thermal.append(frame)
                else:
                    self._rgb.append(_Waiting(frame, self._now_ns))
            self._settle(outcome)
        return outcome

    def _advance_clock(self, now_ns: int) -> None:
        """Follow the caller's clock; threads may read it slightly out of order, and it may be reset."""
        if now_ns > self._now_ns:
            self._now_ns = now_ns
        elif self._now_ns - now_ns > BACKWARD_JUMP_NS:
            self._now_ns = now_ns
            self._rgb = deque(_Waiting(waiting.frame, now_ns) for waiting in self._rgb)

    def _deadline_ns(self, waiting: _Waiting) -> int:
        return waiting.arrival_ns + self._config.max_wait_ns

    def _admit(self, stream: Stream, frame: Stamped[T], outcome: SyncOutcome[T]) -> bool:
        """Whether the stamp lets the frame in; a backward jump does, after the reset."""
        last_ns = self._cadence[stream].last_ns
        if frame.stamp_ns <= 0:
            reason = RejectReason.ZERO_STAMP
        elif last_ns is None or frame.stamp_ns > last_ns:
            return True
        elif last_ns - frame.stamp_ns > BACKWARD_JUMP_NS:
            self._reset(stream, outcome)
            return True
        else:
            reason = RejectReason.DUPLICATE_STAMP if frame.stamp_ns == last_ns else RejectReason.OUT_OF_ORDER
        outcome.rejected.append(RejectedFrame(stream, frame, reason))
        return False

    def _reset(self, stream: Stream, outcome: SyncOutcome[T]) -> None:
        """End the time before `stream` jumped back: what waits from that time is decided by what is known."""
        follows = self._jumped is stream.other
        if stream is Stream.RGB or not follows:
            while self._rgb:
                self._decide_oldest(outcome)
            self._decided_ns = None
        if stream is Stream.THERMAL or not follows:
            self._clear_thermal(outcome)
        if not follows:
            self._held = None
            outcome.resets += 1
        self._jumped = None if follows else stream

    def _clear_thermal(self, outcome: SyncOutcome[T]) -> None:
        outcome.unpaired += [StreamFrame(Stream.THERMAL, frame) for frame in self._thermal]
        self._thermal.clear()

    def _settle(self, outcome: SyncOutcome[T]) -> None:
        """Decide what can be decided now, then let go of what is no longer needed."""
        while self._rgb:
            oldest = self._rgb[0]
            if self._now_ns < self._deadline_ns(oldest) and self._better_may_come(oldest.frame.stamp_ns):
                break
            self._decide_oldest(outcome)
        self._drop_hopeless_thermal(outcome)
        while len(self._thermal) > self._config.queue_size:
            outcome.superseded.append(StreamFrame(Stream.THERMAL, self._thermal.popleft()))
        while len(self._rgb) > self._config.queue_size:
            outcome.superseded.append(StreamFrame(Stream.RGB, self._rgb.popleft().frame))

    def _neighbours(self, rgb_ns: int) -> tuple[Stamped[T] | None, Stamped[T] | None]:
        """The newest unused thermal frame at or before `rgb_ns` and the oldest one after it."""
        before = None
        for frame in self._thermal:
            if frame.stamp_ns > rgb_ns:
                return before, frame
            before = frame
        return before, None

    def _reach_ns(self, rgb_ns: int, before: Stamped[T] | None, next_rgb_ns: int | None) -> int:
        """How far after the oldest RGB frame a thermal frame may lie and still be its best partner, ns."""
        reach_ns = self._config.slop_ns
        if before is not None:
            reach_ns = min(reach_ns, rgb_ns - before.stamp_ns - 1)
        if next_rgb_ns is not None:
            reach_ns = min(reach_ns, int(OWN_FRACTION * (next_rgb_ns - rgb_ns)))
        return reach_ns

    def _better_may_come(self, rgb_ns: int) -> bool:
        """Whether a frame still to come, of either stream, can change the partner of the oldest RGB frame."""
        if self._jumped is not None:
            return True  # until the other stream follows, its stamps tell nothing about what comes next
        before, after = self._neighbours(rgb_ns)
        next_rgb_ns = self._rgb[1].frame.stamp_ns if len(self._rgb) > 1 else None
        reach_ns = self._reach_ns(rgb_ns, before, next_rgb_ns)
        if after is None:
            earliest_ns = self._cadence[Stream.THERMAL].earliest_next_ns()
            return earliest_ns is None or earliest_ns - rgb_ns <= reach_ns
        distance_ns = after.stamp_ns - rgb_ns
        if distance_ns > reach_ns or next_rgb_ns is not None:
            return False
        earliest_rgb_ns = self._cadence[Stream.RGB].earliest_next_ns()
        return distance_ns > self._reach_ns(rgb_ns, before, earliest_rgb_ns)

    def _decide_oldest(self, outcome: SyncOutcome[T]) -> None:
        """Pair the oldest RGB frame with the best thermal frame known, or let it go unpaired."""
        rgb = self._rgb[0].frame
        thermal = self._partner(rgb.stamp_ns)
        self._rgb.popleft()
        self._decided_ns = rgb.stamp_ns
        if thermal is None:
            outcome.unpaired.append(StreamFrame(Stream.RGB, rgb))
            return
        outcome.pairs.append(Pair(thermal, rgb, thermal_reused=thermal is self._held))
        self._held = thermal
        self._jumped = None  # frames that pair share a clock again
        while self._thermal and self._thermal[0].stamp_ns <= thermal.stamp_ns:
            skipped = self._thermal.popleft()
            if skipped is not thermal:
                outcome.unpaired.append(StreamFrame(Stream.THERMAL, skipped))

    def _partner(self, rgb_ns: int) -> Stamped[T] | None:
        """The oldest RGB frame's partner: the nearest unused within the slop, else one within the hold."""
        before, after = self._neighbours(rgb_ns)
        reach_ns = self._reach_ns(rgb_ns, before, self._expected_next_rgb_ns(rgb_ns))
        if after is not None and after.stamp_ns - rgb_ns <= reach_ns:
            return after
        if before is not None and rgb_ns - before.stamp_ns <= self._config.backward_reach_ns:
            return before
        hold_ns = self._config.thermal_hold_ns
        if hold_ns > 0 and self._held is not None and 0 <= rgb_ns - self._held.stamp_ns <= hold_ns:
            return self._held
        return None

    def _expected_next_rgb_ns(self, rgb_ns: int) -> int | None:
        """Stamp of the RGB frame after the oldest: queued, else by its cadence; None when unknown."""
        if len(self._rgb) > 1:
            return self._rgb[1].frame.stamp_ns
        period_ns = self._cadence[Stream.RGB].period_ns
        return None if period_ns is None else rgb_ns + period_ns

    def _drop_hopeless_thermal(self, outcome: SyncOutcome[T]) -> None:
        """Let go of thermal frames too old for any RGB frame newer than the last decided one."""
        if self._decided_ns is None or self._jumped is not None:
            return
        hopeless_ns = self._decided_ns - self._config.backward_reach_ns
        while self._thermal and self._thermal[0].stamp_ns <= hopeless_ns:
            outcome.unpaired.append(StreamFrame(Stream.THERMAL, self._thermal.popleft()))
