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

"""Adds up what the workers find, chunk by chunk in the source's order: scores, flicker, the pictures worth keeping."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import astuple
from statistics import median
from typing import Final

import numpy as np

from refinefuse_ros.errors import UserError
from refinefuse_ros.evaluation.detection.detector import Detector
from refinefuse_ros.evaluation.detection.scoring import Detection, score_boxes
from refinefuse_ros.evaluation.flicker import Flicker
from refinefuse_ros.evaluation.motion import RGB, THERMAL, Motion, MotionNumbers
from refinefuse_ros.evaluation.pictures import Moments
from refinefuse_ros.evaluation.ranking import KEPT_WORST, Ranked, worst_first
from refinefuse_ros.evaluation.scorecard import RANKED_NAMES, PairScore, badness
from refinefuse_ros.evaluation.verdict import AlignmentNumbers, Gallery, Method, Picture, SourceNumbers
from refinefuse_ros.evaluation.warm_objects import summarize_warm
from refinefuse_ros.evaluation.work.chunks import ChunkResult, Detected, SourceValues

_SAME_EVERYWHERE: Final = ("backend", "device", "precision", "artifact_sha256")


class Tally:
    """What was found so far; takes the results in the order of their chunks.

    Args:
        labels: the methods', in the order in which they were asked for.
        moments: which pairs the gallery shows in any case.

    Attributes:
        count: scored pairs.
    """

    def __init__(self, labels: Iterable[str], moments: Moments) -> None:
        self.count = 0
        self._scores: dict[str, list[PairScore]] = {label: [] for label in labels}
        self._sources: dict[str, list[SourceValues]] = {THERMAL: [], RGB: []}
        self._flicker = Flicker()
        self._motion: Motion | None = None
        self._engines: dict[str, dict[str, str]] = {}
        self._moments = moments
        self._pictures: dict[int, Picture] = {}
        self._boxes: dict[int, Picture] = {}
        self._detected: list[Detected] = []
        self._alignment_px: list[float] = []
        self._worst: dict[tuple[str, str], list[Ranked]] = {}  # by label and metric

    def limits(self) -> dict[tuple[str, str], float]:
        """As in `Chunk`: what a pair's badness must exceed to be among the worst so far."""
        return {key: worst[-1].badness for key, worst in self._worst.items() if len(worst) == KEPT_WORST}

    def add(self, result: ChunkResult) -> None:
        """Take the next chunk's result.

        Raises:
            UserError: it was fused by another kind of machine than the ones before.
        """
        for label, engine in result.engines.items():
            _check_same(self._engines.setdefault(label, engine), engine)
        for index, pair in enumerate(result.pairs, result.start):
            self._sources[THERMAL].append(pair.thermal)
            self._sources[RGB].append(pair.rgb)
            if pair.detected:
                self._detected.append(pair.detected)
            for label, score in pair.scores.items():
                self._scores[label].append(score)
                for name in RANKED_NAMES:
                    value = score.value(name)
                    if value is not None:
                        ranked = Ranked(badness(name, value), index, pair.second)
                        self._worst[label, name] = worst_first([*self._worst.get((label, name), []), ranked])
        if result.flicker:
            self._flicker.extend(result.flicker)
        if result.motion:
            self._motion = self._motion or Motion()
            self._motion.extend(result.motion)
        self._alignment_px += result.alignment_px
        self._pictures |= result.pictures
        self._boxes |= result.boxes
        self._drop_pictures()
        self.count += len(result.pairs)

    def methods(self) -> list[Method]:
        """The methods that have scores."""
        return [
            Method(label, scores, self._flicker.value(label), self._engines.get(label), self._motion_of(label))
            for label, scores in self._scores.items()
            if scores
        ]

    def source(self, name: str) -> SourceNumbers:
        """What THERMAL or RGB has alone."""
        values = self._sources[name]
        en, sf, ag = (float(np.mean([getattr(value, of) for value in values])) for of in ("en", "sf", "ag"))
        warm = summarize_warm(value.warm for value in values)
        return SourceNumbers(
            en,
            sf,
            ag,
            self._flicker.value(name),
            warm.kept,
            warm.lost,
            warm.ring,
            *astuple(self._motion_of(name) or MotionNumbers()),
        )

    def alignment(self) -> AlignmentNumbers:
        """How thermal lies on RGB."""
        told = [error for error in self._alignment_px if not math.isnan(error)]
        return AlignmentNumbers(median(told) if told else None, len(told), len(self._alignment_px))

    def _motion_of(self, label: str) -> MotionNumbers | None:
        return self._motion.value(label) if self._motion else None

    def detection(self, detector: Detector, name: str) -> Detection:
        """What the detector, whose file has this name, found in the labelled pairs.

        Raises:
            UserError: there is no labelled object in them.
        """
        labelled = [pair.labelled for pair in self._detected]
        scores = {
            label: score_boxes(labelled, [pair.found[label] for pair in self._detected], detector.names)
            for label in self._detected[0].found
        }
        objects = sum(len(boxes) for boxes in labelled)
        return Detection(name, detector.family, detector.sha256, len(labelled), objects, scores)

    def gallery(self) -> Gallery:
        worst: dict[str, dict[str, list[Picture]]] = {}
        for (label, name), ranked in self._worst.items():
            worst.setdefault(label, {})[name] = [self._pictures[pair.index] for pair in ranked]
        moments = [picture for index, picture in sorted(self._pictures.items()) if self._moments.holds(index)]
        return Gallery(moments, worst, [picture for _, picture in sorted(self._boxes.items())])

    def _drop_pictures(self) -> None:
        worst = {pair.index for ranked in self._worst.values() for pair in ranked}
        self._pictures = {
            index: picture for index, picture in self._pictures.items() if index in worst or self._moments.holds(index)
        }
        self._boxes = {index: picture for index, picture in self._boxes.items() if self._moments.holds(index)}


def _check_same(first: dict[str, str], now: dict[str, str]) -> None:
    for key in _SAME_EVERYWHERE:
        if first[key] != now[key]:
            raise UserError(
                f"The workers fuse differently: {key} is {first[key]} on one and {now[key]} on another; give --backend"
                " and --precision, or use workers of one kind."
            )
