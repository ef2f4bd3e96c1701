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

"""A camera's topics as image_transport has them, and what is known of them while nothing comes."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher

from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CompressedImage, Image

from refinefuse_ros.nodes.published import COMPRESSED_SUFFIX, IMAGE_TYPES, info_topic
from refinefuse_ros.stream.outcome import Stream

TYPE_NAMES = {kind: name for name, kind in IMAGE_TYPES.items()}
# A topic whose name is less alike is no likely misspelling, and not offered.
_LEAST_ALIKE = 0.3


@dataclass(frozen=True)
class CameraTopics:
    """The resolved names of a camera's topics.

    Attributes:
        stream: the camera.
        base: the image topic by which the others are named, such as /rgb/image_raw.
        image: what is subscribed: `base`, or its compressed twin.
        info: the CameraInfo beside it.
        kind: the image's message type.
    """

    stream: Stream
    base: str
    image: str
    info: str
    kind: type[Image] | type[CompressedImage]

    @property
    def type_name(self) -> str:
        return TYPE_NAMES[self.kind]


def camera_topics(node: Node, stream: Stream, transport: str) -> CameraTopics:
    """A camera's topics after the node's remappings.

    What belongs to an image follows it, as image_transport's CameraSubscriber has it: with rgb/image_raw remapped to
    /front/color/image_raw, the compressed images are /front/color/image_raw/compressed and the CameraInfo is
    /front/color/camera_info. Each of them can still be remapped by its own name.
    """
    base_name = f"{stream}/image_raw"
    base = node.resolve_topic_name(base_name)
    if transport == "raw":
        return CameraTopics(stream, base, base, following(node, info_topic(base_name), info_topic(base)), Image)
    suffix = f"/{transport}"
    image = following(node, base_name + suffix, base + suffix)
    base = image.removesuffix(suffix)
    info = following(node, info_topic(base_name), info_topic(base))
    return CameraTopics(stream, base, image, info, CompressedImage)


def following(node: Node, name: str, followed: str) -> str:
    """A topic's name as it is remapped; where it is not, the one that follows its image's."""
    remapped = node.resolve_topic_name(name)
    return remapped if remapped != node.resolve_topic_name(name, only_expand=True) else followed


def silence(node: Node, topics: CameraTopics, qos: QoSProfile) -> str:
    """Why nothing may be coming of a camera, by what is published now, as a clause.

    Args:
        node: whose subscription it is.
        topics: the camera's.
        qos: what the subscription asks for, overrides included.
    """
    publishers = node.get_publishers_info_by_topic(topics.image)
    if not publishers:
        return f"nobody publishes {topics.image}{_nearest(node, topics)}"
    others = sorted({found.topic_type for found in publishers} - {topics.type_name})
    if others and len(others) == len({found.topic_type for found in publishers}):
        return f"{topics.image} is published as {' and '.join(others)}, not as {topics.type_name}"
    for found in publishers:
        if why := mismatch(found.qos_profile, qos):
            return f"{name_of(found)} offers {topics.image} with another quality of service ({why})"
    names = " and ".join(sorted({name_of(found) for found in publishers}))
    return f"{names} publishes {topics.image} but sends nothing, or nothing arrives; see 'ros2 topic info -v'"


def name_of(endpoint: TopicEndpointInfo) -> str:
    """The fully qualified name of the node at an end of a topic."""
    if endpoint.node_name.startswith("_NODE_NAME_UNKNOWN"):  # discovered before its node was
        return "somebody"
    return f"{endpoint.node_namespace.rstrip('/')}/{endpoint.node_name}"


def mismatch(published: QoSProfile, subscribed: QoSProfile) -> str:
    """Why a publisher and a subscription do not come together, in ROS's words; empty where they do."""
    compatibility, reason = qos_check_compatible(published, subscribed)
    return reason.strip().rstrip(";.").replace("ERROR: ", "") if compatibility == QoSCompatibility.ERROR else ""


def _nearest(node: Node, topics: CameraTopics) -> str:
    """The published image topic that is most likely meant, and how to take it, as the end of a clause."""
    published = {
        name: kinds[0]
        for name, kinds in node.get_topic_names_and_types()
        if kinds and kinds[0] in IMAGE_TYPES and node.count_publishers(name) and "fused" not in name
    }
    twin = topics.base if topics.kind is CompressedImage else topics.base + COMPRESSED_SUFFIX
    if twin in published:
        transport = "raw" if topics.kind is CompressedImage else "compressed"
        return f"; {twin} is published: set {topics.stream}.transport: {transport}"
    fitting = [name for name, kind in published.items() if kind == topics.type_name]
    likeness = {name: SequenceMatcher(None, name, topics.image).ratio() for name in fitting}
    nearest = max(likeness, key=likeness.__getitem__, default="")
    if likeness.get(nearest, 0.0) < _LEAST_ALIKE:
        return f"; {_listed(sorted(published))}" if published else "; no image topic is published at all"
    target = nearest.removesuffix(COMPRESSED_SUFFIX)
    return f"; the nearest one published is {nearest}: remap {topics.stream}/image_raw to {target}"


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return f"published are {shown}{', ...' if len(names) > 5 else ''}"
