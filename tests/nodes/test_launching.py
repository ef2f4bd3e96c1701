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

"""The launch files, loaded as `ros2 launch` does: what they start for which arguments, and how they end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("launch_ros", reason="needs ROS 2's launch_ros")

from ament_index_python.packages import PackageNotFoundError
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.events.process import ProcessStderr
from launch.launch_description_sources import get_launch_description_from_python_launch_file
from launch_ros.actions import LifecycleNode, Node

from launch import LaunchContext
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.sources import SyntheticPairs
from refinefuse_ros.nodes import launching
from refinefuse_ros.recordings.making import write_bag
from refinefuse_ros.recordings.storage import BagError
from refinefuse_ros.resources import PROFILE_VARIABLES, shared_path


@pytest.fixture(autouse=True)
def checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package need not be installed in a ROS workspace."""
    share = shared_path("launch").parent
    monkeypatch.setattr(launching, "get_package_share_directory", lambda package: str(share))


def described(name: str) -> list:
    return get_launch_description_from_python_launch_file(str(shared_path(f"launch/{name}"))).entities


def started(name: str, **arguments: str) -> list:
    """What a launch file starts."""
    context = LaunchContext()
    entities = described(name)
    for declared in entities:
        if isinstance(declared, DeclareLaunchArgument) and declared.default_value is not None:
            declared.execute(context)
    context.launch_configurations.update(arguments)
    (start,) = (entity for entity in entities if isinstance(entity, OpaqueFunction))
    return start.execute(context)


def replayed(bag: Path, **arguments: str) -> list:
    return started("replay.launch.py", bag=str(bag), **arguments)


def environment(action: ExecuteProcess) -> dict[str, str]:
    """What a process gets beside the launch's own environment."""
    return {
        "".join(p.text for p in name): "".join(p.text for p in value) for name, value in action.additional_env or ()
    }


def text(parts: list) -> str:
    return "".join(part.text for part in parts)


def remapped(node: Node) -> dict[str, str]:
    return {text(name): text(target) for name, target in node.expanded_remapping_rules or node._Node__remappings}


def executables(actions: list) -> list[str]:
    return [action.node_executable for action in actions if isinstance(action, Node)]


def test_the_fusion_launch_file_starts_the_node_and_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert executables(started("fuse.launch.py")) == ["fusion_node"]
    monkeypatch.setattr(launching, "get_package_prefix", lambda package: "/opt")
    asked = {"cameras": "synthetic", "rviz": "true"}
    assert executables(started("fuse.launch.py", **asked)) == ["fusion_node", "camera_player", "rviz2"]
    assert executables(started("fuse.launch.py", viewer="page")) == ["fusion_node", "viewer"]


def test_nothing_of_a_launch_that_includes_it_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process gets the transport profile by itself, under both names that Fast DDS has had for it."""
    for name in PROFILE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert not [entity for entity in described("fuse.launch.py") if isinstance(entity, SetEnvironmentVariable)]
    for action in started("fuse.launch.py", cameras="synthetic"):
        assert set(environment(action)) == set(PROFILE_VARIABLES)
    monkeypatch.setenv(PROFILE_VARIABLES[1], "/mine.xml")
    assert set(environment(started("fuse.launch.py")[0])) == {PROFILE_VARIABLES[0]}


def test_only_a_launch_that_asks_for_it_ends_with_the_node() -> None:
    (node,) = started("fuse.launch.py")
    assert node._ExecuteLocal__on_exit is None
    (node,) = started("fuse.launch.py", end_with_node="true")
    assert node._ExecuteLocal__on_exit is launching.end_with_node
    with pytest.raises(RuntimeError, match="exclude each other"):
        started("fuse.launch.py", end_with_node="true", respawn="true")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"rviz": "true"}, "needs the package rviz2"),
        ({"rviz": "maybe"}, "rviz is 'maybe'; give true or false"),
        ({"viewer": "tv"}, "viewer is 'tv'; give window, page or none"),
        ({"viewer": "window"}, "needs a screen (DISPLAY is not set); give viewer:=page."),
        ({"params_file": "/nope.yaml"}, "no params_file /nope.yaml"),
        ({"cameras": "it's not there"}, "cameras is 'it's not there'; give none, synthetic, or a folder"),
        ({"autostart": "yes, please"}, "autostart is 'yes, please'"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, arguments: dict[str, str], said: str
) -> None:
    def missing(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(launching, "get_package_prefix", missing)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RuntimeError) as error:
        started("fuse.launch.py", **arguments)
    assert said in str(error.value)


def test_a_folder_with_an_apostrophe_is_played(tmp_path: Path) -> None:
    folder = tmp_path / "Bob's cameras"
    folder.mkdir()
    assert executables(started("fuse.launch.py", cameras=str(folder))) == ["fusion_node", "camera_player"]


def test_topics_are_given_by_prefix_or_as_whole_names() -> None:
    (node,) = started("fuse.launch.py", thermal="/ir/", rgb_topic="/image_rect", fused_topic="out/picture")
    names = remapped(node)
    assert names["thermal/image_raw"] == "/ir/image_raw"
    assert names["thermal/camera_info"] == "/ir/camera_info"
    assert names["rgb/image_raw"] == "/image_rect"
    assert names["rgb/camera_info"] == "/camera_info"
    assert names["rgb/image_raw/compressed"] == "/image_rect/compressed"
    assert (names["fused/image_raw"], names["fused/camera_info"]) == ("out/picture", "out/camera_info")


def test_a_flag_that_is_not_given_leaves_the_params_file_its_say() -> None:
    def own(node: Node) -> dict:
        *_, last = node._Node__parameters
        return {text(name): value for name, value in last.items()} if isinstance(last, dict) else {}

    assert own(started("fuse.launch.py")[0]) == {}
    assert own(started("fuse.launch.py", autostart="false")[0]) == {"autostart": False}


def test_a_replay_in_its_own_player_starts_all_at_once(tmp_path: Path) -> None:
    write_bag(SyntheticPairs(ImageSize(64, 48)), tmp_path / "bag", seconds=0.2, rgb_encoding="jpeg")
    actions = replayed(tmp_path / "bag", player="refinefuse", output=str(tmp_path / "out"))
    assert executables(actions) == ["fusion_node", "recorder", "bag_player"]
    assert isinstance(actions[0], LifecycleNode)


def test_a_replay_by_rosbag2_starts_it_once_the_node_is_active(tmp_path: Path) -> None:
    write_bag(SyntheticPairs(ImageSize(64, 48)), tmp_path / "bag", seconds=0.2)
    actions = replayed(tmp_path / "bag", player="ros2", namespace="car")
    assert executables(actions) == ["fusion_node", "recorder"]
    (waiting,) = (action for action in actions if isinstance(action, RegisterEventHandler))

    def after(said: bytes) -> ExecuteProcess | None:
        event = ProcessStderr(text=said, action=actions[1], name="recorder-2", cmd=[], cwd=None, env=None, pid=1)
        assert waiting.event_handler.matches(event)
        return waiting.event_handler.handle(event, LaunchContext())

    assert after(b"[INFO] [recorder]: waiting\n") is None
    command = ["".join(part.text for part in word) for word in after(b"[INFO]: the fusion node is active\n").cmd]
    assert command[:4] == ["ros2", "bag", "play", str(tmp_path / "bag")]
    assert "/rgb/image_raw:=/car/rgb/image_raw" in command
    assert after(b"[INFO]: the fusion node is active\n") is None


def test_a_bag_that_cannot_be_replayed_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="does not exist; give a bag's folder"):
        replayed(tmp_path / "none")


def test_a_process_that_fails_is_the_launch_s_failure() -> None:
    running, ending = SimpleNamespace(is_shutdown=False), SimpleNamespace(is_shutdown=True)
    ended = SimpleNamespace(process_name="recorder-2", returncode=0)
    failed = SimpleNamespace(process_name="recorder-2", returncode=1)
    assert isinstance(launching.end_with_node(ended, running), Shutdown)
    assert launching.end_with_node(failed, ending) is None
    assert launching.raise_if_failed(ended, running) is None
    for on_exit in (launching.end_with_node, launching.raise_if_failed):
        with pytest.raises(RuntimeError, match="recorder-2 ended with status 1"):
            on_exit(failed, running)
