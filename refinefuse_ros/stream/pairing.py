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

"""From what a user sets to how frames are paired now: the live node and the tools pair by this one code.

A camera's stamps are corrected (`thermal_offset_ms`) or replaced by the time of arrival (`stamps`), the clocks are
watched, and what was left to `auto` follows them: how long an RGB frame waits for a thermal one that is on its way,
and how long a thermal frame serves.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from refinefuse_ros.stream.clocks import LONGEST_INTERVAL_MS, ClockReading, ClockWatch
from refinefuse_ros.stream.outcome import Stream, SyncOutcome
from refinefuse_ros.stream.synchronizer import SyncConfig
from refinefuse_ros.stream.timing import NS_PER_MS, NS_PER_S

T = TypeVar("T")

HEADER, ARRIVAL = STAMPS = ("header", "arrival")
# An `auto` wait lies between these, ms: less gains nothing, more is a latency that somebody should choose.
LEAST_WAIT_MS: Final = 50.0
MOST_WAIT_MS: Final = 500.0
MOST_OFFSET_MS: Final = 600_000.0
# Added to the lag that was measured: the next frame may come a little later.
WAIT_MARGIN_MS: Final = 30.0
# An `auto` hold is for a thermal camera that is slower than RGB by a twentieth, or leaves frames out; it covers the
# longest interval of its stamps and some jitter. While they have not been watched for long, one may be left out yet.
SLOWER: Final = 1.05
GAP: Final = 1.5
HOLD_FACTOR: Final = 1.1
HOLD_MARGIN_MS: Final = 5.0
FIRST_HOLD_MS: Final = 250.0
FIRST_WATCH_MS: Final = 3000.0
FIRST_PERIODS: Final = 2.0
# The clocks are followed at each of so many first thermal frames, then now and then: it takes a tenth of a millisecond.
FOLLOWED_FRAMES: Final = 8
FOLLOW_PERIOD_NS: Final = NS_PER_S // 10
# So long after the first RGB frame the first thermal one may be on its way, by a slower connection.
START_NS: Final = NS_PER_S


@dataclass(frozen=True)
class SyncSettings:
    """How a user wants frames to be paired; None leaves a value to what is measured (`auto`).

    Attributes:
        slop_ms: largest distance between the stamps of a pair, ms, > 0.
        max_wait_ms: longest time an RGB frame waits after its arrival for a nearer thermal frame, ms, >= 0; None
            follows the lag of the thermal stream, from `LEAST_WAIT_MS` to `MOST_WAIT_MS`.
        thermal_hold_ms: how old a thermal frame may be to serve further RGB frames, ms, >= 0; 0 uses each once; None
            follows the intervals of a thermal stream that is slower than RGB, up to `LONGEST_INTERVAL_MS`, and is 0
            for one that is not.
        queue_size: most frames kept waiting per stream, >= 1.
        thermal_offset_ms: added to every thermal stamp before pairing, ms.
        stamps: "header", or "arrival" to pair by when the messages came.

    Raises:
        ValueError: a value is outside its range.
    """

    slop_ms: float = SyncConfig.slop_ms
    max_wait_ms: float | None = None
    thermal_hold_ms: float | None = None
    queue_size: int = 60
    thermal_offset_ms: float = 0.0
    stamps: str = HEADER

    def __post_init__(self) -> None:
        if not math.isfinite(self.thermal_offset_ms):
            raise ValueError(f"thermal_offset_ms is {self.thermal_offset_ms}: give a number of milliseconds.")
        if self.stamps not in STAMPS:
            raise ValueError(f"stamps is {self.stamps!r}: give one of {', '.join(STAMPS)}.")
        self.in_use(ClockReading())  # the rest is judged there

    def pairing_stamp_ns(self, stream: Stream, stamp_ns: int, now_ns: int) -> int:
        """The stamp by which a frame is paired that arrived at `now_ns` with `stamp_ns` in its header."""
        if self.stamps == ARRIVAL:
            return now_ns
        if stamp_ns > 0 and stream is Stream.THERMAL:
            return stamp_ns + round(self.thermal_offset_ms * NS_PER_MS)
        return stamp_ns

    def in_use(self, clocks: ClockReading, starting: bool = False) -> SyncConfig:
        """The values that are used with such clocks.

        Args:
            clocks: as measured.
            starting: RGB frames come, and thermal ones may be on their way.
        """
        wait_ms, hold_ms = self.max_wait_ms, self.thermal_hold_ms
        return SyncConfig(
            slop_ms=self.slop_ms,
            max_wait_ms=_auto_wait_ms(clocks, starting) if wait_ms is None else wait_ms,
            thermal_hold_ms=_auto_hold_ms(clocks) if hold_ms is None else hold_ms,
            queue_size=self.queue_size,
        )


def _auto_wait_ms(clocks: ClockReading, starting: bool) -> float:
    lag_ms = clocks.longest_lag_ms
    if lag_ms is None:
        return MOST_WAIT_MS if starting else LEAST_WAIT_MS
    needed_ms = lag_ms + WAIT_MARGIN_MS
    # With a lag beyond the most, waiting would delay every frame and pair none.
    return float(math.ceil(max(needed_ms, LEAST_WAIT_MS))) if needed_ms <= MOST_WAIT_MS else LEAST_WAIT_MS


def _auto_hold_ms(clocks: ClockReading) -> float:
    thermal, rgb = clocks.thermal, clocks.rgb
    if thermal.delay_ms is None or rgb.period_ms is None:
        return 0.0
    if thermal.period_ms is None:  # one frame, and RGB goes on without a second
        return FIRST_HOLD_MS
    longest_ms = thermal.longest_ms or 0.0
    if thermal.period_ms <= SLOWER * rgb.period_ms and longest_ms <= GAP * rgb.period_ms:
        return 0.0
    if thermal.watched_ms < FIRST_WATCH_MS:
        longest_ms = max(longest_ms, FIRST_PERIODS * thermal.period_ms)
    return float(math.ceil(min(hold_for(longest_ms), LONGEST_INTERVAL_MS)))


def hold_for(interval_ms: float) -> float:
    """How long a thermal frame must serve, ms, where the next one may come an interval later."""
    return HOLD_FACTOR * interval_ms + HOLD_MARGIN_MS


class Synchronizer(Protocol[T]):
    """What pairs frames by their stamps; see `NearestSynchronizer` for what each call means."""

    def add_thermal(self, stamp_ns: int, payload: T, now_ns: int) -> SyncOutcome[T]: ...
    def add_rgb(self, stamp_ns: int, payload: T, now_ns: int) -> SyncOutcome[T]: ...
    def poll(self, now_ns: int) -> SyncOutcome[T]: ...
    def next_deadline_ns(self) -> int | None: ...
    def flush(self) -> SyncOutcome[T]: ...
    def reconfigure(self, config: SyncConfig) -> None: ...


@dataclass(frozen=True)
class PairingReading:
    """The clocks as measured, and the values that frames are paired by."""

    clocks: ClockReading
    in_use: SyncConfig


class CameraPairing(Generic[T]):
    """Both cameras' frames in, what a synchroniser decided out. Thread-safe.

    Args:
        settings: what the user set.
        synchronizer: pairs by the stamps that it is given; its configuration follows the clocks from here.
    """

    def __init__(self, settings: SyncSettings, synchronizer: Synchronizer[T]) -> None:
        self._lock = threading.Lock()
        self._settings = settings
        self._synchronizer = synchronizer
        self._watch = ClockWatch()
        self._first_rgb_ns: int | None = None
        self._thermal_frames = 0
        self._followed_ns = 0
        self._in_use = settings.in_use(ClockReading())
        self._synchronizer.reconfigure(self._in_use)

    def add(self, stream: Stream, stamp_ns: int, payload: T, now_ns: int) -> SyncOutcome[T]:
        """Take in a frame that arrived at `now_ns` of the node's clock, with the stamp of its header, ns."""
        stamp_ns = self._settings.pairing_stamp_ns(stream, stamp_ns, now_ns)
        if stamp_ns > 0:  # a driver that does not stamp says nothing of its clock
            self._watch.observe(stream, stamp_ns, now_ns)
        with self._lock:
            if stream is Stream.THERMAL:
                self._thermal_frames += 1
            elif self._first_rgb_ns is None or now_ns < self._first_rgb_ns:
                self._first_rgb_ns = now_ns
        self._follow(now_ns)
        add = self._synchronizer.add_thermal if stream is Stream.THERMAL else self._synchronizer.add_rgb
        return add(stamp_ns, payload, now_ns)

    def poll(self, now_ns: int) -> SyncOutcome[T]:
        """Decide the RGB frames whose wait has passed."""
        return self._synchronizer.poll(now_ns)

    def next_deadline_ns(self) -> int | None:
        """When, by the node's clock, the oldest waiting RGB frame is decided; None when none waits."""
        return self._synchronizer.next_deadline_ns()

    def flush(self) -> SyncOutcome[T]:
        """Let every queued frame leave as unpaired and forget all that was seen."""
        self._watch.forget()
        with self._lock:
            self._first_rgb_ns, self._thermal_frames = None, 0
        return self._synchronizer.flush()

    def reconfigure(self, settings: SyncSettings) -> None:
        """Pair by other settings from the next frame on."""
        if (settings.thermal_offset_ms, settings.stamps) != (self._settings.thermal_offset_ms, self._settings.stamps):
            self._watch.forget()  # what it saw were other stamps
        with self._lock:
            self._settings = settings
            self._followed_ns = 0

    def read(self, now_ns: int) -> PairingReading:
        """How the cameras stand at `now_ns`, and by what they are paired."""
        return PairingReading(self._watch.read(now_ns), self._in_use)

    def _follow(self, now_ns: int) -> None:
        """Bring the synchroniser's configuration up to what is measured."""
        with self._lock:
            if self._thermal_frames > FOLLOWED_FRAMES and 0 <= now_ns - self._followed_ns < FOLLOW_PERIOD_NS:
                return
            self._followed_ns = now_ns
            first_ns = self._first_rgb_ns
            starting = not self._thermal_frames and first_ns is not None and now_ns - first_ns < START_NS
            in_use = self._settings.in_use(self._watch.read(now_ns), starting)
            if in_use != self._in_use:
                self._in_use = in_use
                self._synchronizer.reconfigure(in_use)
