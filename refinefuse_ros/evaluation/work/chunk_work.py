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

"""What a worker does with a chunk: fuse each pair with each model, measure, and encode the pictures that are wanted."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from refinefuse_ros.alignment.watching import error_at_a_glance
from refinefuse_ros.engine.base import Engine
from refinefuse_ros.engine.factory import EngineRequest, create_engine
from refinefuse_ros.evaluation.detection.detector import Detector
from refinefuse_ros.evaluation.detection.drawing import draw_boxes
from refinefuse_ros.evaluation.flicker import Flicker, Planes
from refinefuse_ros.evaluation.metrics import average_gradient, entropy, evaluate_pair, spatial_frequency
from refinefuse_ros.evaluation.metrics import to_grey as grey_of_bgr
from refinefuse_ros.evaluation.motion import MOTION_FRAMES_BEFORE, RGB, THERMAL, Motion, VideoFrame
from refinefuse_ros.evaluation.pictures import encode_moment
from refinefuse_ros.evaluation.ranking import Ranked, worst_first
from refinefuse_ros.evaluation.scorecard import RANKED_NAMES, PairScore, badness
from refinefuse_ros.evaluation.verdict import Picture
from refinefuse_ros.evaluation.warm_objects import WarmObjects, WarmScore
from refinefuse_ros.evaluation.work.chunks import (
    Chunk,
    ChunkResult,
    Detected,
    Job,
    PairResult,
    PreparedPair,
    SourceValues,
)
from refinefuse_ros.image.colour import join_luma, split_luma, to_grey
from refinefuse_ros.image.frame import Frame, ImageSize
from refinefuse_ros.image.normalization import ThermalNormalizer
from refinefuse_ros.image.steadying import Steadier
from refinefuse_ros.pipeline import FusionPipeline

# Looking at the alignment of each pair would take half as long as scoring it.
_ALIGNMENT_EVERY: Final = 8


@dataclass(frozen=True)
class _Fused:
    """A pair with its fused images: the planes that are measured, and by label the images, (H, W, 3) uint8 BGR.

    Attributes:
        detected: what a detector finds in all of them; None where none was asked.
    """

    pair: PreparedPair
    planes: Planes
    images: dict[str, np.ndarray]
    detected: Detected | None = None

    def with_sources(self) -> dict[str, np.ndarray]:
        """The images, and those of the sources."""
        return {THERMAL: cv2.cvtColor(self.planes.ir, cv2.COLOR_GRAY2BGR), RGB: _to_bgr(self.pair.rgb), **self.images}

    def video_frame(self) -> VideoFrame:
        planes = self.planes
        grey = {THERMAL: planes.ir, RGB: planes.vis, **planes.fused}
        return VideoFrame(self.with_sources(), grey, self.pair.begins)

    def boxes(self, names: Sequence[str]) -> Picture:
        """As `picture`, with the boxes drawn."""
        drawn = {
            label: draw_boxes(image, self.detected.labelled, self.detected.found[label], names)
            for label, image in self.with_sources().items()
        }
        thermal, rgb = drawn.pop(THERMAL), drawn.pop(RGB)
        return encode_moment(self.pair.name, self.pair.seconds, thermal, rgb, drawn)

    def picture(self) -> Picture:
        return encode_moment(self.pair.name, self.pair.seconds, self.planes.ir, _to_bgr(self.pair.rgb), self.images)


class ChunkWorker:
    """Works on one chunk after the other, and keeps the engines that it has built. Not thread-safe.

    Args:
        engine_threads: how many CPU threads an engine may take; None is all.
        scoring_threads: how many threads score a chunk's pairs while others of it are being fused.
    """

    def __init__(self, engine_threads: int | None = None, scoring_threads: int = 1) -> None:
        self._engine_threads = engine_threads
        self._engines: dict[EngineRequest, Engine] = {}
        self._detectors: dict[Path, Detector] = {}
        self._pool = ThreadPoolExecutor(scoring_threads) if scoring_threads > 1 else None

    def work(self, job: Job, chunk: Chunk) -> ChunkResult:
        """Fuse and score a chunk.

        Raises:
            EngineError: no backend can run a model, or it cannot fuse a pair.
            DetectorError: the detector cannot be run.
        """
        self._close_all_but(job.models.values())
        before: list[_Fused] = []
        fused: list[_Fused] = []
        # The map takes its items at once and in this thread, which has the engines; a pool measures meanwhile.
        results = list((self._pool.map if self._pool else map)(_measure, self._fuse_all(job, chunk, before, fused)))
        return ChunkResult(
            start=chunk.start,
            pairs=results,
            flicker=_flicker(fused) if job.is_video else None,
            motion=self._motion(before, fused) if job.motion else None,
            pictures=_pictures(chunk, results, fused),
            boxes=self._boxes(job, chunk, fused),
            alignment_px=_alignment_px(chunk.start, fused),
            fused=[item.images[next(iter(job.models))] for item in fused] if job.returns_fused else [],
            engines={label: self._engines[request].info.to_dict() for label, request in job.models.items()},
        )

    def close(self) -> None:
        self._close_all_but([])
        if self._pool:
            self._pool.shutdown()

    def _fuse_all(self, job: Job, chunk: Chunk, before: list[_Fused], fused: list[_Fused]) -> Iterator[_Fused]:
        """The chunk's pairs with their images, one by one, kept in `fused`; in `before` what their motion needs."""
        steadiers = {label: Steadier() if job.steady else None for label in job.models}
        for index, pair in enumerate(chunk.before):
            images = self._fuse(job, pair, steadiers)
            if job.motion and index >= len(chunk.before) - MOTION_FRAMES_BEFORE:
                before.append(_with_planes(pair, images))
        for pair in chunk.pairs:
            fused.append(self._detect(job, _with_planes(pair, self._fuse(job, pair, steadiers))))
            yield fused[-1]

    def _detect(self, job: Job, fused: _Fused) -> _Fused:
        """The pair with what the job's detector finds, if it is labelled."""
        labels = fused.pair.labels
        if job.detector is None or labels is None:
            return fused
        if job.detector not in self._detectors:
            self._detectors = {job.detector: Detector(job.detector, self._engine_threads)}
        found = {label: self._detectors[job.detector].find(image) for label, image in fused.with_sources().items()}
        return replace(fused, detected=Detected(labels.scaled(*fused.pair.rgb.size), found))

    def _boxes(self, job: Job, chunk: Chunk, fused: list[_Fused]) -> dict[int, Picture]:
        return {
            index: fused[index - chunk.start].boxes(self._detectors[job.detector].names)
            for index in chunk.moments
            if fused[index - chunk.start].detected
        }

    def _motion(self, before: list[_Fused], fused: list[_Fused]) -> Motion:
        motion = Motion()
        frames = [item.video_frame() for item in (*before, *fused)]
        motion.follow(frames, len(before), self._pool.map if self._pool else map)
        return motion

    def _fuse(self, job: Job, pair: PreparedPair, steadiers: dict[str, Steadier | None]) -> dict[str, np.ndarray]:
        """The models' images of a pair, as the live node makes them."""
        images = {}
        for label, request in job.models.items():
            engine, steadier = self._engine(request, pair.rgb.size), steadiers[label]
            if steadier and pair.begins:
                steadier.restart()
            pipeline = FusionPipeline(engine, ThermalNormalizer(), steadier=steadier)
            images[label] = pipeline.fuse_placed(pair.thermal, pair.rgb).pixels
        return images

    def _engine(self, request: EngineRequest, size: ImageSize) -> Engine:
        engine = self._engines.get(request)
        if engine is None or engine.size != size:
            self._engines[request] = create_engine(replace(request, threads=self._engine_threads), size)
            if engine is not None:
                engine.close()
        return self._engines[request]

    def _close_all_but(self, wanted: Collection[EngineRequest]) -> None:
        for request in [request for request in self._engines if request not in wanted]:
            self._engines.pop(request).close()


_kept = threading.local()


def work_in_process(job: Job, chunk: Chunk, engine_threads: int | None, scoring_threads: int) -> ChunkResult:
    """As `ChunkWorker.work`, by a worker that stays with this thread of this process, because engines build slowly.

    An executor gives no other place to keep one: a dask worker runs its tasks in several threads.
    """
    if not hasattr(_kept, "worker"):
        _kept.worker = ChunkWorker(engine_threads, scoring_threads)
    return _kept.worker.work(job, chunk)


def _with_planes(pair: PreparedPair, images: dict[str, np.ndarray]) -> _Fused:
    """A pair with the images that the models made of it, and those that were given."""
    planes = {label: grey_of_bgr(image) for label, image in images.items()}
    for label, frame in pair.given.items():
        planes[label] = to_grey(frame.pixels, frame.encoding)
        images[label] = _to_bgr(frame)
    return _Fused(pair, Planes(pair.thermal.plane, _visible_plane(pair.rgb), planes), images)


def _visible_plane(rgb: Frame) -> np.ndarray:
    """Colour is measured by its grey, as the fused image is; a mosaic or a grey frame by its luma."""
    return to_grey(rgb.pixels, rgb.encoding) if rgb.pixels.ndim == 3 else split_luma(rgb.pixels, rgb.encoding)[0]


def _to_bgr(frame: Frame) -> np.ndarray:
    return join_luma(*split_luma(frame.pixels, frame.encoding), "bgr8")


def _measure(fused: _Fused) -> PairResult:
    planes = fused.planes
    objects = WarmObjects(planes.ir)
    scores = {
        label: PairScore(fused.pair.name, evaluate_pair(planes.ir, planes.vis, plane), objects.score(planes.vis, plane))
        for label, plane in planes.fused.items()
    }
    second = None if fused.pair.seconds is None else int(fused.pair.seconds)
    thermal, rgb = (_source_values(plane, objects.score(planes.vis, plane)) for plane in (planes.ir, planes.vis))
    return PairResult(second, scores, thermal, rgb, fused.detected)


def _source_values(plane: np.ndarray, warm: WarmScore) -> SourceValues:
    return SourceValues(entropy(plane), spatial_frequency(plane), average_gradient(plane), warm)


def _alignment_px(start: int, fused: list[_Fused]) -> list[float]:
    """Of every so many pairs of the source, so that it does not depend on where it is cut."""
    looked_at = (item for index, item in enumerate(fused, start) if index % _ALIGNMENT_EVERY == 0)
    return [error_at_a_glance(item.pair.thermal, item.planes.vis) for item in looked_at]


def _flicker(fused: list[_Fused]) -> Flicker:
    flicker = Flicker()
    for item in fused:
        planes = item.planes
        if item.pair.begins:
            flicker.cut()
        flicker.add(replace(planes, fused={**planes.fused, THERMAL: planes.ir, RGB: planes.vis}))
    return flicker


def _pictures(chunk: Chunk, results: list[PairResult], fused: list[_Fused]) -> dict[int, Picture]:
    wanted = {index - chunk.start for index in chunk.moments} | _worst(chunk, results)
    return {chunk.start + i: fused[i].picture() for i in sorted(wanted)}


def _worst(chunk: Chunk, results: list[PairResult]) -> set[int]:
    """Positions in the chunk of the pairs that may be among the worst of the whole source, by any method and metric."""
    found: set[int] = set()
    for label in {label for result in results for label in result.scores}:
        for name in RANKED_NAMES:
            limit = chunk.limits.get((label, name), float("-inf"))
            ranked = worst_first(
                Ranked(badness(name, value), i, result.second)
                for i, result in enumerate(results)
                if label in result.scores and (value := result.scores[label].value(name)) is not None
            )
            found |= {pair.index for pair in ranked if pair.badness > limit}
    return found
