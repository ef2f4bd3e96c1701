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

"""Shows the cameras, the fused images and the fusion node's diagnostics in Rerun: a window, a page, or a file.

Pictures are taken a few times a second, and only then decoded: a viewer must not take the cores that fuse.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription

from refinefuse_ros.image.codec import MalformedImage
from refinefuse_ros.image.colour import join_luma, split_luma, to_grey
from refinefuse_ros.image.frame import Frame
from refinefuse_ros.image.normalization import ThermalNormalizer
from refinefuse_ros.nodes.messages import to_frame
from refinefuse_ros.nodes.parameters import DeclaredParameters, parameter
from refinefuse_ros.nodes.published import IMAGE_TYPES, find_images
from refinefuse_ros.nodes.rerun_viewer import LOCAL, RerunViewer, require_rerun
from refinefuse_ros.nodes.running import StartError, run_node
from refinefuse_ros.nodes.statuses import statuses_of
from refinefuse_ros.stream.timing import NS_PER_S

if TYPE_CHECKING:
    from refinefuse_ros.nodes.rerun_log import RerunLog

WAYS = ("window", "page", "file")
SHOWN = ("thermal", "rgb", "fused")
SEARCH_PERIOD_S = 0.5
# It yields to what it looks at: on a machine that is busy fusing, every bit of a core comes from the engine.
NICENESS = 19
# After so long without a topic its absence is said.
SILENCE_S = 5.0


@dataclass(frozen=True)
class ViewerParameters:
    """Every parameter of the viewer, typed."""

    show: str = parameter(
        "window", "Where to show it: a window, a page for a browser, or a file for later.", choices=WAYS
    )
    file: str = parameter("", "Where show: file writes, a name that ends in .rrd.")
    host: str = parameter(LOCAL, "Address that the viewer listens on; 0.0.0.0 lets other machines look.")
    port: int = parameter(9876, "Port that takes what is shown.", between=(1, 65535))
    web_port: int = parameter(9090, "Port of the page.", between=(1, 65535))
    rate_hz: float = parameter(5.0, "Most pictures a second of each topic.", unit="Hz", between=(0.1, 60))
    width: int = parameter(
        640, "Larger pictures are shown smaller, with this longer side.", unit="px", between=(64, 4096)
    )
    memory_mb: int = parameter(
        512, "What the viewer keeps; then it forgets what is oldest.", unit="MB", between=(64, 65536)
    )


class Viewer(Node):
    """Subscribes thermal/, rgb/ and fused/ images, raw or compressed, and /diagnostics.

    Attributes:
        finished: whether the viewer's window was closed; ends `run_node`.

    Raises:
        ViewerError: the viewer cannot be started.
        StartError: the file cannot be written.
        ParameterError: a parameter is not allowed.
    """

    def __init__(self) -> None:
        super().__init__("viewer")
        self._settings = settings = DeclaredParameters(self, ViewerParameters).read()
        self._log = _open_log(settings.width)
        self._viewer: RerunViewer | None = None
        if settings.show == "file":
            self._save(Path(settings.file).expanduser())
        else:
            self._viewer = RerunViewer(
                settings.show == "page", settings.host, settings.port, settings.web_port, settings.memory_mb
            )
            self._log.connect(self._viewer.url)
            if settings.show == "page":
                self.get_logger().info(f"the page is {self._viewer.page}")
        self._thermal = ThermalNormalizer()
        self._missing = set(SHOWN)
        # No executor has this node: what comes is left where it is, the newest alone, until a picture is wanted. To be
        # woken by each would cost more than the pictures do.
        self._unspun = Node("viewer_pictures", use_global_arguments=False, start_parameter_services=False)
        self._pictures: dict[str, Subscription] = {}
        self._since_s = time.monotonic()
        self._fusion = self.resolve_topic_name("fusion")  # names of nodes are resolved as those of topics are
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(SEARCH_PERIOD_S, self._search, clock=steady)
        self.create_timer(1 / settings.rate_hz, self._take_pictures, clock=steady)

    @property
    def finished(self) -> bool:
        return self._viewer is not None and not self._viewer.running

    def close(self) -> None:
        self._unspun.destroy_node()
        if self._viewer is not None:  # first: to flush into one that hangs takes for ever
            self._viewer.close()
        self._log.close()

    def _save(self, path: Path) -> None:
        if path.suffix != ".rrd":
            raise StartError(f"The file to write is '{path}'; give a name that ends in .rrd.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._log.save(path)
        except (OSError, RuntimeError) as error:
            raise StartError(f"The file {path} cannot be written: {error}.") from error

    def _search(self) -> None:
        """Subscribe the images that are published by now; say once which are not."""
        for place in sorted(self._missing):
            topic = find_images(self, f"{place}/image_raw")
            if topic is not None:
                self._missing.discard(place)
                qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
                self._pictures[place] = self._unspun.create_subscription(
                    IMAGE_TYPES[topic.type], topic.name, _never, qos, raw=True
                )
        if self._missing and time.monotonic() - self._since_s > SILENCE_S:
            names = ", ".join(self.resolve_topic_name(f"{place}/image_raw") for place in sorted(self._missing))
            self.get_logger().warning(
                f"nobody publishes {names}; start what does, or remap it (refinefuse doctor --live says what is there)",
                once=True,
            )

    def _take_pictures(self) -> None:
        """Show the newest picture of each topic, if one has come since the last."""
        for place, subscription in self._pictures.items():
            with subscription.handle:
                taken = subscription.handle.take_message(subscription.msg_type, True)
            if taken is None:
                continue
            try:
                frame = to_frame(deserialize_message(taken[0], subscription.msg_type))
                self._log.picture(place, self._shown(place, frame))
            except MalformedImage as error:
                self.get_logger().warning(f"A {place} image cannot be shown: {error}", once=True)

    def _shown(self, place: str, frame: Frame) -> Frame:
        """As the screen takes it. Raises MalformedImage."""
        if place == "thermal":
            grey = to_grey(frame.pixels, frame.encoding)
            return Frame(frame.stamp_ns, frame.frame_id, "mono8", self._thermal.normalize(grey, frame.stamp_ns))
        if frame.encoding == "bgr8":  # of the fused images, by default: nothing is to be done
            return frame
        if frame.encoding == "rgb8":
            pixels = cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2BGR)
        else:
            pixels = join_luma(*split_luma(frame.pixels, frame.encoding), "bgr8")
        return Frame(frame.stamp_ns, frame.frame_id, "bgr8", pixels)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        statuses = statuses_of(message, self._fusion)
        if statuses:
            self._log.statuses(message.header.stamp.sec * NS_PER_S + message.header.stamp.nanosec, statuses)


def _never(message: object) -> None:
    """The callback of subscriptions that nobody spins."""


def _open_log(width: int) -> RerunLog:
    """Raises ViewerError where Rerun is not installed."""
    require_rerun()
    os.environ.setdefault("RUST_LOG", "off")  # what Rerun says of a viewer that was closed is no news
    from refinefuse_ros.nodes.rerun_log import RerunLog

    return RerunLog(width)


def main() -> int:
    os.nice(NICENESS)  # before any thread: those of DDS, and Rerun's process, inherit it
    return run_node(Viewer)


if __name__ == "__main__":
    sys.exit(main())
