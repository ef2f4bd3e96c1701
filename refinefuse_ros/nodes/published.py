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

"""What other nodes publish: a camera's image topic as it is there now, raw or compressed, and how to subscribe it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CompressedImage, Image

from refinefuse_ros.stream.timing import NS_PER_S

COMPRESSED_SUFFIX = "/compressed"
# By the names under which topics say their types.
IMAGE_TYPES = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}


@dataclass(frozen=True)
class PublishedTopic:
    """A topic that somebody publishes.

    Attributes:
        name: as asked for, to subscribe by.
        type: its message type, such as "sensor_msgs/msg/Image".
        reliable: whether every publisher offers reliable delivery.
    """

    name: str
    type: str
    reliable: bool

    def qos(self, depth: int) -> QoSProfile:
        """What receives from all its publishers, reliably where they all offer that."""
        reliability = ReliabilityPolicy.RELIABLE if self.reliable else ReliabilityPolicy.BEST_EFFORT
        return QoSProfile(depth=depth, reliability=reliability)


def find_topic(node: Node, name: str) -> PublishedTopic | None:
    """The topic, by a name that is expanded and remapped as the node's own; None while nobody publishes it."""
    publishers: list[TopicEndpointInfo] = node.get_publishers_info_by_topic(name)
    if not publishers:
        return None
    reliable = all(found.qos_profile.reliability == ReliabilityPolicy.RELIABLE for found in publishers)
    return PublishedTopic(name, publishers[0].topic_type, reliable)


def find_images(node: Node, name: str) -> PublishedTopic | None:
    """The image topic `name`, else what is published under its compressed name; None while there is neither."""
    for candidate in (name, name + COMPRESSED_SUFFIX):
        found = find_topic(node, candidate)
        if found is not None and found.type in IMAGE_TYPES:
            return found
    return None


def info_topic(image_topic: str) -> str:
    """The CameraInfo topic beside an image topic, by image_transport's rule."""
    camera, slash, _ = image_topic.removesuffix(COMPRESSED_SUFFIX).rpartition("/")
    return f"{camera}{slash}camera_info"


def stamp_of(serialized: bytes) -> int:
    """The header.stamp, ns, of a serialised message that begins with a header, without reading the rest.

    Raises:
        struct.error: the message is shorter than that.
    """
    little_endian = serialized[1:2] == b"\x01"  # the second byte of CDR's representation identifier
    seconds, nanoseconds = struct.unpack_from("<iI" if little_endian else ">iI", serialized, 4)
    return seconds * NS_PER_S + nanoseconds
