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

"""Stamps over time: how many in each bin, where the gaps are, how far those of the pairs lie apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from refinefuse_ros.evaluation.recording import Gap
from refinefuse_ros.stream.timing import NS_PER_MS, NS_PER_S

# A camera has a gap where the next frame comes later than this many of its median periods.
_GAP_PERIODS: Final = 1.5
_MOST_BINS: Final = 120
_SHORTEST_BIN_S: Final = 0.5
_OFFSET_BINS: Final = 20


def bin_width_s(duration_s: float) -> float:
    """1, 2 or 5 times a power of ten, so that the duration has at most some 120 bins; at least 0.5 s."""
    return max(_round_up(duration_s / _MOST_BINS), _SHORTEST_BIN_S)


def count_per_bin(stamps_ns: Sequence[int], start_ns: int, end_ns: int, bin_s: float) -> list[int]:
    """How many stamps are in each bin from `start_ns` on to `end_ns`; those outside are left out."""
    bin_ns = round(bin_s * NS_PER_S)
    stamps = np.array([stamp for stamp in stamps_ns if start_ns <= stamp <= end_ns], np.int64)
    bins = (end_ns - start_ns) // bin_ns + 1
    return np.bincount((stamps - start_ns) // bin_ns, minlength=bins).tolist()


def steps_ns(stamps_ns: Sequence[int]) -> np.ndarray:
    """The distances between stamps that follow each other, ns; a jump back is none."""
    steps = np.diff(np.array(stamps_ns, np.int64))
    return steps[steps > 0]


def gaps(stamps_ns: Sequence[int], start_ns: int) -> list[Gap]:
    """Where more than 1.5 median periods passed between two stamps; `start_ns` is the beginning of the recording."""
    stamps = np.array(stamps_ns, np.int64)
    steps = np.diff(stamps)
    forward = steps[steps > 0]
    if not forward.size:
        return []
    long = np.flatnonzero(steps > _GAP_PERIODS * float(np.median(forward)))
    return [Gap(float(stamps[i] - start_ns) / NS_PER_S, float(steps[i]) / NS_PER_MS) for i in long]


def histogram(offsets_ms: np.ndarray, slop_ms: float) -> tuple[list[float], list[int]]:
    """Edges and counts of the offsets, in equal bins, one of them about 0, that reach at least over the slop."""
    reach = max(slop_ms, float(np.abs(offsets_ms).max()))
    width = _round_up(2 * reach / _OFFSET_BINS)
    last = math.ceil(reach / width)
    edges = np.round((np.arange(-last, last + 2) - 0.5) * width, 6)
    counts, _ = np.histogram(offsets_ms, edges)
    return edges.tolist(), counts.tolist()


def _round_up(value: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is not below `value`."""
    if value <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))
