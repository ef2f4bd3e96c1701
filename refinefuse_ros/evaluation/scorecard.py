# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The verdict over many fused pairs: each pair's metrics, their means, spread and worst, and where they come from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np

from refinefuse_ros.evaluation.metrics import PairMetrics
from refinefuse_ros.writing import write_whole

METRIC_NAMES: Final = tuple(field.name for field in fields(PairMetrics))
LOWER_IS_BETTER: Final = frozenset({"ecg"})


@dataclass(frozen=True)
class PairScore:
    """The metrics of one pair; `name` is the file's name without suffix, for a video with the frame's index."""

    name: str
    metrics: PairMetrics


@dataclass(frozen=True)
class MetricSummary:
    """One metric over all pairs.

    Attributes:
        mean: over the pairs, every pair weighing the same.
        std: standard deviation of the pairs about their mean (over n, not n - 1), 0 for one pair.
        worst_pair: name of the pair with the worst value, the first one if several have it.
        worst_value: the lowest value, for ECG the highest.
    """

    mean: float
    std: float
    worst_pair: str
    worst_value: float


@dataclass(frozen=True)
class Provenance:
    """What was scored, and by what.

    Attributes:
        version: of this package.
        thermal, rgb: the sources, as they were given.
        fused: the fused images, as they were given; None when a model made them.
        engine: what fused them (`EngineInfo.to_dict`, with the model file's SHA-256); None when they were given.
    """

    version: str
    thermal: str
    rgb: str
    fused: str | None
    engine: dict[str, str] | None


@dataclass(frozen=True)
class Scorecard:
    """The scores of all pairs, at least one, in the order of the source.

    Attributes:
        pairs: each pair's metrics.
        flicker: in grey levels; None for stills and for a video in which nothing stands still.
        skipped: one sentence for everything that was found but not scored.
        provenance: what was scored, and by what.
        seconds: wall time, reading and fusing included: the only entry that differs from run to run.
    """

    pairs: list[PairScore]
    flicker: float | None
    skipped: list[str]
    provenance: Provenance
    seconds: float

    def summary(self) -> dict[str, MetricSummary]:
        """Each metric over all pairs, by its name in `METRIC_NAMES`."""
        return {name: self._summarize(name) for name in METRIC_NAMES}

    def to_dict(self) -> dict[str, Any]:
        return {
            "count": len(self.pairs),
            "metrics": {name: asdict(summary) for name, summary in self.summary().items()},
            "flicker": self.flicker,
            "skipped": self.skipped,
            "pairs": [{"name": pair.name, **asdict(pair.metrics)} for pair in self.pairs],
            "provenance": asdict(self.provenance),
            "seconds": self.seconds,
        }

    def write_json(self, path: Path) -> None:
        """Write `to_dict` as JSON, whole or not at all; missing folders are made.

        Raises:
            OSError: the file cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, (json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n").encode())

    def _summarize(self, name: str) -> MetricSummary:
        values = np.array([getattr(pair.metrics, name) for pair in self.pairs])
        worst = int(values.argmax() if name in LOWER_IS_BETTER else values.argmin())
        return MetricSummary(float(values.mean()), float(values.std()), self.pairs[worst].name, float(values[worst]))
