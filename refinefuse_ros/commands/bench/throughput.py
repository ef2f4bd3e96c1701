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

"""The highest frame rate that the whole pipeline sustains, found by paced trials.

Method, after NVIDIA's ros2_benchmark (inputs in memory before the clock starts, playback at a target rate, a search for
the highest rate with few drops): in a trial frame i is due at i / rate. The worker takes the newest frame that is due,
as the live node does from its latest-pair slot; those it jumped over are missed. A rate is sustained when fewer than
5 % are. The rate is bisected between 0 and 1.25 times that of an unpaced run, in six trials: to 2 % of that rate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Final

from refinefuse_ros.stream.timing import NS_PER_S

_MISSED_LIMIT: Final = 0.05
_UNPACED_FRAMES: Final = 10
_HEADROOM: Final = 1.25  # a rate of 1 / 0.95 times what the worker does misses 5 %; the rest is for an estimate too low
_TRIALS: Final = 6
_TRIAL_S: Final = 3.0
_MIN_TRIAL_FRAMES: Final = 40


@dataclass(frozen=True)
class Trial:
    """One paced run. One that is not sustained ends as soon as that is certain, with the frames missed until then."""

    rate_hz: float
    frames: int
    missed: int

    @property
    def sustained(self) -> bool:
        return self.missed < _MISSED_LIMIT * self.frames


@dataclass(frozen=True)
class Throughput:
    """The highest rate that was tried and sustained, Hz (0 when none was), and all trials in their order."""

    highest_rate_hz: float
    trials: list[Trial]


def find_highest_rate(
    fuse: Callable[[int], None],
    now_ns: Callable[[], int] = time.perf_counter_ns,
    sleep: Callable[[float], None] = time.sleep,
) -> Throughput:
    """Search for the highest sustained rate of `fuse`, which is given the stamp of the frame to fuse, in ns."""
    low_hz, high_hz = 0.0, _HEADROOM * _unpaced_rate_hz(fuse, now_ns)
    trials = []
    for _ in range(_TRIALS):
        trial = _run_trial((low_hz + high_hz) / 2, fuse, now_ns, sleep)
        trials.append(trial)
        if trial.sustained:
            low_hz = trial.rate_hz
        else:
            high_hz = trial.rate_hz
    return Throughput(low_hz, trials)


def _unpaced_rate_hz(fuse: Callable[[int], None], now_ns: Callable[[], int]) -> float:
    durations_ns = []
    for _ in range(_UNPACED_FRAMES):
        start_ns = now_ns()
        fuse(start_ns)
        durations_ns.append(now_ns() - start_ns)
    return NS_PER_S / max(median(durations_ns), 1)


def _run_trial(
    rate_hz: float, fuse: Callable[[int], None], now_ns: Callable[[], int], sleep: Callable[[float], None]
) -> Trial:
    frames = max(_MIN_TRIAL_FRAMES, math.ceil(rate_hz * _TRIAL_S))
    period_ns = round(NS_PER_S / rate_hz)
    start_ns = now_ns()
    newest, missed = -1, 0
    while newest < frames - 1:
        due = min((now_ns() - start_ns) // period_ns, frames - 1)
        if due == newest:
            sleep(max(start_ns + (newest + 1) * period_ns - now_ns(), 0) / NS_PER_S)
            continue
        missed += due - newest - 1
        newest = due
        if missed >= _MISSED_LIMIT * frames:
            break
        fuse(start_ns + newest * period_ns)
    return Trial(rate_hz, frames, missed)
