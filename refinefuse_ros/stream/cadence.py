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

"""What the stamps of one stream say about its frames to come: their period and how soon the next can be."""

from __future__ import annotations

from collections import deque
from statistics import median

# A median over this many intervals ignores up to three lost frames in a row of seven.
INTERVALS_KEPT = 7
# A single interval may span a lost frame; three of them rarely all do.
INTERVALS_NEEDED = 3
# Free-running cameras jitter; the next frame is not expected earlier than this fraction of the period.
EARLIEST_FRACTION = 0.75


class Cadence:
    """Running estimate of a stream's frame period from its stamps. Not thread-safe: its owner locks.

    Attributes:
        last_ns: stamp of the newest frame, ns; None before the first.
        period_ns: median of the last few stamp intervals, ns; None while there are too few.
    """

    def __init__(self) -> None:
        self.last_ns: int | None = None
        self.period_ns: int | None = None
        self._intervals: deque[int] = deque(maxlen=INTERVALS_KEPT)

    def observe(self, stamp_ns: int) -> None:
        """Take in the next frame's stamp; a step back moves `last_ns` but leaves the period as it was."""
        if self.last_ns is not None and stamp_ns > self.last_ns:
            self._intervals.append(stamp_ns - self.last_ns)
            if len(self._intervals) >= INTERVALS_NEEDED:
                self.period_ns = int(median(self._intervals))
        self.last_ns = stamp_ns

    def earliest_next_ns(self) -> int | None:
        """The earliest stamp, ns, that the next frame can reasonably carry; None before the first frame."""
        if self.last_ns is None:
            return None
        if self.period_ns is None:
            return self.last_ns + 1
        return self.last_ns + int(EARLIEST_FRACTION * self.period_ns)
