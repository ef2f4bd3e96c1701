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

"""Timing several engines side by side: in rounds, each with a turn, so that a noisy machine hurts all alike."""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final, TypeVar

import numpy as np

from refinefuse_ros.engine.base import Engine, EngineError
from refinefuse_ros.progress import progress
from refinefuse_ros.stream.timing import NS_PER_MS, percentile

ROUNDS: Final = 5
# Untimed frames at the start of a turn: caches and thread pools were the previous engine's.
SETTLING_FRAMES: Final = 2

Name = TypeVar("Name", bound=Hashable)
Planes = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Spread:
    """How a frame's times are spread, ms."""

    median: float
    p90: float
    p99: float
    min: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        ordered = sorted(samples)
        return cls(*(percentile(ordered, percent) for percent in (50, 90, 99, 0)))


@dataclass(frozen=True)
class Timing:
    """One engine's samples, ms: wall times by round, and GPU times of all rounds where the engine measures them."""

    wall_ms: list[list[float]] = field(default_factory=list)
    gpu_ms: list[float] = field(default_factory=list)

    def wall(self) -> Spread:
        return Spread.of([ms for turn in self.wall_ms for ms in turn])

    def gpu(self) -> Spread | None:
        return Spread.of(self.gpu_ms) if self.gpu_ms else None

    def ratio_to(self, baseline: Timing) -> float:
        """Time per frame over the baseline's: the median over the rounds of the ratio of the round's medians.

        Within a round the machine's speed hardly changes, from one to the next it may.
        """
        turns = zip(self.wall_ms, baseline.wall_ms, strict=True)
        return median(median(own) / median(others) for own, others in turns)


def time_interleaved(
    engines: Mapping[Name, Engine], planes: Sequence[Planes], frames: int, warm_up: int, quiet: bool
) -> tuple[dict[Name, Timing], dict[Name, str]]:
    """Time `Engine.fuse` of every engine on the same planes.

    Args:
        engines: by name, of any kind.
        planes: thermal and visible, (H, W) uint8, taken in turn.
        frames: to time per engine, at least 1, spread evenly over `ROUNDS` rounds (rounded up).
        warm_up: untimed frames of each engine before its first round.

    Returns:
        The timing of each engine that ran through, and a sentence for each that failed.
    """
    timings = {name: Timing() for name in engines}
    failed: dict[Name, str] = {}
    rounds = min(ROUNDS, frames)
    names = list(engines)
    # The order rotates: who comes after whom matters as little as when.
    turns = [(index, names[(index + place) % len(names)]) for index in range(rounds) for place in range(len(names))]
    for index, name in progress(turns, "timing", len(turns), quiet):
        if name in failed:
            continue
        try:
            untimed = SETTLING_FRAMES if index else max(warm_up, SETTLING_FRAMES)
            _take_turn(engines[name], planes, untimed, math.ceil(frames / rounds), timings[name])
        except EngineError as error:
            failed[name] = f"failed while it was timed: {error}"
    return {name: timing for name, timing in timings.items() if name not in failed}, failed


def _take_turn(engine: Engine, planes: Sequence[Planes], untimed: int, timed: int, timing: Timing) -> None:
    for index in range(untimed):
        engine.fuse(*planes[index % len(planes)])
    wall_ms = []
    for index in range(timed):
        start_ns = time.perf_counter_ns()
        engine.fuse(*planes[index % len(planes)])
        wall_ms.append((time.perf_counter_ns() - start_ns) / NS_PER_MS)
        gpu_ms = getattr(engine, "gpu_ms", None)
        if gpu_ms is not None:
            timing.gpu_ms.append(gpu_ms)
    timing.wall_ms.append(wall_ms)
