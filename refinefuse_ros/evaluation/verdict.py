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

"""The verdict on thermal-RGB pairs: one or several ways of fusing them, side by side, and what the report shows.

`evaluate` makes one, of files or of a recording; the terminal's table, the JSON, the gate and the HTML report are
made of it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from refinefuse_ros.alignment.finding import NOTED_ERROR_PX
from refinefuse_ros.evaluation.detection.scoring import Detection
from refinefuse_ros.evaluation.motion import MotionNumbers
from refinefuse_ros.evaluation.recording import Recording
from refinefuse_ros.evaluation.scorecard import MetricSummary, PairScore, summarize
from refinefuse_ros.evaluation.warm_objects import WarmSummary, summarize_warm
from refinefuse_ros.writing import write_whole, writing_to


@dataclass(frozen=True)
class Method:
    """One way of fusing, scored over all pairs.

    Attributes:
        label: a model's name, a recording's topic or a folder; the labels of one verdict differ.
        pairs: what was measured of each pair, in the source's order.
        flicker: in grey levels; None for stills and for a video in which nothing stands still.
        engine: what fused (`EngineInfo.to_dict`, with the model file's SHA-256); None for images that were there.
        motion: how its video moves; None where that was not asked for.
    """

    label: str
    pairs: list[PairScore]
    flicker: float | None
    engine: dict[str, str] | None
    motion: MotionNumbers | None = None

    def summary(self) -> dict[str, MetricSummary]:
        """Each metric over all pairs, by its name in `METRIC_NAMES`."""
        return summarize(self.pairs)

    def warm_objects(self) -> WarmSummary:
        """What it shows of the warm objects of all pairs."""
        return summarize_warm(pair.warm for pair in self.pairs)

    def numbers(self) -> dict[str, float | None]:
        """Every number by its name in `METRIC_TEXTS`: a metric's mean, and what is measured over all pairs together.

        None for what there was nothing to measure by.
        """
        warm = self.warm_objects()
        return {
            **{name: summary.mean for name, summary in self.summary().items()},
            "kept": warm.kept,
            "lost": warm.lost,
            "ring": warm.ring,
            "flicker": self.flicker,
            **asdict(self.motion or MotionNumbers()),
        }

    def to_dict(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "engine": self.engine,
            "count": len(self.pairs),
            "metrics": {name: asdict(summary) for name, summary in self.summary().items()},
            "warm_objects": asdict(self.warm_objects()),
            "flicker": self.flicker,
            "motion": asdict(self.motion) if self.motion else None,
            "pairs": [
                {"name": pair.name, **asdict(pair.metrics), "warm_objects": asdict(summarize_warm([pair.warm]))}
                for pair in self.pairs
            ],
        }


@dataclass(frozen=True)
class SourceNumbers:
    """What can be said of one source alone, for comparison with the fused images; None where there is no such thing.

    Attributes:
        en, sf, ag: means over the scored pairs.
        flicker: as in `Method`.
        kept, lost, ring: what the source shows of the warm objects, as if it were the fused image.
        biswe, flowd, ms2r: how it moves, likewise.
    """

    en: float
    sf: float
    ag: float
    flicker: float | None
    kept: float | None = None
    lost: float | None = None
    ring: float | None = None
    biswe: float | None = None
    flowd: float | None = None
    ms2r: float | None = None


@dataclass(frozen=True)
class AlignmentNumbers:
    """How far thermal lies from where it belongs in the RGB pictures.

    Attributes:
        error_px: root mean square over the picture, the median of those that tell, RGB pixels; None where none does.
        told: how many do.
        looked_at: of so many.
    """

    error_px: float | None
    told: int
    looked_at: int

    @property
    def fault(self) -> str:
        """That the cameras' pictures lie too far apart, as a sentence; empty where they do not, or nobody knows."""
        if self.error_px is None or self.error_px <= NOTED_ERROR_PX:
            return ""
        return (
            f"Thermal lies {self.error_px:.0f} px beside RGB (median of {self.told} pairs): things stand twice in the"
            " fused images, which most of these numbers reward; run refinefuse calibrate, and give its file as"
            " --alignment."
        )


@dataclass(frozen=True)
class Picture:
    """One moment, as JPEG files: thermal plane, RGB, and by label the fused image of each method that has this pair.

    Attributes:
        name: of the pair, as in `PairScore`.
        seconds: since the source's first pair; None for stills.
    """

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
        boxes: the labelled ones among the moments, with labelled and found boxes drawn.
    """

    moments: list[Picture]
    worst: dict[str, dict[str, list[Picture]]]
    boxes: list[Picture] = field(default_factory=list)


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
        detection: what a detector finds in the images; None where none was asked.
        alignment: how thermal lies on RGB in some of the pairs.
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
    detection: Detection | None = None
    alignment: AlignmentNumbers = AlignmentNumbers(None, 0, 0)

    def comparable(self) -> list[Method]:
        """The methods with only the pairs that all of them have, so that their summaries compare.

        A live node's images are missing for the pairs that it dropped. The flicker stays that of all of a method's
        pairs. Methods that have no pair in common are given as they are.
        """
        common = set.intersection(*({pair.name for pair in method.pairs} for method in self.methods))
        if not common:
            return self.methods
        return [
            replace(method, pairs=[pair for pair in method.pairs if pair.name in common]) for method in self.methods
        ]

    def to_dict(self) -> dict[str, Any]:
        """The first method's scores, with the other methods' under `compared` and what belongs to all of them."""
        first, *others = self.methods
        return {
            **first.to_dict(),
            "compared": [method.to_dict() for method in others],
            "sources": {"thermal": asdict(self.thermal), "rgb": asdict(self.rgb)},
            "bag": asdict(self.recording) if self.recording else None,
            "detection": asdict(self.detection) if self.detection else None,
            "alignment": {
                "alignment_error_px": self.alignment.error_px,
                "told": self.alignment.told,
                "looked_at": self.alignment.looked_at,
            },
            "skipped": self.skipped,
            "provenance": asdict(self.provenance),
            "seconds": self.seconds,
            "host": self.host,
            "made_at": self.made_at,
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def write_json(self, path: Path) -> None:
        """Write `to_json`, whole or not at all; missing folders are made.

        Raises:
            UserError: the file cannot be written.
        """
        with writing_to(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, f"{self.to_json()}\n".encode())
