# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Scoring on several threads gives what one thread gives, in order, and reads only a little ahead."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from refinefuse_ros.evaluation.metrics import evaluate_pair
from refinefuse_ros.evaluation.scoring import FusedPair, score_in_order


def pair(index: int, side: int = 48) -> FusedPair:
    planes = np.random.default_rng(index).integers(0, 256, (3, side, side), dtype=np.uint8)
    return FusedPair(str(index), *planes)


def test_scores_come_in_order_and_are_those_of_one_thread() -> None:
    pairs = [pair(i, side=300 if i % 7 == 0 else 48) for i in range(40)]
    scores = list(score_in_order(pairs))
    assert [score.name for score in scores] == [str(i) for i in range(40)]
    assert [score.metrics for score in scores] == [evaluate_pair(p.ir, p.vis, p.fused) for p in pairs]


def test_an_endless_source_is_read_only_a_little_ahead() -> None:
    taken = 0

    def endless() -> Iterator[FusedPair]:
        nonlocal taken
        while True:
            taken += 1
            yield pair(0)

    scores = score_in_order(endless())
    for _ in range(5):
        next(scores)
    assert taken <= 5 + 2 * 8 + 1
    scores.close()


def test_planes_that_cannot_be_scored_and_errors_of_the_source_reach_the_caller() -> None:
    with pytest.raises(ValueError, match="at least 41x41"):
        list(score_in_order([pair(0), pair(1, side=20)]))

    def broken() -> Iterator[FusedPair]:
        yield pair(0)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(score_in_order(broken()))
    assert list(score_in_order([])) == []
