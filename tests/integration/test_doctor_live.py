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

"""`refinefuse doctor --live` beside a system with a camera that is missing and one without the transport profile."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from refinefuse_ros.commands.cli import main

pytestmark = pytest.mark.integration

PROFILE = """<?xml version="1.0" encoding="UTF-8" ?>
<profiles xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"></profiles>
"""


def test_what_is_wrong_with_a_running_system_is_found(rig, tmp_path, monkeypatch, capsys) -> None:
    profile = tmp_path / "default.xml"
    profile.write_text(PROFILE)
    rig.start("fusion_node", engine__backend="laplacian", thermal__transport="raw")
    for publisher in [name for name in rig.publishers if name.startswith("thermal")]:
        rig.node.destroy_publisher(rig.publishers.pop(publisher))
    for publisher in list(rig.publishers):
        rig.node.destroy_publisher(rig.publishers.pop(publisher))
    with monkeypatch.context() as patched:
        patched.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", str(profile))
        rig.start("faulty_camera", camera="thermal", rate_hz=30.0)  # most images are lost, and some must come
    assert rig.spin_until(lambda: "No frame of the rgb camera" in rig.output()), rig.output()
    assert rig.spin_until(lambda: rig.levels.get("/fusion: thermal camera") == 0), rig.output()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(rig.domain))
    status = main(["doctor", "--live", "--seconds", "6", "--json"])
    captured = capsys.readouterr()
    findings = json.loads(captured.out)["findings"]
    said = {(one["subject"], one["verdict"]): one["sentence"] for one in findings}
    assert status == 1
    assert captured.err == "error: The node does not get its images; mend what is marked broken.\n"
    assert said["fusion", "fine"] == "/fusion runs."
    assert said["/rgb/image_raw", "broken"] == "nobody publishes it."
    assert said["/thermal/image_raw", "fine"].startswith("/faulty_camera sends 640x480 mono16 at ")
    assert "start it with FASTRTPS_DEFAULT_PROFILES_FILE=" in said["/thermal/image_raw", "less"]
    (rgb_camera,) = (sentence for (subject, _), sentence in said.items() if subject == "/fusion rgb camera")
    assert "No frame of the rgb camera" in rgb_camera  # its level is thermal's too, of which little comes


def test_nobody_there(rig, monkeypatch, capsys) -> None:
    rig.close()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(rig.domain))
    assert main(["doctor", "--live", "--seconds", "1"]) == 1
    assert f"no other node is seen on ROS domain {rig.domain}" in capsys.readouterr().out
