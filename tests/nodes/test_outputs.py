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

"""What belongs to the fused image follows its remapping, unless it is remapped by its own name."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

import rclpy
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from refinefuse_ros.nodes.outputs import FusedOutputs


@pytest.mark.parametrize(
    ("remappings", "image", "info", "compressed"),
    [
        ([], "/fused/image_raw", "/fused/camera_info", "/fused/image_raw/compressed"),
        (["fused/image_raw:=/out/picture"], "/out/picture", "/out/camera_info", "/out/picture/compressed"),
        (
            ["fused/image_raw:=/out/picture", "fused/camera_info:=/calibration"],
            *("/out/picture", "/calibration", "/out/picture/compressed"),
        ),
    ],
)
def test_what_belongs_to_the_fused_image_follows_it(remappings, image: str, info: str, compressed: str) -> None:
    rclpy.init(args=["--ros-args", *(word for rule in remappings for word in ("-r", rule))], domain_id=101)
    node = LifecycleNode("fusion")
    try:
        outputs = FusedOutputs(node)
        published = {publisher.topic_name: publisher.msg_type for publisher in node.publishers}
        outputs.close()
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    assert {name: published[name] for name in (image, info, compressed)} == {
        image: Image,
        info: CameraInfo,
        compressed: CompressedImage,
    }
