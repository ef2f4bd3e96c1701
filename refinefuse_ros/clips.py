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

"""Pairs of files: stills by name, and two videos by the times of their frames, as the live node pairs two cameras.

Both videos of a clip begin at the same moment, or an offset apart. Their rates may differ or vary; the clip keeps the
RGB video's frames and times.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import numpy as np

from refinefuse_ros.image.colour import to_grey
from refinefuse_ros.image.files import PairedFiles, SourceError, match_sources
from refinefuse_ros.image.sources import ImagePair, StillPairs
from refinefuse_ros.image.video import VideoReader, frame_times
from refinefuse_ros.stream.clocks import LONGEST_INTERVAL_MS, ClockReading, StreamClock
from refinefuse_ros.stream.outcome import Pair, Stream
from refinefuse_ros.stream.pairing import FIRST_WATCH_MS, CameraPairing, SyncSettings
from refinefuse_ros.stream.synchronizer import NearestSynchronizer, SyncConfig
from refinefuse_ros.stream.timing import NS_PER_S

# A synchroniser takes a stamp of 0 for none, so a clip begins later.
# Not even where thermal is earlier by the largest offset.
_START_NS: Final = 1000 * NS_PER_S


@dataclass(frozen=True)
class ClipTimes:
    """When the frames of a clip's two videos are shown, s since the first RGB frame, ascending.

    Attributes:
        thermal_s, rgb_s: by their containers, thermal's with the offset.
        thermal_offset_s: what was added to thermal's.
    """

    thermal_s: list[float]
    rgb_s: list[float]
    thermal_offset_s: float = 0.0

    @property
    def rgb_period_s(self) -> float:
        """The usual time from one RGB frame to the next, s."""
        return _period_s(self.rgb_s)

    @property
    def settings(self) -> SyncSettings:
        """How the frames are paired: as the live node would that has watched both cameras for long."""
        clocks = ClockReading(_clock(self.thermal_s), _clock(self.rgb_s))
        # Cameras of one rate are paired frame by frame: the nearest frame lies within half a period.
        slop_ms = max(SyncConfig.slop_ms, 500 * self.rgb_period_s)
        return SyncSettings(
            slop_ms=slop_ms,
            max_wait_ms=max(SyncConfig.max_wait_ms, slop_ms),
            thermal_hold_ms=SyncSettings().in_use(clocks).thermal_hold_ms,
        )

    def rgb_until(self, seconds: float) -> int:
        """How many RGB frames begin before `seconds`."""
        return bisect_left(self.rgb_s, seconds - self.rgb_period_s / 2)

    def thermal_used(self, seconds: float) -> int:
        """How many thermal frames may be of use to RGB frames that end at `seconds`."""
        return bisect_left(self.thermal_s, seconds - self.rgb_period_s / 2)


def probe_clip(clip: PairedFiles, thermal_offset_ms: float = 0.0) -> ClipTimes:
    """When the frames of a clip are shown; `thermal_offset_ms` is added to the times of the thermal ones.

    Raises:
        SourceError: one of the two videos cannot be read.
    """
    for video in (clip.thermal, clip.rgb):
        VideoReader(video).close()
    offset_s = thermal_offset_ms / 1000
    return ClipTimes([time_s + offset_s for time_s in frame_times(clip.thermal)], frame_times(clip.rgb), offset_s)


class ClipPairs:
    """Pairs of video clips, one clip after the other: each RGB frame with the thermal frame of its time.

    An RGB frame without one is left out; the pair before it lasts longer. A thermal frame that is slower than RGB
    serves several RGB frames.
    """

    def __init__(self, clips: list[PairedFiles]) -> None:
        self._clips = clips
        self._times: dict[PairedFiles, ClipTimes] = {}  # of those that were played once
        self.description = f"{len(clips)} clip(s): {', '.join(clip.name for clip in clips)}"

    def __iter__(self) -> Iterator[ImagePair]:
        for clip in self._clips:
            if clip not in self._times:
                self._times[clip] = probe_clip(clip)
            yield from pairs_of(clip, self._times[clip])


def pairs_of(clip: PairedFiles, times: ClipTimes) -> Iterator[ImagePair]:
    """The pairs of one clip whose frames are shown at `times`; see `ClipPairs`.

    Raises:
        SourceError: one of the two videos cannot be read.
    """
    last: Pair[np.ndarray] | None = None
    for pair in _pair(clip, times):
        if last is not None:
            yield _images(last, (pair.rgb.stamp_ns - last.rgb.stamp_ns) / NS_PER_S)
        last = pair
    if last is not None:
        yield _images(last, times.rgb_period_s)


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


class _Shown(NamedTuple):
    """A frame of one of the two videos."""

    stamp_ns: int
    stream: Stream
    pixels: np.ndarray


def _pair(clip: PairedFiles, times: ClipTimes) -> Iterator[Pair[np.ndarray]]:
    """The pairs of frames as two cameras would have sent them, each at its time."""
    pairing: CameraPairing[np.ndarray] = CameraPairing(times.settings, NearestSynchronizer(SyncConfig()))
    thermal, rgb = VideoReader(clip.thermal, keep_depth=True), VideoReader(clip.rgb)
    now_ns = _START_NS
    try:
        offset_s = times.thermal_offset_s
        streams = (
            _shown(Stream.THERMAL, thermal.timed([time_s - offset_s for time_s in times.thermal_s]), offset_s),
            _shown(Stream.RGB, rgb.timed(times.rgb_s)),
        )
        shown = heapq.merge(*streams, key=lambda it: it.stamp_ns)
        for now_ns, stream, pixels in shown:
            yield from pairing.add(stream, now_ns, pixels, now_ns).pairs
        while (deadline_ns := pairing.next_deadline_ns()) is not None:
            yield from pairing.poll(max(now_ns, deadline_ns)).pairs
    finally:
        thermal.close()
        rgb.close()


def _shown(stream: Stream, timed: Iterable[tuple[float, np.ndarray]], offset_s: float = 0.0) -> Iterator[_Shown]:
    for seconds, pixels in timed:
        yield _Shown(_START_NS + round((seconds + offset_s) * NS_PER_S), stream, pixels)


def _images(pair: Pair[np.ndarray], period_s: float) -> ImagePair:
    thermal, encoding = pair.thermal.payload, "mono16"
    if thermal.dtype != np.uint16:
        thermal, encoding = to_grey(thermal, "bgr8"), "mono8"
    return ImagePair(thermal, encoding, pair.rgb.payload, period_s, pair.thermal_reused)


def _period_s(times_s: Iterable[float]) -> float:
    steps = [later - earlier for earlier, later in pairwise(times_s)]
    return median(steps) if steps else 0.0


def _clock(times_s: list[float]) -> StreamClock:
    """A stream that arrives as it is stamped; one that only pauses has the longest interval there is."""
    steps_ms = [1000 * (later - earlier) for earlier, later in pairwise(times_s)]
    if not steps_ms:
        return StreamClock()
    clock = StreamClock.of(steps_ms, [0.0], FIRST_WATCH_MS)
    return clock if clock.longest_ms is not None else replace(clock, longest_ms=LONGEST_INTERVAL_MS)
