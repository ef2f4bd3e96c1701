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

"""One camera as the fusion node takes it in: its subscriptions, its decoded frames, its CameraInfo."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from refinefuse_ros.alignment.camera import Camera, camera_of, size_of
from refinefuse_ros.image.frame import Frame, ImageSize
from refinefuse_ros.image.sensor_view import SensorView
from refinefuse_ros.image.standstill import PictureMemory, Sight
from refinefuse_ros.image.suspicion import suspicion
from refinefuse_ros.nodes.camera_topics import CameraTopics, camera_topics, silence
from refinefuse_ros.nodes.messages import info_of_view, to_frame
from refinefuse_ros.nodes.qos import refused_overrides_in_words
from refinefuse_ros.pipeline import check_rgb
from refinefuse_ros.stream.outcome import Stream
from refinefuse_ros.stream.timing import NS_PER_MS

SUBSCRIPTION_DEPTH = 5
# One frame of so many is looked at for what its driver may have got wrong: beside a worker that fuses it takes some
# milliseconds, which no percentile of the latency is to show.
SUSPECTED_FRAMES = 120
OVERRIDABLE = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)


@dataclass(frozen=True)
class Decoded:
    """A decoded frame, what decoding it cost, when that was done by the performance counter, and how it looks."""

    frame: Frame
    decode_ms: float
    ready_ns: int
    sight: Sight


class CameraIntake:
    """Subscribes one camera's images and CameraInfo, and decodes.

    Attributes:
        topics: their resolved names.
        info_mismatch: why its CameraInfo was left out by the last `info_for`, as a clause; empty where it was not.

    Args:
        node: who subscribes.
        stream: which camera.
        transport: "raw", "compressed" or "compressedDepth".
        view: how its images are to be taken, where its messages do not say it.
        on_image: takes each image message.

    Raises:
        StartError: an override of a subscription's QoS cannot be used.
    """

    def __init__(
        self,
        node: Node,
        stream: Stream,
        transport: str,
        view: SensorView,
        on_image: Callable[[Image | CompressedImage], None],
    ) -> None:
        self._node = node
        self._view = view
        self._frames = 0
        self._stream = stream
        self.topics: CameraTopics = camera_topics(node, stream, transport)
        self.info_mismatch = ""
        self._suspicion = ""
        self._memory = PictureMemory(knows_flat=stream is Stream.THERMAL)
        self._info: CameraInfo | None = None
        self._subscriptions: list[Subscription] = []
        self._image_subscription = self._subscribe(self.topics.kind, self.topics.image, on_image)
        self._subscribe(CameraInfo, self.topics.info, self._on_info)
        self._asked_for_latched = False

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def decode(self, message: Image | CompressedImage, max_pixels: int, stamp_for_none_ns: int | None) -> Decoded:
        """Decode an image message.

        Args:
            message: of this camera.
            max_pixels: of a larger image nothing is decoded.
            stamp_for_none_ns: the stamp of a message that has none; None leaves it without.

        Raises:
            MalformedImage: it cannot be used.
        """
        start_ns = time.perf_counter_ns()
        frame = to_frame(message, max_pixels, self._view)
        if self._stream is Stream.RGB:
            check_rgb(frame)
        if frame.stamp_ns <= 0 and stamp_for_none_ns is not None:
            frame = replace(frame, stamp_ns=stamp_for_none_ns)
        sight = self._memory.look(frame.pixels)
        if self._frames % SUSPECTED_FRAMES == 0:
            self._suspicion = suspicion(frame, str(self._stream)) or ""
        self._frames += 1
        ready_ns = time.perf_counter_ns()
        return Decoded(frame, (ready_ns - start_ns) / NS_PER_MS, ready_ns, sight)

    def info_for(self, size: ImageSize) -> CameraInfo | None:
        """The camera's latest CameraInfo, if it speaks of images of this size; None otherwise, or before the first."""
        info, self.info_mismatch = self._info, ""
        if info is not None:
            info = info_of_view(info, self._view)
        if info is None or size_of(info) == size:
            return info
        if size_of(info) != ImageSize(0, 0):  # one that says nothing is no contradiction
            self.info_mismatch = f"{self.topics.info} is for images of {size_of(info)}, not of {size}, and is left out"
        return None

    def lens(self) -> Camera | None:
        """The camera's geometry by its latest CameraInfo; None before the first, or where it speaks of other pixels.

        Raises:
            AlignmentError: its CameraInfo describes no camera.
        """
        return None if self._info is None else camera_of(self._info, self.topics.image, self._view)

    @property
    def fault(self) -> str:
        """What seems wrong with the camera though its frames are used, as a clause; empty where nothing does."""
        return self.info_mismatch or self._suspicion.removesuffix(".")

    def ask_for_latched_info(self) -> None:
        """Subscribe a CameraInfo that was published once, before this node was there; to be called now and then.

        Not at once and always: a driver that latches nothing would warn of a subscriber that asks for it.
        """
        if self._asked_for_latched or self._info is not None:
            return
        publishers = self._node.get_publishers_info_by_topic(self.topics.info)
        if any(found.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for found in publishers):
            self._asked_for_latched = True
            latched = QoSProfile(
                depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
            )
            self._subscriptions.append(
                self._node.create_subscription(CameraInfo, self.topics.info, self._on_info, latched)
            )

    def silence(self) -> str:
        """Why nothing may be coming, by what is published now, as a clause."""
        return silence(self._node, self.topics, self._image_subscription.qos_profile)

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message

    def _subscribe(self, kind: type, topic: str, callback: Callable[[Any], None]) -> Subscription:
        qos = QoSProfile(depth=SUBSCRIPTION_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
        with refused_overrides_in_words():
            subscription = self._node.create_subscription(
                kind, topic, callback, qos, qos_overriding_options=QoSOverridingOptions(OVERRIDABLE)
            )
        self._subscriptions.append(subscription)
        return subscription
