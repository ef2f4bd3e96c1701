# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Scoring files: stills matched by name, or a pair of videos, fused before or fused now by the live node's pipeline."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from refinefuse_ros import __version__
from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.evaluation.metrics import MIN_SIDE, Flicker, to_grey
from refinefuse_ros.evaluation.scorecard import Provenance, Scorecard
from refinefuse_ros.evaluation.scoring import FusedPair, score_in_order
from refinefuse_ros.evaluation.table import print_table
from refinefuse_ros.image.alignment import fit_to
from refinefuse_ros.image.files import IMAGE_SUFFIXES, PairedFiles, SourceError, is_video, match_files, read_rgb
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.normalization import ThermalNormalizer
from refinefuse_ros.image.sources import ClipPairs, ImagePair
from refinefuse_ros.image.video import VideoReader
from refinefuse_ros.offline import OfflineFuser, note_skipped, open_stills, progress

# Names of partnerless files that a sentence lists before it only counts them.
_NAMES_LISTED = 5


def evaluate_pairs(
    thermal: Path, rgb: Path, *, fused: Path | None = None, request: EngineRequest | None = None, quiet: bool = False
) -> Scorecard:
    """Score fused images against their sources and, unless `quiet`, print the table.

    Args:
        thermal, rgb: two images, two folders of images matched by name, or two videos matched frame by frame. A
            thermal image of another size than the RGB image's is stretched to it, one that is not 8 bit is
            normalised, as for fusing; an 8-bit one is scored as it is stored.
        fused: the fused images: an image, a folder with the same names or a video. They have the RGB image's size.
        request: the model that fuses, each still normalised on its own. Exactly one of `fused` and `request` is given.

    Returns:
        The scorecard. A still that is unreadable, without a partner, smaller than 41 pixels or of another size than
        its fused image is left out, with a sentence in `skipped` and on stderr.

    Raises:
        SourceError: nothing can be scored; a video of the three is unreadable, too small or of another size.
        EngineError: no backend can run the model.
        ValueError: both or none of `fused` and `request` are given.
    """
    if (fused is None) == (request is None):
        raise ValueError("give either the fused images or the model that makes them.")
    started = time.perf_counter()
    skipped: list[str] = []
    flicker = Flicker()
    if is_video(thermal) and is_video(rgb):
        pairs, fuser = _open_clip(thermal, rgb, fused, request, quiet)
        scores = list(score_in_order(_watched(pairs, flicker)))
        _note_unscored_frames([thermal, rgb, *([fused] if fused else [])], len(scores), skipped)
    else:
        pairs, fuser = _open_stills(thermal, rgb, fused, request, skipped, quiet)
        scores = list(score_in_order(pairs))
    engine = None
    if fuser:
        engine = fuser.engine.info.to_dict()  # as it is at the end: it may have fallen back to another backend
        fuser.close()
    if not scores:
        raise SourceError(skipped[-1] if skipped else f"{thermal} and {rgb} hold no frame; check that the videos play.")
    provenance = Provenance(__version__, str(thermal), str(rgb), str(fused) if fused else None, engine)
    card = Scorecard(scores, flicker.value, skipped, provenance, time.perf_counter() - started)
    if not quiet:
        print_table(card)
    return card


def _open_stills(
    thermal: Path, rgb: Path, fused: Path | None, request: EngineRequest | None, skipped: list[str], quiet: bool
) -> tuple[Iterator[FusedPair], OfflineFuser | None]:
    files = match_files(thermal, rgb)
    fused_files: dict[str, Path] = {}
    if fused:
        fused_files = {match.name: match.thermal for match in match_files(fused, rgb)}
        files = [file for file in files if file.name in fused_files]
        if not files:
            raise SourceError(
                f"No file name is in all of {thermal}, {rgb} and {fused}; give a moment's files one name."
            )
    _note_partnerless([thermal, rgb, *([fused] if fused else [])], {file.name for file in files}, skipped)
    size, pairs = open_stills(files, skipped, "scoring", quiet)
    fuser = OfflineFuser(request, size) if request else None

    def fused_pairs() -> Iterator[FusedPair]:
        for file, images in pairs:
            try:
                pixels = fuser.fuse_still(images) if fuser else read_rgb(fused_files[file.name])
                pair = _to_planes(file.name, images, pixels)
            except SourceError as error:
                note_skipped(str(error), skipped)
                continue
            yield pair

    return fused_pairs(), fuser


def _open_clip(
    thermal: Path, rgb: Path, fused: Path | None, request: EngineRequest | None, quiet: bool
) -> tuple[Iterator[FusedPair], OfflineFuser | None]:
    reader = VideoReader(rgb)
    size, frame_count = reader.size, reader.frame_count
    reader.close()
    images = progress(ClipPairs([PairedFiles(rgb.stem, thermal, rgb)]), "scoring", frame_count, quiet)
    fuser = OfflineFuser(request, size) if request else None
    if fuser:
        frames = ((pair, fuser.fuse_frame(pair)) for pair in images)
    else:
        frames = zip(images, VideoReader(fused), strict=False)
    return (_to_planes(f"{rgb.stem} frame {i}", pair, pixels) for i, (pair, pixels) in enumerate(frames)), fuser


def _to_planes(name: str, images: ImagePair, fused: np.ndarray) -> FusedPair:
    """The grey planes of a pair; raises SourceError when they cannot be scored."""
    size, fused_size = ImageSize.of(images.rgb), ImageSize.of(fused)
    if size != fused_size:
        raise SourceError(
            f"{name}: the fused image is {fused_size} pixels but the RGB image is {size}; fuse at the RGB image's size."
        )
    if min(size) < MIN_SIDE:
        raise SourceError(f"{name}: {size} pixels are too few to score; use images of at least {MIN_SIDE} a side.")
    ir = ThermalNormalizer().normalize(fit_to(images.thermal, size), stamp_ns=0)
    return FusedPair(name, ir, to_grey(images.rgb), to_grey(fused))


def _watched(pairs: Iterable[FusedPair], flicker: Flicker) -> Iterator[FusedPair]:
    for pair in pairs:
        flicker.add(pair.ir, pair.vis, pair.fused)
        yield pair


def _note_partnerless(sources: list[Path], matched: set[str], skipped: list[str]) -> None:
    """A sentence for each folder that holds images which are not in all the others."""
    for folder in (source for source in sources if source.is_dir()):
        alone = sorted(
            file.name for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.stem not in matched
        )
        if alone:
            listed = ", ".join(alone[:_NAMES_LISTED]) + (", ..." if len(alone) > _NAMES_LISTED else "")
            note_skipped(
                f"{folder} holds {len(alone)} image(s) whose name is not in the other folders ({listed});"
                " rename them, or leave them out.",
                skipped,
            )


def _note_unscored_frames(videos: list[Path], scored: int, skipped: list[str]) -> None:
    """A sentence for each video of which frames are left over."""
    for video in videos:
        reader = VideoReader(video)
        frame_count = reader.frame_count
        reader.close()
        if frame_count > scored:
            note_skipped(
                f"{video} says it has {frame_count} frames but only the first {scored} were scored: it, or a video it"
                " goes with, ends there; check that they are of the same take.",
                skipped,
            )
