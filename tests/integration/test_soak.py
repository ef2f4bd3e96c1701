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

"""`refinefuse soak` in short: faults are really played, the node really stands them, and one verdict comes out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from refinefuse_ros.commands.cli import main

pytestmark = pytest.mark.integration

SMALL = ["--size", "96x64", "--rate", "20", "--backend", "laplacian", "--minutes", "0.3", "--json"]


def test_a_node_stands_a_killed_camera_and_a_frozen_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    only = ["--only", "rgb-killed", "--only", "thermal-freezes"]
    status = main(["soak", *SMALL, *only, "--output", str(tmp_path)])
    verdict = json.loads(capsys.readouterr().out)
    assert status == (0 if verdict["passed"] else 1)  # on a busy machine all may be as it should, and too slow
    assert {one["fault"].partition(" ")[0] for one in verdict["faced"]} <= {"rgb-killed", "thermal-freezes"}
    for one in verdict["faced"]:
        assert one["said"], one["expected"]
        assert one["recovered_s"] is not None
        assert one["calm_s"] is not None
        assert one["silence_s"] > 0
        assert one["memory_mb"] > 10
    assert verdict["unbalanced"] == 0
    assert verdict["furthest_ms"] < 500
    assert verdict["reports"] > 5
    said = (tmp_path / "fusion_node.log").read_text()
    assert "No frame of the rgb camera" in said or "the picture stands still" in said
