# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Where camera pairs come from without cameras: video clips, folders of stills, and the synthetic scene."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from refinefuse_ros.image.colour import to_grey
from refinefuse_ros.image.files import (
    PairedFiles,
    SourceError,
    match_sources,
    read_rgb,
    read_thermal,
)
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.synthetic import SyntheticScene
from refinefuse_ros.image.video import VideoReader

STILLS_RATE_HZ = 10.0
SYNTHETIC_RATE_HZ = 30.0
# 8-bit thermal sources are spread over the range of a 14-bit camera when they stand for one.
COUNTS_PER_GREY = 64


@dataclass(frozen=True)
class ImagePair:
    """A thermal and an RGB image of the same moment.

    Attributes:
        thermal: (H, W) uint8, uint16 or float32, in `thermal_encoding` ("mono8", "mono16", "32FC1").
        rgb: (H, W, 3) uint8, BGR.
        period_s: time until the source's next pair.
    """

    thermal: np.ndarray
    thermal_encoding: str
    rgb: np.ndarray
    period_s: float

    def thermal_counts(self) -> tuple[np.ndarray, str]:
        """The thermal image and its encoding as a 14-bit camera sends it; what has more than 8 bits stays as it is."""
        if self.thermal_encoding != "mono8":
            return self.thermal, self.thermal_encoding
        return self.thermal.astype(np.uint16) * COUNTS_PER_GREY, "mono16"


class PairSource(Protocol):
    """Something that can be played from its start, any number of times."""

    @property
    def description(self) -> str: ...

    def __iter__(self) -> Iterator[ImagePair]: ...


class SyntheticPairs:
    """One period of the synthetic scene; played again it continues without a seam."""

    def __init__(self, size: ImageSize, rate_hz: float = SYNTHETIC_RATE_HZ) -> None:
        self._scene = SyntheticScene(size.width, size.height)
        self._rate_hz = rate_hz
        self.description = f"synthetic night road, {size} at {rate_hz:g} Hz"

    def __iter__(self) -> Iterator[ImagePair]:
        for index in range(round(SyntheticScene.PERIOD_S * self._rate_hz)):
            thermal, rgb = self._scene.render(index / self._rate_hz)
            yield ImagePair(thermal, "mono16", rgb, 1 / self._rate_hz)


class ClipPairs:
    """Pairs of video clips, one after the other, frame by frame; each ends where the shorter of its two videos does."""

    def __init__(self, clips: list[PairedFiles]) -> None:
        self._clips = clips
        self.description = f"{len(clips)} clip(s): {', '.join(clip.name for clip in clips)}"

    def __iter__(self) -> Iterator[ImagePair]:
        for clip in self._clips:
            thermal, rgb = VideoReader(clip.thermal, keep_depth=True), VideoReader(clip.rgb)
            try:
                encoding = "mono16" if thermal.encoding == "mono16" else "mono8"
                for thermal_pixels, rgb_bgr in zip(thermal, rgb, strict=False):
                    grey = to_grey(thermal_pixels, thermal.encoding)
                    yield ImagePair(grey, encoding, rgb_bgr, 1 / rgb.rate_hz)
            finally:
                thermal.close()
                rgb.close()


class StillPairs:
    """Pairs of still images, in name order."""

    def __init__(self, files: list[PairedFiles], rate_hz: float = STILLS_RATE_HZ) -> None:
        self._files = files
        self._rate_hz = rate_hz
        self.description = f"{len(files)} still pair(s) at {rate_hz:g} Hz"

    def __iter__(self) -> Iterator[ImagePair]:
        for pair in self._files:
            thermal, encoding = read_thermal(pair.thermal)
            yield ImagePair(thermal, encoding, read_rgb(pair.rgb), 1 / self._rate_hz)


def open_pairs(thermal: Path, rgb: Path) -> ClipPairs | StillPairs:
    """The pairs of two videos, two images, two folders of images or of videos, which come before images beside them.

    Raises:
        SourceError: they cannot be paired, or the first pair cannot be read.
    """
    found = match_sources(thermal, rgb)
    source = ClipPairs(found.clips) if found.clips else StillPairs(found.stills)
    if next(iter(source), None) is None:
        raise SourceError(f"{thermal} and {rgb} hold no frame; check that the videos play.")
    return source


def open_folder(folder: Path) -> ClipPairs | StillPairs:
    """As `open_pairs`, for a folder with thermal/ and rgb/ in it.

    Raises:
        SourceError: it has no such subfolders, or they cannot be paired or read.
    """
    for name in ("thermal", "rgb"):
        if not (folder / name).is_dir():
            raise SourceError(f"{folder / name} is not a folder; give a folder that holds thermal/ and rgb/.")
    return open_pairs(folder / "thermal", folder / "rgb")
