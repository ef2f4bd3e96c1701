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

"""What the fusion node publishes of a frame: the fused image, its CameraInfo, its compressed twin, what it shows."""

from __future__ import annotations

from copy import copy

from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String

from refinefuse_ros.image.frame import Frame
from refinefuse_ros.nodes.camera_topics import following
from refinefuse_ros.nodes.messages import header, to_compressed_image, to_image, uncalibrated_camera_info
from refinefuse_ros.nodes.published import COMPRESSED_SUFFIX, info_topic
from refinefuse_ros.nodes.qos import refused_overrides_in_words
from refinefuse_ros.stream.timing import NS_PER_S

FUSED_IMAGE = "fused/image_raw"
FUSED = "fused"
"""What `fused/source` says of a pair's image; of one camera's frame alone it says the camera."""
PUBLISHER_DEPTH = 5
# A stamp that is so much older than the last one is of another clock: the other camera's, which was shown alone.
OTHER_CLOCK_NS = NS_PER_S


class FusedOutputs:
    """The publishers of the fused topics. CameraInfo and compressed images follow the image's remapping.

    Raises:
        StartError: an override of a publisher's QoS cannot be used.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._last_ns: int | None = None
        self._shown = ""
        image = node.resolve_topic_name(FUSED_IMAGE)
        compressed = following(node, FUSED_IMAGE + COMPRESSED_SUFFIX, image + COMPRESSED_SUFFIX)
        self._publishers: dict[str, LifecyclePublisher] = {}
        for name, kind, topic in (
            ("image", Image, image),
            ("info", CameraInfo, following(node, info_topic(FUSED_IMAGE), info_topic(image))),
            ("compressed", CompressedImage, compressed),
        ):
            self._publishers[name] = create_publisher(node, kind, topic)
        self._source = create_publisher(node, String, "fused/source", latched=True)

    @property
    def subscribers(self) -> dict[str, int]:
        """How many subscribe each topic."""
        return {name: publisher.get_subscription_count() for name, publisher in self._publishers.items()}

    @property
    def watched(self) -> bool:
        """Whether somebody subscribes an image."""
        return any(self._publishers[name].get_subscription_count() for name in ("image", "compressed"))

    def is_past(self, stamp_ns: int) -> bool:
        """Whether an image of this stamp would be no newer than the last one: stamps never repeat, nor go back."""
        return self._last_ns is not None and 0 <= self._last_ns - stamp_ns < OTHER_CLOCK_NS

    def restart(self) -> None:
        """A camera's clock was set back, as when a recording starts over: what was published before is past."""
        self._last_ns = None

    def publish(self, frame: Frame, info: CameraInfo | None, jpeg_quality: int, shown: str) -> None:
        """Publish an image under its stamp and frame_id, with its CameraInfo.

        Args:
            frame: the image.
            info: None is one of no calibration.
            jpeg_quality: of its compressed twin, in per cent.
            shown: what it shows, for `fused/source`, which says it once until it changes.
        """
        self._last_ns = frame.stamp_ns
        if shown != self._shown:
            self._shown = shown
            self._source.publish(String(data=shown))
        info = copy(info) if info is not None else uncalibrated_camera_info(frame.size)
        info.header = header(frame)
        self._publishers["image"].publish(to_image(frame))
        self._publishers["info"].publish(info)
        if self._publishers["compressed"].get_subscription_count():
            self._publishers["compressed"].publish(to_compressed_image(frame, jpeg_quality))

    def close(self) -> None:
        """Stop publishing."""
        for publisher in (*self._publishers.values(), self._source):
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers = {}


def create_publisher(node: LifecycleNode, kind: type, topic: str, latched: bool = False) -> LifecyclePublisher:
    """A reliable publisher, which best-effort subscribers match too; its QoS can be overridden.

    A `latched` one tells its last message to those who subscribe later (transient local).

    Raises:
        StartError: an override cannot be used.
    """
    qos = QoSProfile(depth=PUBLISHER_DEPTH, reliability=ReliabilityPolicy.RELIABLE)
    if latched:
        qos.depth, qos.durability = 1, DurabilityPolicy.TRANSIENT_LOCAL
    overrides = QoSOverridingOptions.with_default_policies()
    with refused_overrides_in_words():
        return node.create_lifecycle_publisher(kind, topic, qos, qos_overriding_options=overrides)
