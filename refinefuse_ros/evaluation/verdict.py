# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The verdict on thermal-RGB pairs: one or several ways of fusing them, side by side, and what the report shows of them.

`evaluate` makes one, of files or of a recording; the terminal's table, the JSON, the gate and the HTML report are
made of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from refinefuse_ros.evaluation.recording import Recording
from refinefuse_ros.evaluation.scorecard import MetricSummary, PairScore


@dataclass(frozen=True)
class Method:
    """One way of fusing, scored over all pairs.

    Attributes:
        label: a model's name, a recording's topic or a folder; the labels of one verdict differ.
        pairs: each pair's metrics, in the source's order.
        flicker: in grey levels; None for stills and for a video in which nothing stands still.
        engine: what fused (`EngineInfo.to_dict`, with the model file's SHA-256); None for images that were there.
    """

    label: str
    pairs: list[PairScore]
    flicker: float | None
    engine: dict[str, str] | None

    def summary(self) -> dict[str, MetricSummary]:
        """Each metric over all pairs, by its name in `METRIC_NAMES`."""
        raise NotImplementedError


@dataclass(frozen=True)
class SourceNumbers:
    """What can be said of one source alone: means over the scored pairs, for comparison with the fused images."""

    en: float
    sf: float
    ag: float
    flicker: float | None


@dataclass(frozen=True)
class Picture:
    """One moment, as encoded images (JPEG or WebP bytes): thermal plane, RGB, and each method's fused image by label."""

    name: str
    seconds: float | None
    thermal: bytes
    rgb: bytes
    fused: dict[str, bytes]


@dataclass(frozen=True)
class Gallery:
    """The pictures of a verdict; they are in the report, not in the JSON.

    Attributes:
        moments: evenly spread over the source, in its order, at most some 40.
        worst: for each method's label and metric the pictures of its few worst pairs, the worst first.
    """

    moments: list[Picture]
    worst: dict[str, dict[str, list[Picture]]]


@dataclass(frozen=True)
class Provenance:
    """What was scored, by what, and where the numbers come from.

    Attributes:
        version: of this package.
        commit: of its source checkout, None when installed.
        versions: of the libraries that take part, by distribution.
        command: the command line, None when called from Python.
        thermal, rgb: the sources, as they were given; for a recording with the topic.
        source_sha256: of the recording's files; None for files.
    """

    version: str
    commit: str | None
    versions: dict[str, str]
    command: str | None
    thermal: str
    rgb: str
    source_sha256: str | None


@dataclass(frozen=True)
class Verdict:
    """Everything `evaluate` found; at least one method, each with at least one pair.

    Attributes:
        methods: in the order in which they were asked for.
        thermal, rgb: the sources' own numbers.
        recording: what the synchroniser made of the recording; None for files.
        skipped: one sentence for everything that was found but not scored.
        provenance: what was scored, and by what.
        seconds, host, made_at: wall time, machine and UTC time: the only entries that differ from run to run.
    """

    methods: list[Method]
    thermal: SourceNumbers
    rgb: SourceNumbers
    recording: Recording | None
    skipped: list[str]
    provenance: Provenance
    seconds: float
    host: str
    made_at: str
