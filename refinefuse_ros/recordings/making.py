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

"""Making a rosbag2 recording of a pair source: two cameras as a recorder would have taken them in."""

from __future__ import annotations

import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer

from refinefuse_ros.image.codec import encode, encode_jpeg
from refinefuse_ros.image.colour import mosaic
from refinefuse_ros.image.frame import Frame
from refinefuse_ros.image.pinhole import ideal_pinhole
from refinefuse_ros.image.sources import ImagePair, PairSource
from refinefuse_ros.recordings.reading import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, ros_types
from refinefuse_ros.recordings.storage import BagError
from refinefuse_ros.stream.outcome import Stream
from refinefuse_ros.stream.timing import NS_PER_S
from refinefuse_ros.writing import writing_to

STORAGES: Final = ("mcap", "sqlite3")
RGB_ENCODINGS: Final = ("bgr8", "bayer_rggb8", "jpeg")
# A fixed moment (14 November 2023), so that the same source makes the same bag.
START_NS: Final = 1_700_000_000 * NS_PER_S
_JPEG_QUALITY: Final = 90
METADATA_VERSION: Final = 8
"""The newest that rosbag2 of Humble reads: from 9 on the offered QoS is a list, of which it wants the text."""


@dataclass(frozen=True)
class WrittenBag:
    """What `write_bag` made: the bag, the frames of each camera in it, and the recording's length in seconds."""

    path: str
    thermal_frames: int
    rgb_frames: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def write_bag(
    source: PairSource,
    path: Path,
    *,
    storage: str = "mcap",
    rgb_encoding: str = "bgr8",
    seconds: float | None = None,
    thermal_rate_hz: float | None = None,
    thermal_offset_ms: float = 0.0,
    start_ns: int = START_NS,
) -> WrittenBag:
    """Write /thermal/image_raw, /rgb/image_raw (or image_raw/compressed) and both camera_info topics, at the
    source's pace, whole or not at all.

    Args:
        source: what the cameras see; 8-bit thermal images become 14-bit counts in mono16, others stay as they are.
        path: the bag's folder; must not exist.
        storage: one of STORAGES.
        rgb_encoding: one of RGB_ENCODINGS; jpeg makes CompressedImage messages.
        seconds: length of the recording, for which the source is repeated; None takes it once.
        thermal_rate_hz: the thermal camera's own rate, Hz: each of its frames shows the newest pair; None sends one
            frame with each pair that brings a new one.
        thermal_offset_ms: added to the thermal stamps (not to the recording times), ms.
        start_ns: stamp of the first pair, ns.

    Raises:
        BagError: the folder exists.
        UserError: the bag cannot be written.
        SourceError: the source cannot be read.
        ValueError: `storage` or `rgb_encoding` is unknown.
    """
    if storage not in STORAGES or rgb_encoding not in RGB_ENCODINGS:
        raise ValueError(f"a bag is stored as {' or '.join(STORAGES)}, its RGB images as {', '.join(RGB_ENCODINGS)}.")
    with whole_bag(path, storage) as writer:
        cameras = _Cameras(writer, rgb_encoding, start_ns, round(thermal_offset_ms * 1e6))
        for shot in _schedule(source, seconds, thermal_rate_hz):
            with writing_to(path):
                cameras.write(shot)
    return WrittenBag(str(path), cameras.frames[Stream.THERMAL], cameras.frames[Stream.RGB], cameras.end_ns / NS_PER_S)


@contextmanager
def whole_bag(path: Path, storage: str = "mcap") -> Iterator[Writer]:
    """A writer whose bag appears as `path` at the end of the with block; not when the block raises.

    Raises:
        BagError: the folder exists.
        UserError: the bag cannot be written.
    """
    if path.exists():
        raise BagError(f"{path} exists already; remove it or give another folder.")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
    writer = Writer(partial / path.name, version=METADATA_VERSION, storage_plugin=plugin)
    try:
        with writing_to(path):
            writer.open()
        try:
            yield writer
        except BaseException:
            with suppress(Exception):
                writer.close()
            raise
        with writing_to(path):
            writer.close()
            (partial / path.name).rename(path)
    except sqlite3.Error as error:
        raise BagError(f"{path} cannot be written: {error}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class _Shot(NamedTuple):
    """A camera takes its picture of `pair` at `at_ns`; the pair is shown until `end_ns` (ns since the start)."""

    stream: Stream
    pair: ImagePair
    at_ns: int
    end_ns: int


def _schedule(source: PairSource, seconds: float | None, thermal_rate_hz: float | None) -> Iterator[_Shot]:
    """The pictures of both cameras in the order in which they are taken."""
    ticks = 0
    for pair, begin_ns, end_ns in _timed(source, seconds):
        yield _Shot(Stream.RGB, pair, begin_ns, end_ns)
        if thermal_rate_hz is None:
            if not pair.thermal_reused:
                yield _Shot(Stream.THERMAL, pair, begin_ns, end_ns)
            continue
        while (tick_ns := round(ticks * NS_PER_S / thermal_rate_hz)) < end_ns:
            yield _Shot(Stream.THERMAL, pair, tick_ns, end_ns)
            ticks += 1


def _timed(source: PairSource, seconds: float | None) -> Iterator[tuple[ImagePair, int, int]]:
    """The pairs with the times at which they begin and end, in ns since the start."""
    elapsed_s = 0.0
    while True:
        for pair in source:
            begin_ns = round(elapsed_s * NS_PER_S)
            if seconds is not None and begin_ns >= round(seconds * NS_PER_S):
                return
            elapsed_s += pair.period_s
            yield pair, begin_ns, round(elapsed_s * NS_PER_S)
        if seconds is None or elapsed_s == 0:
            return


class _Cameras:
    """Writes each camera's pictures with their CameraInfo.

    Attributes:
        frames: how many were written of each camera.
        end_ns: length of the recording so far.
    """

    def __init__(self, writer: Writer, rgb_encoding: str, start_ns: int, thermal_offset_ns: int) -> None:
        self.frames = dict.fromkeys(Stream, 0)
        self.end_ns = 0
        self._writer = writer
        self._rgb_encoding = rgb_encoding
        self._start_ns = start_ns
        self._thermal_offset_ns = thermal_offset_ns
        jpeg = rgb_encoding == "jpeg"
        self._images = {
            Stream.THERMAL: self._topic("/thermal/image_raw", IMAGE),
            Stream.RGB: self._topic(f"/rgb/image_raw{'/compressed' * jpeg}", COMPRESSED_IMAGE if jpeg else IMAGE),
        }
        self._infos = {stream: self._topic(f"/{stream}/camera_info", CAMERA_INFO) for stream in Stream}

    def write(self, shot: _Shot) -> None:
        stamp_ns = self._start_ns + shot.at_ns
        if shot.stream is Stream.THERMAL:
            pixels, encoding = shot.pair.thermal_counts()
            stamp_ns += self._thermal_offset_ns
        elif self._rgb_encoding.startswith("bayer"):
            pixels, encoding = mosaic(shot.pair.rgb, self._rgb_encoding), self._rgb_encoding
        else:
            pixels, encoding = shot.pair.rgb, "bgr8"
        frame = Frame(stamp_ns, f"{shot.stream}_optical_frame", encoding, pixels)
        for connection, message in (
            (self._infos[shot.stream], _camera_info(frame)),
            (self._images[shot.stream], image_message(frame, self._images[shot.stream].msgtype)),
        ):
            data = ros_types().serialize_cdr(message, connection.msgtype)
            self._writer.write(connection, self._start_ns + shot.at_ns, data)
        self.frames[shot.stream] += 1
        self.end_ns = shot.end_ns

    def _topic(self, name: str, kind: str) -> Connection:
        return self._writer.add_connection(name, kind, typestore=ros_types())


def image_message(frame: Frame, kind: str = IMAGE) -> Any:
    """The frame as a message of type `kind`, IMAGE or COMPRESSED_IMAGE (JPEG)."""
    make = ros_types().types[kind]
    if kind == COMPRESSED_IMAGE:
        return make(
            header=header_of(frame), format="bgr8; jpeg compressed bgr8", data=encode_jpeg(frame.pixels, _JPEG_QUALITY)
        )
    data, step = encode(frame.pixels, frame.encoding)
    return make(
        header=header_of(frame),
        height=frame.size.height,
        width=frame.size.width,
        encoding=frame.encoding,
        is_bigendian=int(sys.byteorder == "big"),
        step=step,
        data=data,
    )


def _camera_info(frame: Frame) -> Any:
    types = ros_types().types
    camera = ideal_pinhole(frame.size)
    whole_image = types["sensor_msgs/msg/RegionOfInterest"](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return types[CAMERA_INFO](
        header=header_of(frame),
        height=frame.size.height,
        width=frame.size.width,
        distortion_model="plumb_bob",
        **{name: np.array(values) for name, values in asdict(camera).items()},
        binning_x=0,
        binning_y=0,
        roi=whole_image,
    )


def header_of(frame: Frame) -> Any:
    """std_msgs/Header with the frame's stamp and frame_id."""
    types = ros_types().types
    seconds, nanoseconds = divmod(frame.stamp_ns, NS_PER_S)
    stamp = types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=nanoseconds)
    return types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame.frame_id)
