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

"""What stamps and arrivals say of the cameras' clocks: periods, delays, and how far the two stand apart.

Of one stream alone nobody can tell a camera that is late from one whose stamps are wrong: both arrive long after their
stamps. The lag between the streams is measured, whatever its cause, and only what cannot be lateness is called wrong.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

from refinefuse_ros.stream.outcome import BACKWARD_JUMP_NS, Stream
from refinefuse_ros.stream.timing import NS_PER_MS, NS_PER_S, percentile

# Delays are of the last two seconds, so that a clock that was set is seen soon; intervals of the last ten, for the
# longest of a camera that jitters may come once in many.
DELAY_WINDOW_NS: Final = 2 * NS_PER_S
INTERVAL_WINDOW_NS: Final = 10 * NS_PER_S
# A slow camera is still judged by so many frames, however old.
FRAMES_KEPT: Final = 5
# A longer interval is a camera that paused (a shutter, a lost connection) and no sign of its rate.
LONGEST_INTERVAL_MS: Final = 500.0


class _Seen(NamedTuple):
    """A frame: its stamp, and when it came by the node's clock, ns."""

    stamp_ns: int
    now_ns: int


@dataclass(frozen=True)
class StreamClock:
    """One stream over the last seconds.

    Attributes:
        watched_ms: for how long the intervals have been watched, ms.
        period_ms: median interval of the stamps, ms; None for fewer than two frames.
        longest_ms: the longest interval that is no pause, ms; None likewise.
        delay_ms: median of arrival minus stamp by the node's clock, ms; None without a frame. Negative for stamps that
            are ahead of that clock.
        late_delay_ms: its 95th percentile, ms.
    """

    watched_ms: float = 0.0
    period_ms: float | None = None
    longest_ms: float | None = None
    delay_ms: float | None = None
    late_delay_ms: float | None = None

    @classmethod
    def of(cls, intervals_ms: Iterable[float], delays_ms: Iterable[float], watched_ms: float = 0.0) -> StreamClock:
        """From the intervals of a stream's stamps and the delays of its frames, ms, in any order."""
        intervals, delays = sorted(intervals_ms), sorted(delays_ms)
        unpaused = [interval for interval in intervals if interval <= LONGEST_INTERVAL_MS]
        return cls(
            watched_ms=watched_ms,
            period_ms=percentile(intervals, 50) if intervals else None,
            longest_ms=unpaused[-1] if unpaused else None,
            delay_ms=percentile(delays, 50) if delays else None,
            late_delay_ms=percentile(delays, 95) if delays else None,
        )


@dataclass(frozen=True)
class ClockReading:
    """Both streams at one moment."""

    thermal: StreamClock = StreamClock()
    rgb: StreamClock = StreamClock()

    @property
    def lag_ms(self) -> float | None:
        """How much longer after their stamps thermal frames come than RGB frames, ms; None before both have come.

        If both cameras' frames take equally long, thermal's stamps are so far behind RGB's: it is what
        `sync.thermal_offset_ms` would have to be.
        """
        if self.thermal.delay_ms is None or self.rgb.delay_ms is None:
            return None
        return self.thermal.delay_ms - self.rgb.delay_ms

    @property
    def longest_lag_ms(self) -> float | None:
        """As `lag_ms`, of the latest thermal frames: how long an RGB frame must wait for the partner of its stamp."""
        if self.thermal.late_delay_ms is None or self.rgb.delay_ms is None:
            return None
        return self.thermal.late_delay_ms - self.rgb.delay_ms

    def __getitem__(self, stream: Stream) -> StreamClock:
        return self.thermal if stream is Stream.THERMAL else self.rgb


class ClockWatch:
    """Watches both streams' stamps and arrivals over a sliding window. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[Stream, deque[_Seen]] = {stream: deque() for stream in Stream}

    def observe(self, stream: Stream, stamp_ns: int, now_ns: int) -> None:
        """A frame of `stream` came at `now_ns` of the node's clock.

        A clock that was set back starts its stream anew; a frame out of order, or one that comes again, says nothing.
        """
        with self._lock:
            seen = self._seen[stream]
            if seen:
                back_ns = max(seen[-1].stamp_ns - stamp_ns, seen[-1].now_ns - now_ns)
                if back_ns > BACKWARD_JUMP_NS:
                    seen.clear()
                elif stamp_ns <= seen[-1].stamp_ns:
                    return
            seen.append(_Seen(stamp_ns, now_ns))
            while len(seen) > FRAMES_KEPT and now_ns - seen[0].now_ns > INTERVAL_WINDOW_NS:
                seen.popleft()

    def forget(self) -> None:
        """Start anew, as at the beginning of a stream."""
        with self._lock:
            for seen in self._seen.values():
                seen.clear()

    def read(self, now_ns: int) -> ClockReading:
        """Both streams at `now_ns`; of one that has been silent for two seconds nothing is known."""
        with self._lock:
            thermal, rgb = (
                list(seen) if seen and now_ns - seen[-1].now_ns <= DELAY_WINDOW_NS else []
                for seen in (self._seen[Stream.THERMAL], self._seen[Stream.RGB])
            )
        return ClockReading(_stream_clock(thermal), _stream_clock(rgb))


def _stream_clock(seen: list[_Seen]) -> StreamClock:
    if not seen:
        return StreamClock()
    newest_ns = seen[-1].now_ns
    recent = [one for one in seen if newest_ns - one.now_ns <= DELAY_WINDOW_NS]
    if len(recent) < FRAMES_KEPT:
        recent = seen[-FRAMES_KEPT:]
    return StreamClock.of(
        intervals_ms=((after.stamp_ns - before.stamp_ns) / NS_PER_MS for before, after in pairwise(seen)),
        delays_ms=((one.now_ns - one.stamp_ns) / NS_PER_MS for one in recent),
        watched_ms=(newest_ns - seen[0].now_ns) / NS_PER_MS,
    )
