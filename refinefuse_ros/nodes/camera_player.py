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

"""Two cameras without hardware: publishes a pair source as thermal and RGB topics, at its own pace.

Both images of a pair carry the same stamp, the moment of the tick that published them. A thermal image that serves
several RGB images is published once, as by a slower camera. One thread reads the source and
prepares messages ahead, another publishes them in time.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, Image

from refinefuse_ros.clips import open_folder, open_pairs
from refinefuse_ros.errors import UserError
from refinefuse_ros.image.files import SourceError
from refinefuse_ros.image.frame import Frame, ImageSize
from refinefuse_ros.image.sources import ImagePair, PairSource, SyntheticPairs
from refinefuse_ros.nodes.diagnostics import status
from refinefuse_ros.nodes.messages import header, pinhole_camera_info, to_image
from refinefuse_ros.nodes.parameters import DeclaredParameters, parameter
from refinefuse_ros.nodes.playing import ReadAhead, create_camera_publisher, start_thread, wait_for_subscribers
from refinefuse_ros.nodes.running import StartError, run_node
from refinefuse_ros.stream.health import Judgement, Level

PREPARED_AHEAD = 2


@dataclass(frozen=True)
class Prepared:
    """A pair's messages with their publishers, in publishing order, and the time until the next pair.

    Attributes:
        has_thermal: whether the thermal image is among them; not one that was published with an earlier pair.
    """

    messages: list[tuple[Publisher, Image | CameraInfo]]
    period_s: float
    has_thermal: bool


@dataclass(frozen=True)
class PlayerParameters:
    """Every parameter of the camera player, typed."""

    source: str = parameter("synthetic", "synthetic, or a folder that holds thermal/ and rgb/ with videos or images.")
    thermal: str = parameter("", "Thermal video, image or folder; with rgb it takes the place of source.")
    rgb: str = parameter("", "RGB video, image or folder; with thermal it takes the place of source.")
    rate_hz: float = parameter(0.0, "Pairs per second; 0 keeps the source's own pace.", unit="Hz", between=(0, 1000))
    loop: bool = parameter(True, "Start over at the end of the source.")
    pairs: int = parameter(0, "Stop after this many pairs; 0 plays on.", between=(0, 2**31 - 1))
    width: int = parameter(640, "Width of the synthetic scene.", unit="px", between=(32, 4096))
    height: int = parameter(480, "Height of the synthetic scene.", unit="px", between=(32, 4096))
    thermal_encoding: str = parameter(
        "mono16",
        "Encoding of 8-bit thermal sources as published.",
        choices=("mono16", "mono8"),
        name="thermal.encoding",
    )
    thermal_frame_id: str = parameter(
        "thermal_optical_frame", "Optical frame of the thermal camera.", name="thermal.frame_id"
    )
    rgb_frame_id: str = parameter("rgb_optical_frame", "Optical frame of the RGB camera.", name="rgb.frame_id")
    wait_for_subscribers: int = parameter(0, "Start once each image topic has this many subscribers.", between=(0, 100))

    def open(self) -> PairSource:
        """The source that the parameters name.

        Raises:
            SourceError: it cannot be played.
        """
        if bool(self.thermal) != bool(self.rgb):
            raise SourceError("Only one of the parameters thermal and rgb is set; set both, or use source.")
        if self.thermal:
            return open_pairs(Path(self.thermal).expanduser(), Path(self.rgb).expanduser())
        if self.source == "synthetic":
            return SyntheticPairs(ImageSize(self.width, self.height))
        return open_folder(Path(self.source).expanduser())


class CameraPlayer(Node):
    """Publishes thermal/image_raw, thermal/camera_info, rgb/image_raw, rgb/camera_info and /diagnostics.

    Attributes:
        finished: whether playing failed; ends `run_node`.
        failure: why it did.

    Raises:
        StartError: the source cannot be played.
        ParameterError: a parameter is not allowed.
    """

    def __init__(self) -> None:
        super().__init__("camera_player")
        self._settings = DeclaredParameters(self, PlayerParameters).read()
        try:
            self._source = self._settings.open()
        except SourceError as error:
            raise StartError(str(error)) from error
        self._thermal = self._camera_publishers("thermal")
        self._rgb = self._camera_publishers("rgb")
        self._published = self._thermal_published = 0
        self._late = 0
        self._done = False
        self.finished = False
        self.failure: UserError | None = None
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(1.0, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._stop = threading.Event()
        self._prepared = ReadAhead(map(self._prepare, self._pairs()), PREPARED_AHEAD, self._fail)
        self._thread = start_thread(self._play, self._fail)

    def close(self) -> None:
        """Stop playing, at once."""
        self._stop.set()
        self._prepared.close()
        self._thread.join()

    def _camera_publishers(self, camera: str) -> tuple[Publisher, Publisher]:
        return tuple(
            create_camera_publisher(self, kind, f"{camera}/{topic}")
            for kind, topic in ((Image, "image_raw"), (CameraInfo, "camera_info"))
        )

    def _fail(self, error: UserError) -> None:
        self.failure = error
        self.finished = True

    def _play(self) -> None:
        if not wait_for_subscribers((self._thermal[0], self._rgb[0]), self._settings.wait_for_subscribers, self._stop):
            return
        self.get_logger().info(f"playing {self._source.description}")
        self._publish_all()
        self._done = self.failure is None

    def _publish_all(self) -> None:
        """Publish each prepared pair at its time."""
        due = time.perf_counter()
        for prepared in self._prepared:
            wait = due - time.perf_counter()
            if wait < -prepared.period_s:
                self._late += 1
                due = time.perf_counter()  # skip the missed ticks: two frames at once would be no camera
            elif self._stop.wait(max(wait, 0)):
                return
            self._publish(prepared)
            due += prepared.period_s

    def _pairs(self) -> Iterator[ImagePair]:
        given = 0
        while True:
            for pair in self._source:
                if self._stop.is_set() or (self._settings.pairs and given == self._settings.pairs):
                    return
                given += 1
                yield pair
            if not self._settings.loop:
                return

    def _prepare(self, pair: ImagePair) -> Prepared:
        """The pair's messages, still without a stamp."""
        thermal, encoding = pair.thermal, pair.thermal_encoding
        if self._settings.thermal_encoding == "mono16":
            thermal, encoding = pair.thermal_counts()
        frames = [(self._rgb, Frame(0, self._settings.rgb_frame_id, "bgr8", pair.rgb))]
        if not pair.thermal_reused:
            frames.append((self._thermal, Frame(0, self._settings.thermal_frame_id, encoding, thermal)))
        images, infos = [], []  # images first: a camera's info is no news, the other camera's image is waited for
        for (image_publisher, info_publisher), frame in frames:
            info = pinhole_camera_info(frame.size)
            info.header = header(frame)
            images.append((image_publisher, to_image(frame)))
            infos.append((info_publisher, info))
        period_s = 1 / self._settings.rate_hz if self._settings.rate_hz else pair.period_s
        return Prepared([*images, *infos], period_s, not pair.thermal_reused)

    def _publish(self, prepared: Prepared) -> None:
        stamp = self.get_clock().now().to_msg()
        for publisher, message in prepared.messages:
            message.header.stamp = stamp
            publisher.publish(message)
        self._published += 1
        self._thermal_published += prepared.has_thermal

    def _publish_diagnostics(self) -> None:
        playing = "finished" if self._done else ("playing" if self._published else "waiting for subscribers")
        values = {
            "source": self._source.description,
            "thermal_published": self._thermal_published,
            "rgb_published": self._published,
            "late_pairs": self._late,
            "finished": self._done,
        }
        array = DiagnosticArray(
            status=[status(self.get_fully_qualified_name(), "playback", Judgement(Level.OK, playing), values)]
        )
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)


def main() -> int:
    return run_node(CameraPlayer)


if __name__ == "__main__":
    sys.exit(main())
