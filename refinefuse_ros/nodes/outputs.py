# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What the fusion node publishes of a frame: the fused image, its CameraInfo and its compressed twin."""

from __future__ import annotations

from copy import copy

from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from refinefuse_ros.image.frame import Frame
from refinefuse_ros.nodes.messages import header, to_compressed_image, to_image, uncalibrated_camera_info
from refinefuse_ros.nodes.qos import refused_overrides_in_words
from refinefuse_ros.stream.timing import NS_PER_S

PUBLISHER_DEPTH = 5
# A stamp that is so much older than the last one is of another clock: the other camera's, which was shown alone.
OTHER_CLOCK_NS = NS_PER_S


class FusedOutputs:
    """The publishers of the fused topics.

    Raises:
        StartError: an override of a publisher's QoS cannot be used.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._last_ns: int | None = None
        self._publishers: dict[str, LifecyclePublisher] = {}
        for name, kind, topic in (
            ("image", Image, "fused/image_raw"),
            ("info", CameraInfo, "fused/camera_info"),
            ("compressed", CompressedImage, "fused/image_raw/compressed"),
        ):
            self._publishers[name] = create_publisher(node, kind, topic)

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

    def publish(self, frame: Frame, info: CameraInfo | None, jpeg_quality: int) -> None:
        """Publish an image under its stamp and frame_id, with its CameraInfo; None is one of no calibration."""
        self._last_ns = frame.stamp_ns
        info = copy(info) if info is not None else uncalibrated_camera_info(frame.size)
        info.header = header(frame)
        self._publishers["image"].publish(to_image(frame))
        self._publishers["info"].publish(info)
        if self._publishers["compressed"].get_subscription_count():
            self._publishers["compressed"].publish(to_compressed_image(frame, jpeg_quality))

    def close(self) -> None:
        """Stop publishing."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers = {}


def create_publisher(node: LifecycleNode, kind: type, topic: str) -> LifecyclePublisher:
    """A reliable publisher, which best-effort subscribers match too; its QoS can be overridden.

    Raises:
        StartError: an override cannot be used.
    """
    qos = QoSProfile(depth=PUBLISHER_DEPTH, reliability=ReliabilityPolicy.RELIABLE)
    overrides = QoSOverridingOptions.with_default_policies()
    with refused_overrides_in_words():
        return node.create_lifecycle_publisher(kind, topic, qos, qos_overriding_options=overrides)
