# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The launch files, loaded as `ros2 launch` does: what they start for which arguments, and how they end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("launch_ros", reason="needs ROS 2's launch_ros")

from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, RegisterEventHandler, Shutdown
from launch.events.process import ProcessStderr
from launch.launch_description_sources import get_launch_description_from_python_launch_file
from launch_ros.actions import LifecycleNode, Node

from launch import LaunchContext
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.sources import SyntheticPairs
from refinefuse_ros.nodes import launching
from refinefuse_ros.recordings.making import write_bag
from refinefuse_ros.recordings.storage import BagError
from refinefuse_ros.resources import shared_path


@pytest.fixture(autouse=True)
def checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package need not be installed in a ROS workspace."""
    share = shared_path("launch").parent
    monkeypatch.setattr(launching, "get_package_share_directory", lambda package: str(share))


def described(name: str) -> list:
    return get_launch_description_from_python_launch_file(str(shared_path(f"launch/{name}"))).entities


def replayed(bag: Path, **arguments: str) -> list:
    """What replay.launch.py starts."""
    context = LaunchContext()
    entities = described("replay.launch.py")
    for declared in entities:
        if isinstance(declared, DeclareLaunchArgument) and declared.default_value is not None:
            declared.execute(context)
    context.launch_configurations.update({"bag": str(bag), **arguments})
    (start,) = (entity for entity in entities if isinstance(entity, OpaqueFunction))
    return start.execute(context)


def executables(actions: list) -> list[str]:
    return [action.node_executable for action in actions if isinstance(action, Node)]


def test_the_fusion_launch_file_starts_the_node_and_what_is_asked_for() -> None:
    entities = described("fuse.launch.py")
    assert executables(entities) == ["fusion_node", "camera_player", "rviz2"]
    assert [entity.condition is None for entity in entities if isinstance(entity, Node)] == [True, False, False]
    names = {entity.name for entity in entities if isinstance(entity, DeclareLaunchArgument)}
    assert names >= {"params_file", "namespace", "rviz", "thermal", "rgb", "autostart", "use_sim_time", "cameras"}


def test_a_replay_in_its_own_player_starts_all_at_once(tmp_path: Path) -> None:
    write_bag(SyntheticPairs(ImageSize(64, 48)), tmp_path / "bag", seconds=0.2, rgb_encoding="jpeg")
    actions = replayed(tmp_path / "bag", player="refinefuse", output=str(tmp_path / "out"))
    assert executables(actions) == ["fusion_node", "recorder", "bag_player", "rviz2"]
    assert isinstance(actions[0], LifecycleNode)


def test_a_replay_by_rosbag2_starts_it_once_the_node_is_active(tmp_path: Path) -> None:
    write_bag(SyntheticPairs(ImageSize(64, 48)), tmp_path / "bag", seconds=0.2)
    actions = replayed(tmp_path / "bag", player="ros2", namespace="car")
    assert executables(actions) == ["fusion_node", "recorder", "rviz2"]
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
