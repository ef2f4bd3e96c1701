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
"""The settings that docs/cameras.md gives for known cameras are taken by the node as they stand there."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

import rclpy

from refinefuse_ros.nodes.fusion_node import FusionNode

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "cameras.md"
CAMERAS = ["Boson", "Lepton", "Tau", "Seek", "Optris", "Hikmicro", "usb_cam", "v4l2_camera", "RealSense", "spinnaker"]


def settings() -> dict[str, str]:
    """The YAML of each block, by the name in bold before it."""
    blocks = re.findall(r"^\*\*(.+?)\*\*[^*]*?\n\n((?: {4}.*\n)+)", DOCUMENT.read_text(), re.MULTILINE)
    return {name: textwrap.dedent(block) for name, block in blocks if "ros__parameters" in block}


def test_the_document_has_all_of_its_blocks() -> None:
    assert len(settings()) == DOCUMENT.read_text().count("ros__parameters:") == len(CAMERAS)
    assert all(camera in name for camera, name in zip(CAMERAS, settings(), strict=True))


@pytest.mark.parametrize("camera", settings())
def test_settings_of_a_known_camera_are_taken_by_the_node(camera: str, tmp_path: Path) -> None:
    file = tmp_path / "cameras.yaml"
    file.write_text(settings()[camera])
    rclpy.init(args=["--ros-args", "--params-file", str(file)], domain_id=101)
    try:
        node = FusionNode()
        try:
            assert node._declared.unknown() == []
            assert set(node._parameter_overrides) - {"use_sim_time"}
        finally:
            node.close()
            node.destroy_node()
    finally:
        rclpy.try_shutdown()
