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

"""How long things take and how often they happen: latency percentiles, stage times and rates."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000


@dataclass(frozen=True)
class Percentiles:
    """Percentiles of the samples in a window, in the samples' unit; all NaN when `count` is 0."""

    p50: float
    p95: float
    p99: float
    max: float
    count: int


def percentile(ordered: Sequence[float], percent: float) -> float:
    """A percentile of values in ascending order, linear between the nearest ranks; NaN without values."""
    if not ordered:
        return math.nan
    position = (len(ordered) - 1) * percent / 100.0
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


class LatencyWindow:
    """The last `size` samples, in ms. Thread-safe.

    Raises:
        ValueError: `size` is below 1.
    """

    def __init__(self, size: int = 300) -> None:
        if size < 1:
            raise ValueError(f"the window size is {size}: give a whole number of samples, 1 or above.")
        self._lock = threading.Lock()
        self._samples: deque[float] = deque(maxlen=size)

    def add(self, ms: float) -> None:
        """Add a sample; the oldest one leaves a full window."""
        with self._lock:
            self._samples.append(ms)

    def percentiles(self) -> Percentiles:
        """Percentiles of the samples now in the window."""
        with self._lock:
            samples = list(self._samples)
        samples.sort()
        return Percentiles(
            p50=percentile(samples, 50),
            p95=percentile(samples, 95),
            p99=percentile(samples, 99),
            max=percentile(samples, 100),
            count=len(samples),
        )


class StageTimes:
    """One `LatencyWindow` of `size` samples per named stage, made on first use. Thread-safe."""

    def __init__(self, size: int = 300) -> None:
        self._lock = threading.Lock()
        self._size = size
        self._windows: dict[str, LatencyWindow] = {}

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Time the block as one sample of `stage`; a block that raises leaves no sample."""
        start_ns = time.perf_counter_ns()
        yield
        self.add(stage, (time.perf_counter_ns() - start_ns) / NS_PER_MS)

    def add(self, stage: str, ms: float) -> None:
        """Add a sample measured elsewhere."""
        with self._lock:
            window = self._windows.get(stage)
            if window is None:
                window = self._windows[stage] = LatencyWindow(self._size)
        window.add(ms)

    def percentiles(self) -> dict[str, Percentiles]:
        """Percentiles per stage, in the order in which the stages were first seen."""
        with self._lock:
            windows = dict(self._windows)
        return {stage: window.percentiles() for stage, window in windows.items()}


class RateMeter:
    """Events per second over the last `window_s` seconds. Thread-safe.

    Between events the rate is that of the intervals seen; once the next event is overdue it falls, and
    without events it reaches 0 within the window. A rate below about 1 / `window_s` therefore reads as 0. A
    clock that steps back starts the measurement anew.

    Raises:
        ValueError: `window_s` is not above 0.
    """

    def __init__(self, window_s: float = 2.0) -> None:
        if not window_s > 0:
            raise ValueError(f"window_s is {window_s}: give a number of seconds above 0.")
        self._lock = threading.Lock()
        self._window_ns = round(window_s * NS_PER_S)
        self._ticks: deque[int] = deque()

    def tick(self, now_ns: int) -> None:
        """Count an event at `now_ns`."""
        with self._lock:
            if self._ticks and now_ns < self._ticks[-1]:
                self._ticks.clear()
            self._ticks.append(now_ns)
            self._forget_before(now_ns - self._window_ns)

    def rate_hz(self, now_ns: int) -> float:
        """The rate at `now_ns`, Hz; 0 with fewer than two events in the window."""
        with self._lock:
            if self._ticks and self._ticks[-1] - now_ns > self._window_ns:
                self._ticks.clear()
            self._forget_before(now_ns - self._window_ns)
            if len(self._ticks) < 2:
                return 0.0
            intervals = len(self._ticks) - 1
            span_ns = self._ticks[-1] - self._ticks[0]
            # The event that is due one mean interval after the last one has not come: the span goes on
            # growing without it.
            overdue_ns = now_ns - self._ticks[-1] - span_ns / intervals
            span_ns += max(overdue_ns, 0.0)
            return intervals * NS_PER_S / span_ns if span_ns > 0 else 0.0

    def _forget_before(self, start_ns: int) -> None:
        while self._ticks and self._ticks[0] < start_ns:
            self._ticks.popleft()
