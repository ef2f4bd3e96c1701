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

"""What belongs to an image follows its remapping, and a silent topic is explained by what is published."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from refinefuse_ros.nodes.camera_topics import camera_topics, silence
from refinefuse_ros.stream.outcome import Stream

BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


@contextmanager
def node(*remappings: str) -> Iterator[Node]:
    rclpy.init(args=["--ros-args", *(word for rule in remappings for word in ("-r", rule))], domain_id=101)
    made = Node("fusion")
    try:
        yield made
    finally:
        made.destroy_node()
        rclpy.try_shutdown()


@pytest.mark.parametrize(
    ("remapping", "transport", "image", "info"),
    [
        ("a:=b", "raw", "/rgb/image_raw", "/rgb/camera_info"),
        ("a:=b", "compressed", "/rgb/image_raw/compressed", "/rgb/camera_info"),
        ("a:=b", "compressedDepth", "/rgb/image_raw/compressedDepth", "/rgb/camera_info"),
        ("rgb/image_raw:=/cam/color", "raw", "/cam/color", "/cam/camera_info"),
        ("rgb/image_raw:=/cam/color", "compressed", "/cam/color/compressed", "/cam/camera_info"),
        ("rgb/image_raw/compressed:=/cam/image/compressed", "compressed", "/cam/image/compressed", "/cam/camera_info"),
        ("rgb/camera_info:=/calibration", "raw", "/rgb/image_raw", "/calibration"),
        ("__ns:=/front", "raw", "/front/rgb/image_raw", "/front/rgb/camera_info"),
    ],
)
def test_what_belongs_to_an_image_follows_it(remapping: str, transport: str, image: str, info: str) -> None:
    with node(remapping) as made:
        topics = camera_topics(made, Stream.RGB, transport)
    assert (topics.image, topics.info) == (image, info)
    assert topics.kind is (Image if transport == "raw" else CompressedImage)


def test_a_silent_topic_is_explained() -> None:
    with node() as made:
        topics = camera_topics(made, Stream.RGB, "raw")
        assert silence(made, topics, BEST_EFFORT).startswith("nobody publishes /rgb/image_raw; no image topic is pub")
        made.create_publisher(Image, "/rbg/image_raw", 1)
        assert "the nearest one published is /rbg/image_raw: remap rgb/image_raw to" in silence(
            made, topics, BEST_EFFORT
        )
        made.create_publisher(CompressedImage, "/rgb/image_raw/compressed", 1)
        assert "set rgb.transport: compressed" in silence(made, topics, BEST_EFFORT)
        text = made.create_publisher(String, "/rgb/image_raw", 1)
        assert silence(made, topics, BEST_EFFORT) == (
            "/rgb/image_raw is published as std_msgs/msg/String, not as sensor_msgs/msg/Image"
        )
        made.destroy_publisher(text)
        made.create_publisher(Image, "/rgb/image_raw", BEST_EFFORT)
        reliable = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
        assert "with another quality of service" in silence(made, topics, reliable)
        assert silence(made, topics, BEST_EFFORT).startswith("/fusion publishes /rgb/image_raw but sends nothing")
