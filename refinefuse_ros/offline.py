# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Fusing files: an image, a folder of images or a video, through the same pipeline as the live node."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rich.console import Console
from rich.progress import track

from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.engine.host import EngineHost
from refinefuse_ros.image.codec import MalformedImage
from refinefuse_ros.image.files import (
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
from refinefuse_ros.image.video import Mp4Writer, VideoReader
from refinefuse_ros.pipeline import FusionPipeline, check_rgb

Item = TypeVar("Item")
NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class FuseResult:
    """What `fuse_files` did.

    Attributes:
        output: where the results are.
        fused: how many images were written.
        skipped: one sentence for each pair that could not be read.
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


def fuse_files(thermal: Path, rgb: Path, output: Path, request: EngineRequest, quiet: bool = False) -> FuseResult:
    """Fuse two images into an image, two folders into a folder of the same names, or two videos into an MP4.

    An unreadable pair of a folder is skipped with a sentence; the others are fused.

    Raises:
        SourceError: nothing can be read, or `output` is of another kind than the input.
        EngineError: no backend can run the model.
    """
    started = time.perf_counter()
    if is_video(thermal) and is_video(rgb):
        fused, skipped, engine = _fuse_video(thermal, rgb, output, request, quiet)
    else:
        fused, skipped, engine = _fuse_images(match_files(thermal, rgb), rgb.is_dir(), output, request, quiet)
    result = FuseResult(str(output), fused, skipped, time.perf_counter() - started, engine.info.to_dict())
    engine.close()
    if not quiet:
        print(f"{fused} fused to {output} in {result.seconds:.1f} s by {engine.info.backend}")
    return result


def _fuse_video(
    thermal: Path, rgb: Path, output: Path, request: EngineRequest, quiet: bool
) -> tuple[int, list[str], EngineHost]:
    if output.suffix.lower() != ".mp4":
        raise SourceError(f"{output} is not a name for a video; two videos are fused into an .mp4.")
    reader = VideoReader(rgb)
    frame_count, size, rate_hz = reader.frame_count, reader.size, reader.rate_hz
    reader.close()
    VideoReader(thermal).close()
    pipeline, engine = _pipeline(request, size)
    output.parent.mkdir(parents=True, exist_ok=True)
    fused = 0
    with Mp4Writer(output, rate_hz) as writer:
        clip = ClipPairs([PairedFiles(rgb.stem, thermal, rgb)])
        for fused, pair in enumerate(_progress(clip, "fusing", frame_count, quiet), start=1):
            stamp_ns = round(fused * pair.period_s * NS_PER_S)
            writer.write(_fuse(pipeline, pair, stamp_ns))
    if fused == 0:
        raise SourceError(f"{thermal} and {rgb} hold no frame; check that the videos play.")
    return fused, [], engine


def _fuse_images(
    files: list[PairedFiles], to_folder: bool, output: Path, request: EngineRequest, quiet: bool
) -> tuple[int, list[str], EngineHost]:
    skipped: list[str] = []
    pairs = _readable(_progress(files, "fusing", len(files), quiet), skipped)
    first = next(pairs, None)
    if first is None:
        raise SourceError(skipped[0])
    pipeline, engine = _pipeline(request, ImageSize.of(first[1].rgb))
    (output if to_folder else output.parent).mkdir(parents=True, exist_ok=True)
    for file, images in chain([first], pairs):
        pipeline.normalizer = ThermalNormalizer()  # stills are no sequence: each is normalised alone
        write_image(output / file.rgb.name if to_folder else output, _fuse(pipeline, images, stamp_ns=1))
    return len(files) - len(skipped), skipped, engine


def _readable(files: Iterable[PairedFiles], skipped: list[str]) -> Iterator[tuple[PairedFiles, ImagePair]]:
    """The pairs that can be read and fused; of the others a sentence goes to `skipped` and to the user."""
    for file in files:
        try:
            thermal, encoding = read_thermal(file.thermal)
            images = ImagePair(thermal, encoding, read_rgb(file.rgb), period_s=0.0)
            check_rgb(Frame(0, "rgb", "bgr8", images.rgb))
        except (SourceError, MalformedImage) as error:
            skipped.append(f"{file.rgb}: {error}" if isinstance(error, MalformedImage) else str(error))
            print(f"skipped: {skipped[-1]}", file=sys.stderr)
            continue
        yield file, images


def _pipeline(request: EngineRequest, size: ImageSize) -> tuple[FusionPipeline, EngineHost]:
    engine = EngineHost(request, size)
    return FusionPipeline(engine, ThermalNormalizer()), engine


def _fuse(pipeline: FusionPipeline, pair: ImagePair, stamp_ns: int) -> np.ndarray:
    thermal = Frame(stamp_ns, "thermal", pair.thermal_encoding, pair.thermal)
    return pipeline.fuse(thermal, Frame(stamp_ns, "rgb", "bgr8", pair.rgb)).pixels


def _progress(items: Iterable[Item], description: str, total: int, quiet: bool) -> Iterable[Item]:
    return track(items, description, total=total, console=Console(stderr=True), transient=True, disable=quiet)
