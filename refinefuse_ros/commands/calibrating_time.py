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

"""What `refinefuse calibrate --time` does: gathers what moves in both cameras' pictures, and finds their offset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from refinefuse_ros.alignment.moving import Film, shrink
from refinefuse_ros.alignment.timing import SEARCH_MS, TimeOffset, find_offset
from refinefuse_ros.image.codec import MalformedImage
from refinefuse_ros.image.colour import split_luma, to_grey
from refinefuse_ros.image.files import SourceError, is_video
from refinefuse_ros.image.sensor_view import SensorView
from refinefuse_ros.image.video import VideoReader
from refinefuse_ros.progress import progress
from refinefuse_ros.recordings.reading import open_bag
from refinefuse_ros.recordings.storage import BagError
from refinefuse_ros.stream.advice import EPOCH_MS
from refinefuse_ros.stream.outcome import Stream
from refinefuse_ros.stream.timing import NS_PER_MS, NS_PER_S

LONGEST_S: Final = 60.0
"""So much of a recording is looked at: more takes longer and adds little."""


def offset_of_videos(thermal: Path, rgb: Path, quiet: bool) -> TimeOffset:
    """The offset between two videos, by the times of their frames; both begin at 0.

    Raises:
        SourceError: one is no readable video.
        OffsetError: the pictures do not tell it.
    """
    return find_offset(*(_film_of_video(path, quiet) for path in (thermal, rgb)))


def offset_of_bag(
    bag: Path, thermal_topic: str | None, rgb_topic: str | None, views: Mapping[Stream, SensorView], quiet: bool
) -> TimeOffset:
    """The offset between a recording's two cameras, whose images are taken as `views` say, by their headers' stamps.

    Raises:
        BagError: the recording cannot be used, or the stamps are of different clocks.
        OffsetError: the pictures do not tell it.
    """
    reader = open_bag(bag, thermal_topic, rgb_topic, views=views)
    films = {stream: _Taking() for stream in Stream}
    delays_ns: dict[Stream, list[int]] = {stream: [] for stream in Stream}
    for item in progress(reader.frames(), "watching", sum(reader.counts.values()), quiet):
        frame, stream = item.frame, item.stream
        if frame.stamp_ns == 0 or films[stream].full:
            continue
        try:
            grey = to_grey if stream is Stream.THERMAL else _luma
            films[stream].take(frame.stamp_ns, grey(frame.pixels, frame.encoding))
        except MalformedImage as error:
            raise BagError(f"{reader.topics[stream]} in {reader.path}: {error}") from error
        delays_ns[stream].append(item.recorded_ns - frame.stamp_ns)
        if all(film.full for film in films.values()):
            break
    for stream, delays in delays_ns.items():
        if not delays:
            raise BagError(
                f"No frame of {reader.topics[stream]} in {reader.path} has a stamp; set sync.stamps: arrival."
            )
    lag_ms = float(np.median(delays_ns[Stream.THERMAL]) - np.median(delays_ns[Stream.RGB])) / NS_PER_MS
    if abs(lag_ms) >= EPOCH_MS:
        raise BagError(
            f"RGB's stamps in {reader.path} stand {lag_ms / 1000:+.1f} s from thermal's, so they are of different"
            " clocks; set sync.stamps: arrival, or bring the cameras' clocks together."
        )
    # Thermal frames were late, or their stamps are wrong, or something of both: the offset lies between.
    return find_offset(films[Stream.THERMAL].film(), films[Stream.RGB].film(), lag_ms / 2, SEARCH_MS + abs(lag_ms) / 2)


def _luma(pixels: np.ndarray, encoding: str) -> np.ndarray:
    return split_luma(pixels, encoding)[0]


def _film_of_video(path: Path, quiet: bool) -> Film:
    if path.exists() and not is_video(path):
        raise SourceError(f"{path} has no times for its images; give two videos, or --bag.")
    film = _Taking()
    reader = VideoReader(path, keep_depth=True)
    try:
        for time_s, pixels in progress(reader.timed(), f"watching {path.name}", reader.frame_count, quiet):
            film.take(round(time_s * NS_PER_S), to_grey(pixels, reader.encoding))
            if film.full:
                break
    finally:
        reader.close()
    return film.film()


class _Taking:
    """A film while its frames come in; one that is no later than the one before is left out."""

    def __init__(self) -> None:
        self._times_ns: list[int] = []
        self._planes: list[np.ndarray] = []

    @property
    def full(self) -> bool:
        return bool(self._times_ns) and self._times_ns[-1] - self._times_ns[0] >= LONGEST_S * NS_PER_S

    def take(self, time_ns: int, grey: np.ndarray) -> None:
        if not self._times_ns or time_ns > self._times_ns[-1]:
            self._times_ns.append(time_ns)
            self._planes.append(shrink(grey))

    def film(self) -> Film:
        return Film(np.array(self._times_ns, np.int64), np.array(self._planes))
