# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Scoring files: stills matched by name, or a pair of videos, fused before or fused now by the live node's pipeline."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.evaluation.metrics import MIN_SIDE
from refinefuse_ros.evaluation.verdict import Gallery, Verdict
from refinefuse_ros.evaluation.work.chunks import Job, PreparedPair
from refinefuse_ros.evaluation.work.running import conclude, label_models, run
from refinefuse_ros.evaluation.work.workers import Parallelism
from refinefuse_ros.image.files import PairedFiles, SourceError, is_video, match_files, read_rgb
from refinefuse_ros.image.frame import Frame, ImageSize
from refinefuse_ros.image.normalization import ThermalNormalizer
from refinefuse_ros.image.sources import ClipPairs, ImagePair
from refinefuse_ros.image.video import VideoReader
from refinefuse_ros.offline import note_left_over_frames, note_partnerless, note_skipped, open_stills
from refinefuse_ros.pipeline import align_thermal
from refinefuse_ros.progress import progress


def evaluate_files(
    thermal: Path,
    rgb: Path,
    *,
    fused: Path | None = None,
    requests: Sequence[EngineRequest] = (),
    steady: bool = False,
    where: Parallelism | None = None,
    command: str | None = None,
    quiet: bool = False,
) -> tuple[Verdict, Gallery]:
    """Score fused images against their sources.

    Args:
        thermal, rgb: two images, two folders of images matched by name, or two videos matched frame by frame. A
            thermal image of another size than the RGB image's is stretched to it, one that is not 8 bit is
            normalised, as for fusing; an 8-bit one is scored as it is stored.
        fused: images that were fused before: an image, a folder with the same names or a video, of the RGB image's
            size.
        requests: the models that fuse, each still normalised on its own; `fused` is compared with them.
        steady: average the models' videos over time (`Steadier`).
        where: the work is done; None is the calling process.
        command: the command line, for the provenance.
        quiet: no progress bar.

    Returns:
        The verdict and its pictures. A still that is unreadable, without a partner, smaller than 41 pixels or of
        another size than its fused image is left out, with a sentence in `skipped` and on stderr.

    Raises:
        SourceError: nothing can be scored; a video is unreadable, too small or of another size; images were to be
            steadied.
        EngineError: no backend can run a model.
        UserError: the workers cannot be used.
        ValueError: there are neither fused images nor models.
    """
    if fused is None and not requests:
        raise ValueError("give fused images, models that make them, or both.")
    started_s = time.perf_counter()
    models = label_models(requests)
    skipped: list[str] = []
    clip = is_video(thermal) and is_video(rgb)
    if steady and not clip:
        raise SourceError(f"{rgb} is no video; only videos can be steadied.")
    source = (_clip if clip else _stills)(thermal, rgb, fused, skipped, quiet)
    given = [str(fused)] if fused else []
    job = Job(models, is_video=clip, steady=steady)
    tally = run(job, given, source.pairs, source.expected, where or Parallelism(workers=1))
    if clip:
        note_left_over_frames([thermal, rgb, *([fused] if fused else [])], tally.count, skipped)
    if not tally.count:
        raise SourceError(skipped[-1] if skipped else f"{thermal} and {rgb} hold no frame; check that the videos play.")
    return conclude(tally, thermal=str(thermal), rgb=str(rgb), skipped=skipped, started_s=started_s, command=command)


@dataclass(frozen=True)
class _Source:
    """The pairs of files, and how many there should be."""

    pairs: Iterator[PreparedPair]
    expected: int


def _stills(thermal: Path, rgb: Path, fused: Path | None, skipped: list[str], quiet: bool) -> _Source:
    files = match_files(thermal, rgb)
    fused_files: dict[str, Path] = {}
    if fused:
        fused_files = {match.name: match.thermal for match in match_files(fused, rgb)}
        files = [file for file in files if file.name in fused_files]
        if not files:
            raise SourceError(
                f"No file name is in all of {thermal}, {rgb} and {fused}; give a moment's files one name."
            )
    note_partnerless([thermal, rgb, *([fused] if fused else [])], {file.name for file in files}, skipped)
    _, images = open_stills(files, skipped, "scoring", quiet)

    def pairs() -> Iterator[PreparedPair]:
        for file, pair in images:
            try:
                given = {str(fused): read_rgb(fused_files[file.name])} if fused else {}
                prepared = _prepare(file.name, None, pair, given)
            except SourceError as error:
                note_skipped(str(error), skipped)
                continue
            yield prepared

    return _Source(pairs(), len(files))


def _clip(thermal: Path, rgb: Path, fused: Path | None, skipped: list[str], quiet: bool) -> _Source:
    reader = VideoReader(rgb)
    frame_count = reader.frame_count
    reader.close()
    fused_frames = VideoReader(fused) if fused else None

    def pairs() -> Iterator[PreparedPair]:
        images = progress(ClipPairs([PairedFiles(rgb.stem, thermal, rgb)]), "scoring", frame_count, quiet)
        given = ({str(fused): frame} for frame in fused_frames) if fused_frames else iter(dict, None)
        seconds = 0.0
        for index, (pair, beside) in enumerate(zip(images, given, strict=False)):
            yield _prepare(f"{rgb.stem} frame {index}", seconds, pair, beside)
            seconds += pair.period_s

    return _Source(pairs(), frame_count)


def _prepare(name: str, seconds: float | None, images: ImagePair, given: dict[str, np.ndarray]) -> PreparedPair:
    """Raises SourceError when the pair cannot be scored."""
    size = ImageSize.of(images.rgb)
    for fused in given.values():
        if ImageSize.of(fused) != size:
            raise SourceError(
                f"{name}: the fused image is {ImageSize.of(fused)} pixels but the RGB image is {size}; fuse at the RGB"
                " image's size."
            )
    if min(size) < MIN_SIDE:
        raise SourceError(f"{name}: {size} pixels are too few to score; use images of at least {MIN_SIDE} a side.")
    counts = align_thermal(Frame(0, "thermal", images.thermal_encoding, images.thermal), size)
    return PreparedPair(
        name,
        seconds,
        ThermalNormalizer().normalize(counts, stamp_ns=0),
        Frame(0, "rgb", "bgr8", images.rgb),
        {label: Frame(0, "rgb", "bgr8", fused) for label, fused in given.items()},
    )
