# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Fusing files: an image, a folder of images or a video, through the same pipeline as the live node."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.engine.host import EngineHost
from refinefuse_ros.image.codec import MalformedImage
from refinefuse_ros.image.files import (
    IMAGE_SUFFIXES,
    PairedFiles,
    SourceError,
    is_video,
    match_files,
    read_rgb,
    read_thermal,
    write_image,
)
from refinefuse_ros.image.frame import Frame, ImageSize
from refinefuse_ros.image.normalization import ThermalNormalizer
from refinefuse_ros.image.sources import ClipPairs, ImagePair
from refinefuse_ros.image.steadying import Steadier
from refinefuse_ros.image.video import Mp4Writer, VideoReader
from refinefuse_ros.pipeline import FusionPipeline, check_rgb
from refinefuse_ros.progress import progress
from refinefuse_ros.stream.timing import NS_PER_S

# Names of partnerless files that a sentence lists before it only counts them.
_NAMES_LISTED = 5


@dataclass(frozen=True)
class FuseResult:
    """What `fuse_files` did.

    Attributes:
        output: where the results are.
        fused: how many images were written.
        skipped: one sentence for whatever was left out: unreadable pairs, files without a partner, the rest of a
            longer video.
        seconds: wall time, reading and writing included.
        engine: what ran.
    """

    output: str
    fused: int
    skipped: list[str]
    seconds: float
    engine: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def fuse_files(
    thermal: Path, rgb: Path, output: Path, request: EngineRequest, *, steady: bool = False, quiet: bool = False
) -> FuseResult:
    """Fuse two images into an image, two folders into a folder of the same names, or two videos into an MP4.

    An unreadable pair of a folder is skipped with a sentence; the others are fused. `steady` averages a video's noise
    over time (`Steadier`).

    Raises:
        SourceError: nothing can be read, `output` is of another kind than the input or
            is the input, or images were to be steadied.
        EngineError: no backend can run the model.
    """
    started = time.perf_counter()
    if output.resolve() in (thermal.resolve(), rgb.resolve()):
        raise SourceError(f"{output} is what is to be fused, and would be overwritten; give another output.")
    if is_video(thermal) and is_video(rgb):
        fused, skipped, engine = _fuse_video(thermal, rgb, output, request, steady, quiet)
    else:
        if steady:
            raise SourceError(f"{rgb} is no video; only videos can be steadied.")
        fused, skipped, engine = _fuse_images(thermal, rgb, output, request, quiet)
    result = FuseResult(str(output), fused, skipped, time.perf_counter() - started, engine.info.to_dict())
    engine.close()
    if not quiet:
        print(f"{fused} fused to {output} in {result.seconds:.1f} s by {engine.info.backend}")
    return result


class OfflineFuser:
    """Fuses the pairs of one source, in order, through the live node's pipeline. Not thread-safe.

    Args:
        request: what to run.
        size: of the first RGB image; another size later rebuilds the engine.
        steady: average noise over the frames of a video (`Steadier`).

    Raises:
        EngineError: no backend can run the model; from the methods too, when the engine cannot fuse a pair.
    """

    def __init__(self, request: EngineRequest, size: ImageSize, steady: bool = False) -> None:
        self.engine = EngineHost(request, size)
        self._pipeline = FusionPipeline(self.engine, ThermalNormalizer(), steadier=Steadier() if steady else None)
        self._stamp_ns = 0

    def fuse_still(self, pair: ImagePair) -> np.ndarray:
        """The fused image, (H, W, 3) uint8 BGR at the RGB image's size."""
        self._pipeline.normalizer = ThermalNormalizer()  # stills are no sequence: each is normalised alone
        return self.fuse_frame(pair)

    def fuse_frame(self, pair: ImagePair) -> np.ndarray:
        """As `fuse_still`, for the next frame of a video: the thermal range goes on from the frame before."""
        thermal = Frame(self._stamp_ns, "thermal", pair.thermal_encoding, pair.thermal)
        rgb = Frame(self._stamp_ns, "rgb", "bgr8", pair.rgb)
        self._stamp_ns += round(pair.period_s * NS_PER_S)
        return self._pipeline.fuse(thermal, rgb).pixels

    def close(self) -> None:
        self.engine.close()


def open_stills(
    files: list[PairedFiles], skipped: list[str], description: str, quiet: bool
) -> tuple[ImageSize, Iterator[tuple[PairedFiles, ImagePair]]]:
    """The size of the first usable RGB image, and all usable pairs, read one by one behind a progress bar.

    Of a pair that cannot be read or fused, a sentence goes to `skipped` and to stderr.

    Raises:
        SourceError: no pair is usable.
    """
    pairs = _usable(progress(files, description, len(files), quiet), skipped)
    first = next(pairs, None)
    if first is None:
        raise SourceError(skipped[-1])
    return ImageSize.of(first[1].rgb), chain([first], pairs)


def note_skipped(sentence: str, skipped: list[str]) -> None:
    """Add the sentence to `skipped` and tell the user at once."""
    skipped.append(sentence)
    print(f"skipped: {sentence}", file=sys.stderr)


def _fuse_video(
    thermal: Path, rgb: Path, output: Path, request: EngineRequest, steady: bool, quiet: bool
) -> tuple[int, list[str], EngineHost]:
    if output.suffix.lower() != ".mp4":
        raise SourceError(f"{output} is not a name for a video; two videos are fused into an .mp4.")
    reader = VideoReader(rgb)
    frame_count, size, rate_hz = reader.frame_count, reader.size, reader.rate_hz
    reader.close()
    VideoReader(thermal).close()
    fuser = OfflineFuser(request, size, steady)
    output.parent.mkdir(parents=True, exist_ok=True)
    fused = 0
    with Mp4Writer(output, rate_hz) as writer:
        clip = ClipPairs([PairedFiles(rgb.stem, thermal, rgb)])
        for pair in progress(clip, "fusing", frame_count, quiet):
            writer.write(fuser.fuse_frame(pair))
            fused += 1
    if fused == 0:
        raise SourceError(f"{thermal} and {rgb} hold no frame; check that the videos play.")
    skipped: list[str] = []
    note_left_over_frames([thermal, rgb], fused, skipped)
    return fused, skipped, fuser.engine


def _fuse_images(
    thermal: Path, rgb: Path, output: Path, request: EngineRequest, quiet: bool
) -> tuple[int, list[str], EngineHost]:
    files, to_folder, fused = match_files(thermal, rgb), rgb.is_dir(), 0
    skipped: list[str] = []
    note_partnerless([thermal, rgb], {file.name for file in files}, skipped)
    size, pairs = open_stills(files, skipped, "fusing", quiet)
    fuser = OfflineFuser(request, size)
    (output if to_folder else output.parent).mkdir(parents=True, exist_ok=True)
    for file, images in pairs:
        write_image(output / file.rgb.name if to_folder else output, fuser.fuse_still(images))
        fused += 1
    return fused, skipped, fuser.engine


def _usable(files: Iterable[PairedFiles], skipped: list[str]) -> Iterator[tuple[PairedFiles, ImagePair]]:
    for file in files:
        try:
            thermal, encoding = read_thermal(file.thermal)
            images = ImagePair(thermal, encoding, read_rgb(file.rgb), period_s=0.0)
            check_rgb(Frame(0, "rgb", "bgr8", images.rgb))
        except (SourceError, MalformedImage) as error:
            note_skipped(f"{file.rgb}: {error}" if isinstance(error, MalformedImage) else str(error), skipped)
            continue
        yield file, images


def note_partnerless(sources: list[Path], matched: set[str], skipped: list[str]) -> None:
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


def note_left_over_frames(videos: list[Path], used: int, skipped: list[str]) -> None:
    """A sentence for each video of which frames are left over."""
    for video in videos:
        reader = VideoReader(video)
        frame_count = reader.frame_count
        reader.close()
        if frame_count > used:
            note_skipped(
                f"{video} says it has {frame_count} frames but only the first {used} were used: it, or a video it"
                " goes with, ends there; check that they are of the same take.",
                skipped,
            )
