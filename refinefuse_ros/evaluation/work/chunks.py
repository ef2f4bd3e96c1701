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

"""What goes to a worker process and what comes back: some pairs that follow each other, and what was found of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np

from refinefuse_ros.alignment.placing import PlacedThermal
from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.evaluation.detection.boxes import Boxes
from refinefuse_ros.evaluation.flicker import Flicker
from refinefuse_ros.evaluation.motion import Motion
from refinefuse_ros.evaluation.scorecard import PairScore
from refinefuse_ros.evaluation.verdict import Picture
from refinefuse_ros.evaluation.warm_objects import WarmScore
from refinefuse_ros.image.frame import Frame

MOST_PAIRS: Final = 48
_BYTES_IN_FLIGHT: Final = 400 << 20


@dataclass(frozen=True)
class PreparedPair:
    """A pair as far as it must be prepared in order.

    Attributes:
        name: as in `PairScore`.
        seconds: since the source's first frame; None for stills.
        thermal: the normalised plane at the RGB frame's size.
        rgb: the visible frame, one that `check_rgb` lets pass.
        given: the images that were fused before, by their method's label: 8-bit colour or grey at the RGB frame's size.
        begins: it does not follow the pair before it in time: a still, or the first frame of a clip.
        labels: the objects in it, as shares of its sides; None where they are not known.
    """

    name: str
    seconds: float | None
    thermal: PlacedThermal
    rgb: Frame
    given: dict[str, Frame]
    begins: bool = False
    labels: Boxes | None = None

    @property
    def nbytes(self) -> int:
        return (
            self.thermal.plane.nbytes
            + self.rgb.pixels.nbytes
            + sum(frame.pixels.nbytes for frame in self.given.values())
        )


@dataclass(frozen=True)
class Job:
    """What is done with every pair of a run.

    Attributes:
        models: what fuses them now, by the method's label.
        is_video: there are pairs that follow each other in time: there is flicker.
        steady: the models' images are steadied (`Steadier`); only for videos.
        motion: how the videos move is measured too (`Motion`); only for videos.
        detector: the ONNX file of what looks for objects in the labelled pairs; None for nothing.
        returns_fused: the first model's fused images are wanted back.
    """

    models: dict[str, EngineRequest]
    is_video: bool
    steady: bool = False
    motion: bool = False
    detector: Path | None = None
    returns_fused: bool = False


@dataclass(frozen=True)
class Chunk:
    """Pairs that follow each other.

    Attributes:
        start: index of the first of them in the source.
        before: those that came before, as many as the first ones depend on: their images, and how they move.
        pairs: at least one.
        moments: indices of those that are pictured in any case.
        limits: by method's label and metric the badness beyond which a pair is among the worst so far, and pictured.
    """

    start: int
    before: list[PreparedPair]
    pairs: list[PreparedPair]
    moments: frozenset[int]
    limits: dict[tuple[str, str], float]


@dataclass(frozen=True)
class SourceValues:
    """EN, SF and AG of one source's plane, and what it shows of the warm objects."""

    en: float
    sf: float
    ag: float
    warm: WarmScore


@dataclass(frozen=True)
class Detected:
    """The boxes in one pair, in its pixels: those that are labelled, and those found in each image by its label."""

    labelled: Boxes
    found: dict[str, Boxes]


@dataclass(frozen=True)
class PairResult:
    """What was found of one pair.

    Attributes:
        second: the whole second of the source that it lies in; None for stills.
        scores: each method's, by label.
        thermal, rgb: the sources' own values.
        detected: what a detector finds; None where there is none, or the pair has no labels.
    """

    second: int | None
    scores: dict[str, PairScore]
    thermal: SourceValues
    rgb: SourceValues
    detected: Detected | None


@dataclass(frozen=True)
class ChunkResult:
    """What was found of a chunk.

    Attributes:
        start: as in the chunk.
        pairs: in the chunk's order.
        flicker: of the chunk's frames, by label and for the sources THERMAL and RGB; None for stills.
        motion: of the same; None where it is not asked for.
        pictures: by index, of the moments and of the pairs that may be among the worst.
        boxes: by index, of the labelled ones among the moments, with the boxes drawn.
        alignment_px: of some of its pairs, how far thermal lies beside RGB, RGB pixels; NaN where a pair does not tell.
        fused: the first model's images, (H, W, 3) uint8 BGR, when the job asks for them.
        engines: `EngineInfo.to_dict` of what fused, by label.
    """

    start: int
    pairs: list[PairResult]
    flicker: Flicker | None
    motion: Motion | None
    pictures: dict[int, Picture]
    boxes: dict[int, Picture]
    alignment_px: list[float]
    fused: list[np.ndarray]
    engines: dict[str, dict[str, str]]


def cut(
    pairs: Iterator[PreparedPair],
    expected: int,
    in_flight: int,
    overlap: int,
    moment: Callable[[int], bool],
    limits: Callable[[], dict[tuple[str, str], float]],
) -> Iterator[Chunk]:
    """Cut the pairs into chunks, none of which changes what is found.

    Args:
        pairs: in their order.
        expected: how many there will be, about: few of them make small chunks, so that every worker has some.
        in_flight: how many chunks there are at a time; together they stay below some 400 MB.
        overlap: how many pairs before its own a chunk needs.
        moment: whether the pair of an index is a moment; asked once for each, in order.
        limits: as in `Chunk`; asked for each chunk.
    """
    most_pairs = min(max(expected // (2 * in_flight), 1), MOST_PAIRS)
    most_bytes = _BYTES_IN_FLIGHT // in_flight
    before: list[PreparedPair] = []
    gathered: list[PreparedPair] = []
    start = 0
    for pair in chain(pairs, [None]):
        if gathered and (
            pair is None or len(gathered) == most_pairs or sum(p.nbytes for p in gathered) + pair.nbytes > most_bytes
        ):
            moments = frozenset(i for i in range(start, start + len(gathered)) if moment(i))
            yield Chunk(start, before, gathered, moments, limits())
            start += len(gathered)
            before = [*before, *gathered][-overlap:] if overlap else []
            gathered = []
        if pair is not None:
            gathered.append(pair)
