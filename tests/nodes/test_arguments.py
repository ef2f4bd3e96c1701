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

"""A node that is given arguments that it would not heed says so, and does not start."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--help"], 0, "--ros-args -p PARAMETER:=VALUE"),
        (["-p", "model:=base"], 2, "'-p' is no argument of ROS; give them after --ros-args"),
        (["--ros-args", "-p", "model:=base", "--", "more"], 2, "'more' is no argument of ROS"),
        (["--ros-args", "-p", "model"], 1, "error: "),
    ],
)
def test_what_is_no_ros_argument_is_explained(arguments: list[str], status: int, said: str) -> None:
    command = [sys.executable, "-m", "refinefuse_ros.nodes.camera_player", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert said in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.returncode == status
