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

"""Fusing files: an image, a video, or a folder of either, through the same pipeline as the live node."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refinefuse_ros.alignment.file import Alignment
from refinefuse_ros.alignment.placing import Placer
from refinefuse_ros.clips import ClipTimes, pairs_of, probe_clip
from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.engine.host import EngineHost
from refinefuse_ros.image.codec import MalformedImage
from refinefuse_ros.image.files import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    MatchedSources,
    PairedFiles,
    SourceError,
    files_of,
    match_sources,
    read_rgb,
    read_thermal,
    write_image,
)
from refinefuse_ros.image.frame import Frame
from refinefuse_ros.image.normalization import NormalizationConfig, ThermalNormalizer
from refinefuse_ros.image.presentation import Presenter
from refinefuse_ros.image.sources import ImagePair
from refinefuse_ros.image.steadying import Steadier
from refinefuse_ros.image.video import Mp4Writer
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
    thermal: Path,
    rgb: Path,
    output: Path,
    request: EngineRequest,
    *,
    alignment: Alignment | None = None,
    normalization: NormalizationConfig | None = None,
    thermal_offset_ms: float = 0.0,
    steady: bool = False,
    style: str = "natural",
    quiet: bool = False,
) -> FuseResult:
    """Fuse two images into an image, two videos into an MP4, or two folders of both into a folder of the same names.

    What cannot be read of a folder is skipped with a sentence; the rest is fused. `alignment` places thermal onto RGB,
    which is else stretched to it; `normalization` chooses its range, by default as the node does; `thermal_offset_ms`
    is added to the times of thermal videos' frames; `steady` averages each video's noise over time (`Steadier`);
    `style` is one of the `Presenter`'s.

    Raises:
        AlignmentError: the alignment is not for images of these sizes.
        SourceError: nothing can be read, `output` is of another kind than the input or
            is the input, or there is no video to steady.
        EngineError: no backend can run the model.
    """
    started = time.perf_counter()
    if output.resolve() in (thermal.resolve(), rgb.resolve()):
        raise SourceError(f"{output} is what is to be fused, and would be overwritten; give another output.")
    found = match_sources(thermal, rgb)
    if steady and not found.clips:
        raise SourceError(f"{rgb} is no video; only videos can be steadied.")
    to_folder = rgb.is_dir()
    if found.clips and not to_folder and output.suffix.lower() != ".mp4":
        raise SourceError(f"{output} is not a name for a video; two videos are fused into an .mp4.")
    skipped: list[str] = []
    note_partnerless([thermal, rgb], found, skipped)
    fuser = OfflineFuser(request, steady, style, alignment, normalization)
    fused = 0
    if found.stills:
        for file, images in read_stills(found.stills, skipped, "fusing", quiet):
            path = output / file.rgb.name if to_folder else output
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, fuser.fuse_still(images))
            fused += 1
    for clip in found.clips:
        try:
            times = probe_clip(clip, thermal_offset_ms)
            path = output / f"{clip.name}.mp4" if to_folder else output
            fused += _fuse_clip(clip, times, path, fuser, skipped, quiet)
        except SourceError as error:
            if not to_folder:
                raise
            note_skipped(str(error), skipped)
    if fuser.engine is None:
        raise SourceError(skipped[-1])
    result = FuseResult(str(output), fused, skipped, time.perf_counter() - started, fuser.engine.info.to_dict())
    fuser.close()
    if not quiet:
        print(f"{fused} fused to {output} in {result.seconds:.1f} s by {result.engine['backend']}")
    return result


class OfflineFuser:
    """Fuses stills and clips through the live node's pipeline. Not thread-safe.

    Attributes:
        engine: what fuses; None before the first pair, by whose RGB image it is built. Another size rebuilds it.

    Args:
        request: what to run.
        steady: average noise over the frames of a clip (`Steadier`).
        style: how the fused plane is coloured, one of the `Presenter`'s.
        alignment: how thermal is placed onto RGB; None stretches it.
        normalization: how the thermal range is chosen; None is as the node does by default.

    Raises:
        EngineError: from the methods, when no backend can run the model or the engine cannot fuse a pair.
        MalformedImage: likewise, when the RGB image is too small.
    """

    def __init__(
        self,
        request: EngineRequest,
        steady: bool = False,
        style: str = "natural",
        alignment: Alignment | None = None,
        normalization: NormalizationConfig | None = None,
    ) -> None:
        self.engine: EngineHost | None = None
        self._request = request
        self._steady = steady
        self._presenter = Presenter(style)
        self._placer = Placer(alignment)
        self._normalization = normalization

    def fuse_still(self, pair: ImagePair) -> np.ndarray:
        """The fused image, (H, W, 3) uint8 BGR at the RGB image's size; the thermal one is normalised alone."""
        _, fused = next(self._fuse([pair], None))
        return fused

    def fuse_clip(self, pairs: Iterable[ImagePair]) -> Iterator[tuple[ImagePair, np.ndarray]]:
        """Each pair of one video with its fused image, as of `fuse_still`; the thermal range goes on between frames."""
        return self._fuse(pairs, Steadier() if self._steady else None)

    def close(self) -> None:
        if self.engine is not None:
            self.engine.close()

    def _fuse(self, pairs: Iterable[ImagePair], steadier: Steadier | None) -> Iterator[tuple[ImagePair, np.ndarray]]:
        normalizer = ThermalNormalizer(self._normalization)
        stamp_ns = 0
        for pair in pairs:
            thermal = Frame(stamp_ns, "thermal", pair.thermal_encoding, pair.thermal)
            rgb = Frame(stamp_ns, "rgb", "bgr8", pair.rgb)
            check_rgb(rgb)
            if self.engine is None:
                self.engine = EngineHost(self._request, rgb.size)
            pipeline = FusionPipeline(
                self.engine, normalizer, steadier=steadier, presenter=self._presenter, placer=self._placer
            )
            yield pair, pipeline.fuse(thermal, rgb).pixels
            stamp_ns += round(pair.period_s * NS_PER_S)


def read_stills(
    files: list[PairedFiles], skipped: list[str], description: str, quiet: bool
) -> Iterator[tuple[PairedFiles, ImagePair]]:
    """All usable pairs, read one by one behind a progress bar.

    Of a pair that cannot be read or fused, a sentence goes to `skipped` and to stderr.
    """
    for file in progress(files, description, len(files), quiet):
        try:
            thermal, encoding = read_thermal(file.thermal)
            images = ImagePair(thermal, encoding, read_rgb(file.rgb), period_s=0.0)
            check_rgb(Frame(0, "rgb", "bgr8", images.rgb))
        except (SourceError, MalformedImage) as error:
            note_skipped(f"{file.rgb}: {error}" if isinstance(error, MalformedImage) else str(error), skipped)
            continue
        yield file, images


def note_skipped(sentence: str, skipped: list[str]) -> None:
    """Add the sentence to `skipped` and tell the user at once."""
    skipped.append(sentence)
    print(f"skipped: {sentence}", file=sys.stderr)


def _fuse_clip(
    clip: PairedFiles, times: ClipTimes, output: Path, fuser: OfflineFuser, skipped: list[str], quiet: bool
) -> int:
    """How many frames were fused.

    Raises:
        SourceError: there is none, or they cannot be fused.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    fused = 0
    seconds = 0.0
    pairs = progress(pairs_of(clip, times), f"fusing {clip.name}", len(times.rgb_s), quiet)
    try:
        with Mp4Writer(output, 1 / (times.rgb_period_s or 1.0)) as writer:
            for pair, pixels in fuser.fuse_clip(pairs):
                writer.write(pixels, pair.period_s)
                fused += 1
                seconds += pair.period_s
    except MalformedImage as error:
        raise SourceError(f"{clip.rgb}: {error}") from error
    if fused == 0:
        raise SourceError(f"{clip.thermal} and {clip.rgb} hold no frame; check that the videos play.")
    note_left_over_frames(clip, times, fused, seconds, skipped)
    return fused


def note_partnerless(sources: list[Path], found: MatchedSources, skipped: list[str]) -> None:
    """A sentence for each folder that holds images, or videos, which are not in all the others."""
    kinds = (("image(s)", IMAGE_SUFFIXES, found.stills), ("video(s)", VIDEO_SUFFIXES, found.clips))
    for kind, suffixes, matched in kinds:
        names = {file.name for file in matched}
        for folder in (source for source in sources if source.is_dir()):
            alone = [file.name for name, file in files_of(folder, suffixes).items() if name not in names]
            if alone:
                listed = ", ".join(alone[:_NAMES_LISTED]) + (", ..." if len(alone) > _NAMES_LISTED else "")
                note_skipped(
                    f"{folder} holds {len(alone)} {kind} whose name is not in the other folders ({listed});"
                    " rename them, or leave them out.",
                    skipped,
                )


def note_left_over_frames(clip: PairedFiles, times: ClipTimes, pairs: int, seconds: float, skipped: list[str]) -> None:
    """A sentence for each of a clip's videos of which frames are left over.

    Args:
        clip, times: the two videos.
        pairs: how many pairs there were.
        seconds: how long they last, s.
        skipped: takes the sentences.
    """
    until = times.rgb_until(seconds)
    note_rest(clip.thermal, len(times.thermal_s), times.thermal_used(seconds), skipped)
    note_rest(clip.rgb, len(times.rgb_s), until, skipped)
    if until > pairs:
        note_skipped(
            f"{clip.rgb} has {until - pairs} frame(s) for which there is no thermal one near in time; check that"
            f" {clip.thermal} is of the same take and has no gaps.",
            skipped,
        )


def note_rest(video: Path, frame_count: int, used: int, skipped: list[str]) -> None:
    """A sentence for a video that goes on after the frames that were used."""
    if frame_count > used:
        note_skipped(
            f"{video} says it has {frame_count} frames but only the first {used} were used: it, or a video it"
            " goes with, ends there; check that they are of the same take.",
            skipped,
        )
