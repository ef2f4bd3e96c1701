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

"""Topics as others publish them: names, and the stamp of a message that nobody has decoded."""

from __future__ import annotations

import struct

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image

from refinefuse_ros.nodes.messages import to_stamp
from refinefuse_ros.nodes.published import info_topic, stamp_of


@pytest.mark.parametrize(
    ("images", "info"),
    [
        ("thermal/image_raw", "thermal/camera_info"),
        ("/flir/boson/image_raw/compressed", "/flir/boson/camera_info"),
        ("image", "camera_info"),
        ("/image", "/camera_info"),
    ],
)
def test_camera_info_lies_beside_the_images(images: str, info: str) -> None:
    assert info_topic(images) == info


@pytest.mark.parametrize("kind", [Image, CompressedImage])
def test_the_stamp_is_read_without_the_rest(kind: type) -> None:
    message = kind(data=bytes(1000))
    message.header.stamp = to_stamp(1_700_000_000_123_456_789)
    assert stamp_of(serialize_message(message)) == 1_700_000_000_123_456_789


def test_big_endian_and_short_messages() -> None:
    assert stamp_of(b"\0\0\0\0" + struct.pack(">iI", 5, 7)) == 5_000_000_007
    with pytest.raises(struct.error):
        stamp_of(b"\0\1\0\0abc")
