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

"""How well thermal lies on RGB while they are fused: measured now and then of the live pictures, beside their way."""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple

import numpy as np

from refinefuse_ros.alignment.finding import QUICK, NotFoundError, measure_error
from refinefuse_ros.alignment.placing import PlacedThermal
from refinefuse_ros.errors import in_words

# Between measurements: as long as keeps them below this share of the time, within bounds.
_SHARE: Final = 0.05
_SHORTEST_PERIOD_S, _LONGEST_PERIOD_S = 1.0, 5.0
# A reading is the median of so many measurements, of which so many must have told something before it counts as known;
# then it stays known while any does, for in some scenes every second moment tells nothing.
_KEPT: Final = 7
LEAST_TOLD: Final = 3
# Older ones say nothing of the cameras now.
_LONGEST_S: Final = 30.0
_NICENESS: Final = 10


@dataclass(frozen=True)
class AlignmentReading:
    """How well thermal lies on RGB.

    Attributes:
        error_px: root mean square over the picture, RGB pixels; NaN where the pictures do not tell.
        moments: how many were looked at of late; 0 where none was.
        fault: what went wrong with the newest of them in an unforeseen way, as a sentence; empty where nothing did.
    """

    error_px: float = math.nan
    moments: int = 0
    fault: str = ""


class _Measured(NamedTuple):
    """When, by the monotonic clock in s, and what: RGB pixels, NaN where it could not be told."""

    at_s: float
    error_px: float


class AlignmentWatch:
    """Measures the pairs that it is shown in a thread of its own, one at a time and at most one a second. Thread-safe.

    Each takes some hundredths of a second, or some tenths; where it takes longer they are rarer.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._shown: tuple[PlacedThermal, np.ndarray] | None = None
        self._due_s = 0.0
        self._closed = False
        self._measured: deque[_Measured] = deque(maxlen=_KEPT)
        self._known = False
        self._fault = ""
        self._thread = threading.Thread(target=self._work, name="alignment watch", daemon=True)
        self._thread.start()

    def show(self, placed: PlacedThermal, luma: np.ndarray) -> None:
        """Show it a pair, (H, W) uint8 both, which nobody may write to any more; it never waits."""
        with self._changed:
            if self._shown is None and time.monotonic() >= self._due_s:
                self._shown = placed, luma
                self._changed.notify()

    def read(self) -> AlignmentReading:
        """How it is now."""
        with self._changed:
            since_s = time.monotonic() - _LONGEST_S
            recent = [one.error_px for one in self._measured if one.at_s >= since_s]
            told = [error for error in recent if not math.isnan(error)]
            self._known = len(told) >= (1 if self._known else LEAST_TOLD)
            return AlignmentReading(median(told) if self._known else math.nan, len(recent), self._fault)

    def close(self) -> None:
        """End the thread; a measurement that has begun is ended first."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        with suppress(OSError):  # a thread is a process to Linux's scheduler, and fusing comes before watching
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._shown or self._closed)
                if self._closed:
                    return
                placed, luma = self._shown
            start_s = time.perf_counter()
            error_px, fault = math.nan, ""
            try:
                error_px = error_at_a_glance(placed, luma)
            except Exception as error:  # else nothing would be measured any more, without a word
                fault = in_words(error)
            took_s = time.perf_counter() - start_s
            with self._changed:
                self._fault = fault
                now_s = time.monotonic()
                self._measured.append(_Measured(now_s, error_px))
                self._due_s = now_s + min(max(took_s / _SHARE, _SHORTEST_PERIOD_S), _LONGEST_PERIOD_S)
                self._shown = None


def error_at_a_glance(placed: PlacedThermal, luma: np.ndarray) -> float:
    """How far thermal lies from where it belongs by one moment, RGB pixels; NaN where it does not tell."""
    try:  # with other numbers of threads the last digits differ
        return round(measure_error([placed], [luma], QUICK), 2)
    except NotFoundError:
        return math.nan
