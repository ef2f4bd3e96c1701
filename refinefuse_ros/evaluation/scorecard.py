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

"""The scores of one way of fusing: each pair's metrics, their means, spread and worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np

from refinefuse_ros.evaluation.metrics import PairMetrics
from refinefuse_ros.evaluation.warm_objects import WarmScore, summarize_warm

METRIC_NAMES: Final = tuple(metric.name for metric in fields(PairMetrics))
LOWER_IS_BETTER: Final = frozenset({"ecg", "outlines"})
KEPT: Final = "kept"
# What pairs are ranked by, to show the worst.
RANKED_NAMES: Final = (*METRIC_NAMES, KEPT)


@dataclass(frozen=True)
class PairScore:
    """What was measured of one fused pair.

    Attributes:
        name: the file's name without suffix, for a video with the frame's index.
        metrics: of the whole picture.
        warm: of the warm objects in it.
    """

    name: str
    metrics: PairMetrics
    warm: WarmScore = field(default_factory=WarmScore)

    def value(self, name: str) -> float | None:
        """The number of a name in `RANKED_NAMES`; None for KEPT of a pair without warm objects."""
        return summarize_warm([self.warm]).kept if name == KEPT else getattr(self.metrics, name)


@dataclass(frozen=True)
class MetricSummary:
    """One metric over all pairs.

    Attributes:
        mean: over the pairs, every pair weighing the same.
        std: standard deviation of the pairs about their mean (over n, not n - 1), 0 for one pair.
        worst_pair: name of the pair with the worst value, the first one if several have it.
        worst_value: the lowest value, for ECG and OUTLINES the highest.
    """

    mean: float
    std: float
    worst_pair: str
    worst_value: float


def badness(name: str, value: float) -> float:
    """The value of a name in `RANKED_NAMES`, turned so that more is worse."""
    return value if name in LOWER_IS_BETTER else -value


def summarize(pairs: Sequence[PairScore]) -> dict[str, MetricSummary]:
    """Each metric over all pairs, at least one, by its name in `METRIC_NAMES`."""
    return {name: _summarize(pairs, name) for name in METRIC_NAMES}


def _summarize(pairs: Sequence[PairScore], name: str) -> MetricSummary:
    values = np.array([getattr(pair.metrics, name) for pair in pairs])
    worst = int(values.argmax() if name in LOWER_IS_BETTER else values.argmin())
    return MetricSummary(float(values.mean()), float(values.std()), pairs[worst].name, float(values[worst]))
