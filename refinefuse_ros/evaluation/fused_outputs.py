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

"""Writing the images that are fused on the way, as a video or as a bag: whole or not at all."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import Connection
from rosbags.rosbag2 import Writer

from refinefuse_ros.image.frame import Frame
from refinefuse_ros.image.video import Mp4Writer
from refinefuse_ros.recordings.making import header_of, image_message, whole_bag
from refinefuse_ros.recordings.reading import CAMERA_INFO, IMAGE, ros_types
from refinefuse_ros.writing import writing_to


@dataclass(frozen=True)
class FusedFiles:
    """Where the first model's fused images are written to.

    Attributes:
        video: an .mp4 file, at the pairs' mean rate; None writes none.
        bag: a folder for an mcap bag of fused/image_raw, with the RGB stamps, and fused/camera_info, if there is one;
            None writes none.
    """

    video: Path | None = None
    bag: Path | None = None

    def __bool__(self) -> bool:
        return self.video is not None or self.bag is not None


class FusedOutputs:
    """Writes the images in the order of the frames that were announced.

    Args:
        files: where to.
        rate_hz: of the video.
        stack: finishes the files at its end, or drops them when it ends with an exception.

    Raises:
        UserError: from the methods too, when a file cannot be written.
    """

    def __init__(self, files: FusedFiles, rate_hz: float, stack: ExitStack) -> None:
        self._announced: deque[tuple[Frame, Any]] = deque()
        self._video: Mp4Writer | None = None
        self._bag: _FusedBag | None = None
        if files.bag:
            with writing_to(files.bag):
                self._bag = _FusedBag(files.bag, stack.enter_context(whole_bag(files.bag)))
        if files.video:
            self._video = stack.enter_context(_whole_video(files.video, rate_hz))

    def announce(self, rgb: Frame, camera_info: Any) -> None:
        """The next image will be the fused one of this RGB frame, with its CameraInfo (None for none)."""
        self._announced.append((replace(rgb, pixels=rgb.pixels[:0]), camera_info))

    def write(self, bgr: np.ndarray) -> None:
        """Write the next image, (H, W, 3) uint8 BGR."""
        rgb, camera_info = self._announced.popleft()
        if self._video:
            with writing_to(self._video.path):
                self._video.write(bgr)
        if self._bag:
            self._bag.write(replace(rgb, encoding="bgr8", pixels=bgr), camera_info)


@contextmanager
def _whole_video(path: Path, rate_hz: float) -> Iterator[Mp4Writer]:
    """A writer whose video appears at the end of the with block; not when the block raises."""
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    writer = Mp4Writer(path, rate_hz)
    try:
        yield writer
        with writing_to(path):
            writer.close()
    except BaseException:
        writer.discard()
        raise


class _FusedBag:
    def __init__(self, path: Path, writer: Writer) -> None:
        self._path = path
        self._writer = writer
        self._images = self._topic("/fused/image_raw", IMAGE)
        self._infos: Connection | None = None

    def write(self, fused: Frame, camera_info: Any) -> None:
        self._write(self._images, fused.stamp_ns, image_message(fused))
        if camera_info is not None:
            self._infos = self._infos or self._topic("/fused/camera_info", CAMERA_INFO)
            self._write(self._infos, fused.stamp_ns, replace(camera_info, header=header_of(fused)))

    def _topic(self, name: str, kind: str) -> Connection:
        return self._writer.add_connection(name, kind, typestore=ros_types())

    def _write(self, connection: Connection, stamp_ns: int, message: Any) -> None:
        data = ros_types().serialize_cdr(message, connection.msgtype)
        with writing_to(self._path):
            self._writer.write(connection, stamp_ns, data)
