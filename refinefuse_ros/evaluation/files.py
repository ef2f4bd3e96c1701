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

"""Scoring files: stills and videos matched by name, fused before or fused now by the live node's pipeline."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from refinefuse_ros.alignment.file import Alignment
from refinefuse_ros.alignment.placing import Placer
from refinefuse_ros.clips import ClipTimes, pairs_of, probe_clip
from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.evaluation.detection.boxes import Boxes
from refinefuse_ros.evaluation.detection.detector import Detector
from refinefuse_ros.evaluation.detection.labels import LabelError, read_labels
from refinefuse_ros.evaluation.detection.scoring import require_scoring
from refinefuse_ros.evaluation.metrics import MIN_SIDE
from refinefuse_ros.evaluation.verdict import Gallery, Verdict
from refinefuse_ros.evaluation.work.chunks import Job, PreparedPair
from refinefuse_ros.evaluation.work.running import conclude, label_models, run
from refinefuse_ros.evaluation.work.workers import Parallelism
from refinefuse_ros.image.files import (
    MatchedSources,
    PairedFiles,
    SourceError,
    is_video,
    match_files,
    match_sources,
    read_rgb,
)
from refinefuse_ros.image.frame import Frame, ImageSize
from refinefuse_ros.image.normalization import NormalizationConfig, ThermalNormalizer
from refinefuse_ros.image.sources import ImagePair
from refinefuse_ros.image.video import VideoReader
from refinefuse_ros.offline import note_left_over_frames, note_partnerless, note_rest, note_skipped, read_stills
from refinefuse_ros.pipeline import prepare_thermal
from refinefuse_ros.progress import progress
from refinefuse_ros.stream.timing import NS_PER_S


def evaluate_files(
    thermal: Path,
    rgb: Path,
    *,
    fused: Path | None = None,
    requests: Sequence[EngineRequest] = (),
    alignment: Alignment | None = None,
    normalization: NormalizationConfig | None = None,
    thermal_offset_ms: float = 0.0,
    steady: bool = False,
    motion: bool = False,
    detector: Path | None = None,
    labels: Path | None = None,
    where: Parallelism | None = None,
    command: str | None = None,
    quiet: bool = False,
) -> tuple[Verdict, Gallery]:
    """Score fused images against their sources.

    Args:
        thermal, rgb: two images, two videos matched by the times of their frames, or two folders of either matched by
            name. A thermal image is placed onto the RGB image by the alignment, one that is not 8 bit is
            normalised, as for fusing; an 8-bit one is scored as it is stored.
        fused: what was fused before: an image, a video, or a folder with the same names, of the RGB image's size.
        requests: the models that fuse, each still normalised on its own; `fused` is compared with them.
        alignment: how thermal is placed onto RGB; None stretches it.
        normalization: how the thermal range is chosen; None is as the node does by default.
        thermal_offset_ms: added to the times of thermal videos' frames.
        steady: average each of the models' videos over time (`Steadier`).
        motion: measure how the videos move too (`Motion`), which takes about half a second a frame.
        detector: the ONNX file of a detector, which looks for objects in both sources and the fused images.
        labels: the folder of the objects' labels (`read_labels`), of stills; given with a detector, and only then.
        where: the work is done; None is the calling process.
        command: the command line, for the provenance.
        quiet: no progress bar.

    Returns:
        The verdict and its pictures; flicker is within each video. A still, or a video of a folder, that is
        unreadable, without a partner, smaller than 41 pixels or of another size than what was fused of it is left out,
        with a sentence in `skipped` and on stderr.

    Raises:
        SourceError: nothing can be scored, or there is no video to steady or to follow.
        EngineError: no backend can run a model.
        UserError: the workers, the detector or the labels cannot be used, or pycocotools is not installed.
        ValueError: there are neither fused images nor models, or a detector without labels or labels without one.
    """
    if fused is None and not requests:
        raise ValueError("give fused images, models that make them, or both.")
    if (detector is None) != (labels is None):
        raise ValueError("give a detector and labels, or neither.")
    started_s = time.perf_counter()
    models = label_models(requests)
    skipped: list[str] = []
    found = match_sources(thermal, rgb)
    there = _fused_before(fused, rgb) if fused else None
    if there is not None:
        found = _those_in(found, there)
        if not (found.stills or found.clips):
            raise SourceError(
                f"No file name is in all of {thermal}, {rgb} and {fused}; give a moment's files, or a clip's, one name."
            )
    if steady and not found.clips:
        raise SourceError(f"{rgb} is no video; only videos can be steadied.")
    if motion and not found.clips:
        raise SourceError(f"{rgb} is no video; only videos move: leave --motion out.")
    note_partnerless([thermal, rgb, *([fused] if fused else [])], found, skipped)
    if detector:
        require_scoring()
    looking = Detector(detector) if detector else None
    labelled = _labels_of(found, read_labels(labels, looking.names), labels, skipped) if looking else {}
    source = _Source(
        found,
        there,
        str(fused),
        labelled,
        rgb.is_dir(),
        skipped,
        quiet,
        Placer(alignment),
        normalization,
        thermal_offset_ms,
    )
    job = Job(models, is_video=bool(found.clips), steady=steady, motion=motion, detector=detector)
    given = [str(fused)] if fused else []
    tally = run(job, given, source.pairs(), source.expected, where or Parallelism(workers=1))
    if not tally.count:
        raise SourceError(skipped[-1] if skipped else f"{thermal} and {rgb} hold no frame; check that the videos play.")
    return conclude(
        tally,
        thermal=str(thermal),
        rgb=str(rgb),
        skipped=skipped,
        started_s=started_s,
        command=command,
        detection=tally.detection(looking, detector.name) if looking else None,
    )


def _fused_before(fused: Path, rgb: Path) -> MatchedSources:
    """The fused files, in the place of the thermal ones. Raises SourceError where they are no partners of `rgb`."""
    if rgb.is_dir():
        return match_sources(fused, rgb)
    pair = match_files(fused, rgb)
    return MatchedSources([], pair) if is_video(rgb) else MatchedSources(pair, [])


def _those_in(found: MatchedSources, there: MatchedSources) -> MatchedSources:
    stills, clips = ({file.name for file in files} for files in (there.stills, there.clips))
    return MatchedSources(
        [file for file in found.stills if file.name in stills], [clip for clip in found.clips if clip.name in clips]
    )


def _labels_of(found: MatchedSources, labels: dict[str, Boxes], folder: Path, skipped: list[str]) -> dict[str, Boxes]:
    """The labels that belong to stills; what has no partner is told. Raises LabelError where none does."""
    stills = [file.name for file in found.stills]
    matched = {name: labels[name] for name in stills if name in labels}
    if not matched:
        pairs = f"the pairs are {_some(stills)}" if stills else "there are no stills"
        raise LabelError(
            f"The labels in {folder} are of {_some(list(labels))}, but {pairs}; give each label file its"
            " picture's name."
        )
    if len(matched) < len(stills):
        note_skipped(
            f"{len(stills) - len(matched)} of {len(stills)} pairs have no labels in {folder} and take no part in the"
            " detection.",
            skipped,
        )
    if len(matched) < len(labels):
        note_skipped(f"{len(labels) - len(matched)} label file(s) in {folder} belong to no pair.", skipped)
    return matched


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


class _Source:
    """The pairs of files, with the images that were fused of them before.

    Attributes:
        expected: how many pairs there should be.

    Args:
        found: the stills and clips.
        there: what was fused of them before, in the place of the thermal files; None for nothing.
        label: of what was fused before.
        labels: the objects in stills, by their names.
        lenient: a clip that cannot be read is left out with a sentence, as a still is.
        skipped: takes the sentences.
        quiet: no progress bar.
        placer: of the thermal planes.
        normalization: of theirs.

    Raises:
        SourceError: a clip cannot be read, unless `lenient`.
    """

    def __init__(
        self,
        found: MatchedSources,
        there: MatchedSources | None,
        label: str,
        labels: dict[str, Boxes],
        lenient: bool,
        skipped: list[str],
        quiet: bool,
        placer: Placer,
        normalization: NormalizationConfig | None,
        thermal_offset_ms: float,
    ) -> None:
        self._placer = placer
        self._normalization = normalization
        self._found = found
        self._fused_stills = {file.name: file.thermal for file in there.stills} if there else {}
        self._fused_clips = {clip.name: clip.thermal for clip in there.clips} if there else {}
        self._label = label
        self._labels = labels
        self._lenient = lenient
        self._skipped = skipped
        self._quiet = quiet
        self._times: dict[str, ClipTimes] = {}
        for clip in found.clips:
            with self._leaving_out():
                self._times[clip.name] = probe_clip(clip, thermal_offset_ms)
        self.expected = len(found.stills) + sum(len(times.rgb_s) for times in self._times.values())

    def pairs(self) -> Iterator[PreparedPair]:
        """Stills, then clip after clip.

        Raises:
            SourceError: a clip cannot be scored, unless `lenient`.
        """
        for file, pair in read_stills(self._found.stills, self._skipped, "scoring", self._quiet):
            try:
                fused = self._fused_stills.get(file.name)
                given = {self._label: read_rgb(fused)} if fused else {}
                normalizer = ThermalNormalizer(self._normalization)
                prepared = _prepare(file.name, None, pair, given, True, normalizer, self._placer)
            except SourceError as error:
                note_skipped(str(error), self._skipped)
                continue
            yield replace(prepared, labels=self._labels.get(file.name))
        start_s = 0.0
        for clip in self._found.clips:
            if clip.name in self._times:
                with self._leaving_out():
                    start_s = yield from self._clip(clip, start_s)

    def _clip(self, clip: PairedFiles, start_s: float) -> Generator[PreparedPair, None, float]:
        """Its frames, which begin at `start_s` of the source; returns where the next clip does."""
        fused = self._fused_clips.get(clip.name)
        reader = VideoReader(fused) if fused else None
        given = ({self._label: frame} for frame in reader) if reader else iter(dict, None)
        times = self._times[clip.name]
        images = progress(pairs_of(clip, times), f"scoring {clip.name}", len(times.rgb_s), self._quiet)
        count, seconds = 0, start_s
        normalizer = ThermalNormalizer(self._normalization)
        for pair, beside in zip(images, given, strict=False):
            yield _prepare(f"{clip.name} frame {count}", seconds, pair, beside, count == 0, normalizer, self._placer)
            count += 1
            seconds += pair.period_s
        note_left_over_frames(clip, times, count, seconds - start_s, self._skipped)
        if reader:
            note_rest(fused, reader.frame_count, count, self._skipped)
        return seconds

    @contextmanager
    def _leaving_out(self) -> Iterator[None]:
        try:
            yield
        except SourceError as error:
            if not self._lenient:
                raise
            note_skipped(str(error), self._skipped)


def _prepare(
    name: str,
    seconds: float | None,
    images: ImagePair,
    given: dict[str, np.ndarray],
    begins: bool,
    normalizer: ThermalNormalizer,
    placer: Placer,
) -> PreparedPair:
    """Raises SourceError when the pair cannot be scored; `normalizer` has seen the frames before of the same clip."""
    size = ImageSize.of(images.rgb)
    for fused in given.values():
        if ImageSize.of(fused) != size:
            raise SourceError(
                f"{name}: the fused image is {ImageSize.of(fused)} pixels but the RGB image is {size}; fuse at the RGB"
                " image's size."
            )
    if min(size) < MIN_SIDE:
        raise SourceError(f"{name}: {size} pixels are too few to score; use images of at least {MIN_SIDE} a side.")
    stamp_ns = round((seconds or 0.0) * NS_PER_S)
    thermal = Frame(stamp_ns, "thermal", images.thermal_encoding, images.thermal)
    return PreparedPair(
        name,
        seconds,
        prepare_thermal(thermal, size, normalizer, placer),
        Frame(0, "rgb", "bgr8", images.rgb),
        {label: Frame(0, "rgb", "bgr8", fused) for label, fused in given.items()},
        begins,
    )
