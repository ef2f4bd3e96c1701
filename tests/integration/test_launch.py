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

"""`ros2 launch`, from a workspace the package is installed in: verdicts, clean ends, failures, a robot's bringup."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytest.importorskip("launch_ros", reason="needs ROS 2's launch_ros")

from ament_index_python.packages import get_package_share_directory

from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.sources import SyntheticPairs
from refinefuse_ros.recordings.making import write_bag
from refinefuse_ros.resources import PACKAGE

pytestmark = pytest.mark.integration

_domains = itertools.count(os.getpid() * 3)


def can_launch() -> bool:
    try:
        get_package_share_directory(PACKAGE)
    except (LookupError, OSError):  # not installed in a workspace; no workspace at all
        return False
    return shutil.which("ros2") is not None


if not can_launch():
    pytest.skip("needs ros2 launch and a workspace with this package", allow_module_level=True)


def launch(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    write_bag(SyntheticPairs(ImageSize(96, 64)), tmp_path / "bag", seconds=2, thermal_rate_hz=9)
    return launch_file(tmp_path, "replay.launch.py", "player:=refinefuse", *arguments)


def launch_file(tmp_path: Path, name: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["ros2", "launch", *([name] if "/" in name else [PACKAGE, name]), *arguments],
        cwd=tmp_path,
        env=os.environ | {"ROS_DOMAIN_ID": str(1 + next(_domains) % 101)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def children_of(process_id: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process_id)], capture_output=True, text=True)
    return [int(line) for line in listed.stdout.split()]


def test_plays_to_the_end_and_gives_the_verdict(tmp_path: Path) -> None:
    process = launch(tmp_path, "bag:=bag")
    said, _ = process.communicate(timeout=90)
    assert process.returncode == 0, said
    assert "from publication to viewer" in said
    report = json.loads((tmp_path / "out" / "replay" / "report.json").read_text())
    frames = report["frames"]
    assert frames["sent"] == 60 == frames["fused"] + frames["unpaired"] + frames["missed"]
    assert (tmp_path / "out" / "replay" / "fused.mp4").is_file()


def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    process = launch(tmp_path, "bag:=bag")
    while "playing" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(0.5)
    children = children_of(process.pid)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert not [child for child in children if Path(f"/proc/{child}").exists()]


def test_a_bag_that_is_not_there_is_status_1(tmp_path: Path) -> None:
    process = launch(tmp_path, "bag:=none")
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "none does not exist; give a bag's folder, or its .mcap or .db3 file." in said


def test_cameras_that_cannot_be_played_end_the_launch_of_the_node(tmp_path: Path) -> None:
    process = launch_file(tmp_path, "fuse.launch.py", f"cameras:={tmp_path}", "thermal:=flir")
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1, said
    assert f"error: {tmp_path}/thermal is not a folder" in said
    assert "thermal/image_raw:=flir/image_raw" in said  # the player follows the argument as the node does


@pytest.mark.parametrize("argument", ["cameras:=/it's/no/folder", "params_file:=/nope.yaml", "rviz:=perhaps"])
def test_what_cannot_work_is_refused_before_anything_starts(tmp_path: Path, argument: str) -> None:
    process = launch_file(tmp_path, "fuse.launch.py", argument)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1, said
    assert argument.partition(":=")[2] in said
    assert "process started" not in said


BRINGUP = """
from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import ExecuteProcess, IncludeLaunchDescription

def generate_launch_description():
    fusion = get_package_share_directory("refinefuse_ros") + "/launch/fuse.launch.py"
    options = {"respawn": "true", "autostart": "false"}
    return LaunchDescription([
        ExecuteProcess(cmd=["sleep", "60"], name="robot"),
        IncludeLaunchDescription(fusion, launch_arguments=options.items()),
    ])
"""


def test_a_node_that_is_killed_ends_no_bringup_and_comes_back(tmp_path: Path) -> None:
    bringup = tmp_path / "bringup.launch.py"
    bringup.write_text(BRINGUP)
    process = launch_file(tmp_path, str(bringup))
    try:
        os.kill(started(process, "fusion_node"), signal.SIGKILL)
        assert started(process, "fusion_node")
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=20)
    assert "[robot-1]: sending signal 'SIGINT'" in said  # it was there until then


@pytest.mark.parametrize("language", ["python", "xml"])
def test_the_documented_bringup_gives_the_node_the_robots_topics(tmp_path: Path, language: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / "bringup.md").read_text()
    (example,) = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    bringup = tmp_path / f"bringup.launch.{ {'python': 'py', 'xml': 'xml'}[language] }"
    bringup.write_text(example)
    process = launch_file(tmp_path, str(bringup))
    try:
        (said,) = itertools.islice((line for line in process.stdout if "subscribed:" in line), 1)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert "[front.fusion]" in said
    assert "/boson/image_raw (/boson/camera_info), /camera/color/image_raw (/camera/color/camera_info)" in said
    assert "publishing /front/fused/image_raw" in said


def started(process: subprocess.Popen[str], name: str) -> int:
    """The id of the next process of that name that the launch starts."""
    for line in process.stdout:
        found = re.search(rf"\[{name}-\d+\]: process started with pid \[(\d+)\]", line)
        if found:
            return int(found[1])
    raise AssertionError("the launch ended")
