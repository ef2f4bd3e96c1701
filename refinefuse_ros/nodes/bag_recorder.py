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

"""Records a running system: both cameras, the fused image, their CameraInfo and the diagnostics, as a rosbag2 bag.

Messages go into the bag as DDS delivers them, neither decoded nor encoded again. A topic is subscribed as soon as
somebody publishes it, raw or compressed as it is there, reliably where its publishers offer that.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from refinefuse_ros.errors import UserError
from refinefuse_ros.nodes.parameters import DeclaredParameters, parameter
from refinefuse_ros.nodes.published import IMAGE_TYPES, PublishedTopic, find_images, find_topic, info_topic
from refinefuse_ros.nodes.running import StartError, run_node
from refinefuse_ros.recordings.live import LiveBag, LiveMessage, RecordedBag
from refinefuse_ros.recordings.making import STORAGES
from refinefuse_ros.recordings.storage import BagError

LOOK_PERIOD_S = 0.25
SUBSCRIPTION_DEPTH = 30
TYPES = {
    **IMAGE_TYPES,
    "sensor_msgs/msg/CameraInfo": CameraInfo,
    "diagnostic_msgs/msg/DiagnosticArray": DiagnosticArray,
}


@dataclass(frozen=True)
class BagRecorderParameters:
    """Every parameter of the bag recorder, typed."""

    output: str = parameter("", "The bag's folder; must not exist.")
    storage: str = parameter("mcap", "How the bag is stored.", choices=STORAGES)
    seconds: float = parameter(
        0.0, "End so long after the first message; 0 goes on until Ctrl-C.", unit="s", between=(0, 1e6)
    )
    thermal_topic: str = parameter("thermal/image_raw", "The thermal images; raw before compressed.")
    rgb_topic: str = parameter("rgb/image_raw", "The RGB images; raw before compressed.")
    fused_topic: str = parameter("fused/image_raw", "The fused images; raw before compressed.")
    diagnostics_topic: str = parameter("/diagnostics", "The diagnostics.")
    json: bool = parameter(False, "Print what was recorded as one JSON object.")

    @property
    def image_topics(self) -> tuple[str, ...]:
        return self.thermal_topic, self.rgb_topic, self.fused_topic

    @property
    def other_topics(self) -> tuple[str, ...]:
        """Each camera's CameraInfo, beside its images, and the diagnostics."""
        return *(info_topic(name) for name in self.image_topics), self.diagnostics_topic


class BagRecorder(Node):
    """Subscribes thermal/, rgb/ and fused/ images and CameraInfo, and /diagnostics, and writes a bag.

    Attributes:
        finished: whether the time is over, or the disk refuses; ends `run_node`.
        failure: why the bag is not what it was to be.

    Raises:
        StartError: the bag's folder is not given, or exists.
        ParameterError: a parameter is not allowed.
    """

    def __init__(self) -> None:
        super().__init__("bag_recorder")
        self._settings = settings = DeclaredParameters(self, BagRecorderParameters).read()
        if not settings.output:
            raise StartError("The parameter output is empty; give a folder for the bag.")
        try:
            self._bag = LiveBag(Path(settings.output).expanduser(), settings.storage)
        except BagError as error:
            raise StartError(str(error)) from error
        self.finished = False
        self.failure: UserError | None = None
        self._first_at_s: float | None = None
        self._wanted = dict.fromkeys(settings.image_topics, find_images)
        self._wanted |= dict.fromkeys(settings.other_topics, find_topic)
        self._seen: dict[str, PublishedTopic | None] = {}
        self._quiet: set[str] = set()
        self.create_timer(LOOK_PERIOD_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def close(self) -> None:
        """Finish the bag and say what is in it."""
        recorded = self._bag.close()
        if recorded.error:
            self.failure = UserError(recorded.error)
        elif not recorded.messages:
            self.failure = UserError(
                "No message came, so nothing was recorded; check that the cameras run, and the topics."
            )
        silent = sorted({*self._wanted, *self._quiet})
        if self._settings.json:
            print(json.dumps({**recorded.to_dict(), "silent": silent}, indent=2), flush=True)
        elif recorded.messages:
            print(_in_words(recorded, silent), flush=True)

    def _look(self) -> None:
        """Subscribe what is newly published; see whether it is time to end."""
        if self._bag.error or self._time_is_over():
            self.finished = True
        elif self.get_clock().now().nanoseconds > 0:  # with use_sim_time not before the first /clock
            for name, find in list(self._wanted.items()):
                found = find(self, name)
                # Twice the same: a node's raw topic may be discovered a moment after its compressed one.
                if found is not None and found == self._seen.get(name) and found.type in TYPES:
                    del self._wanted[name]
                    self._record(found)
                self._seen[name] = found

    def _time_is_over(self) -> bool:
        since = self._first_at_s
        return since is not None and 0 < self._settings.seconds <= time.monotonic() - since

    def _record(self, topic: PublishedTopic) -> None:
        full_name = self.resolve_topic_name(topic.name)
        self._quiet.add(full_name)
        self.get_logger().info(f"recording {full_name}")
        callback = partial(self._on_message, full_name, topic)
        self.create_subscription(TYPES[topic.type], topic.name, callback, topic.qos(SUBSCRIPTION_DEPTH), raw=True)

    def _on_message(self, full_name: str, topic: PublishedTopic, serialized: bytes) -> None:
        now_ns = self.get_clock().now().nanoseconds
        if self._first_at_s is None:
            self._first_at_s = time.monotonic()
        self._quiet.discard(full_name)
        self._bag.put(LiveMessage(full_name, topic.type, topic.reliable, now_ns, serialized))


def _in_words(recorded: RecordedBag, silent: list[str]) -> str:
    lines = [f"recorded {recorded.seconds:.1f} s, {recorded.megabytes:.1f} MB, to {recorded.path}"]
    lines += [f"{count:8d}  {topic}" for topic, count in sorted(recorded.messages.items())]
    lines += [f"{count:8d}  of {topic} dropped: the disk did not keep up" for topic, count in recorded.dropped.items()]
    lines += [f"    none  {topic}" for topic in silent]
    return "\n".join(lines)


def main() -> int:
    return run_node(BagRecorder)


if __name__ == "__main__":
    sys.exit(main())
