# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Scoring a stream of fused pairs on several cores, in order, in bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np

from refinefuse_ros.evaluation.metrics import PairMetrics, evaluate_pair
from refinefuse_ros.evaluation.scorecard import PairScore

# A 640x480 pair takes some 60 MB while it is scored: more threads would cost memory on large machines.
_MAX_WORKERS: Final = 8


@dataclass(frozen=True)
class FusedPair:
    """What the metrics take of one pair: grey planes, uint8 (H, W), of one size of at least 41 pixels a side."""

    name: str
    ir: np.ndarray
    vis: np.ndarray
    fused: np.ndarray


def score_in_order(pairs: Iterable[FusedPair]) -> Iterator[PairScore]:
    """The scores of the pairs, in their order.

    The pairs are taken from the caller's thread, so that an engine may make them, while a few threads score those
    that were taken before (NumPy and OpenCV let them run side by side).

    Raises:
        ValueError: a pair's planes are not what `FusedPair` says.
    """
    workers = min(os.cpu_count() or 1, _MAX_WORKERS)
    running: deque[tuple[str, Future[PairMetrics]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for pair in pairs:
            running.append((pair.name, pool.submit(evaluate_pair, pair.ir, pair.vis, pair.fused)))
            if len(running) > 2 * workers:
                yield _oldest(running)
        while running:
            yield _oldest(running)


def _oldest(running: deque[tuple[str, Future[PairMetrics]]]) -> PairScore:
    name, metrics = running.popleft()
    return PairScore(name, metrics.result())
