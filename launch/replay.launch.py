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

"""A recording played live through the fusion node, in the recording's time; at its end comes the verdict, and the end.

ros2 launch refinefuse_ros replay.launch.py bag:=BAG                        leaves out/replay
ros2 launch refinefuse_ros replay.launch.py bag:=BAG rviz:=true             with RViz on the three images
ros2 launch refinefuse_ros replay.launch.py bag:=BAG player:=refinefuse     measures each frame's latency too
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch.action import Action
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessIO
from launch.events.process import ProcessIO
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from refinefuse_ros.nodes.launching import (
    check_shared,
    end_with_node,
    fusion_node,
    given,
    large_image_transport,
    looking,
    raise_if_failed,
    shared_arguments,
)
from refinefuse_ros.resources import PACKAGE

if TYPE_CHECKING:
    from refinefuse_ros.recordings.replaying import Replay

# What the recorder says once the fusion node's diagnostics come.
ACTIVE = b"the fusion node is active"
# `ros2 bag play` does not wait for its readers: discovery takes up to 2.7 s on a slow machine.
DISCOVERY_S = "3"
CLOCK_HZ = "100"


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument("bag", description="The recording: a bag's folder, or its .mcap or .db3 file."),
        DeclareLaunchArgument(
            "thermal_topic", default_value="", description="The bag's thermal images; empty guesses by name."
        ),
        DeclareLaunchArgument("rgb_topic", default_value="", description="The bag's RGB images, likewise."),
        DeclareLaunchArgument(
            "player",
            default_value="auto",
            choices=["auto", "ros2", "refinefuse"],
            description="What plays: ros2 bag play, or refinefuse's bag_player; auto takes the former where it is.",
        ),
        DeclareLaunchArgument(
            "output", default_value="out/replay", description="Folder for fused.mp4, contact_sheet.png, report.json."
        ),
    ]
    return LaunchDescription([*shared_arguments(), *arguments, OpaqueFunction(function=replay)])


def replay(context: LaunchContext) -> list[Action]:
    """The nodes, for the bag that the arguments name."""
    from refinefuse_ros.recordings.replaying import replay_of  # here, because --show-args needs no rosbags

    check_shared(context)
    bag = Path(given(context, "bag")).expanduser()
    found = replay_of(bag, given(context, "thermal_topic") or None, given(context, "rgb_topic") or None)
    output = Path(given(context, "output")).expanduser()
    player = given(context, "player")
    own_player = player == "refinefuse" or (player == "auto" and not _rosbag2_is_installed())
    sent_times = {"sent_times": str(output / "sent_times.json")} if own_player else {}
    recorder = Node(
        package=PACKAGE,
        executable="recorder",
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            {
                "output": str(output),
                "source": str(bag),
                "replay": True,
                "duration_s": found.seconds,
                "use_sim_time": True,
                **sent_times,
            }
        ],
        output="screen",
        on_exit=end_with_node,
        additional_env=large_image_transport(),
    )
    playing = (
        _own_player(found, sent_times) if own_player else _start_when_active(recorder, _ros2_player(found, context))
    )
    fusion = fusion_node({**found.transports, "autostart": True, "use_sim_time": True}, on_exit=end_with_node)
    return [fusion, recorder, playing, *looking(context, True)]


def _own_player(found: Replay, sent_times: dict[str, str]) -> Node:
    return Node(
        package=PACKAGE,
        executable="bag_player",
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            {
                "bag": str(found.reader.path),
                **found.topics,
                **sent_times,
                "clock": True,
                "exit_at_end": True,
                "wait_for_subscribers": 2,
            }
        ],
        output="screen",
        on_exit=raise_if_failed,
        additional_env=large_image_transport(),
    )


def _ros2_player(found: Replay, context: LaunchContext) -> ExecuteProcess:
    """`ros2 bag play` of the two cameras, under the names that the fusion node subscribes."""
    namespace = given(context, "namespace").strip("/")
    prefix = f"/{namespace}" if namespace else ""
    topics = {name: prefix + target for name, target in found.node_topics.items()}
    renamed = [f"{name}:={target}" for name, target in topics.items() if name != target]
    return ExecuteProcess(
        cmd=[
            *("ros2", "bag", "play", str(found.reader.path), "--clock", CLOCK_HZ, "--delay", DISCOVERY_S),
            *("--disable-keyboard-controls", "--topics", *topics),
            *(["--remap", *renamed] if renamed else []),
        ],
        output="screen",
        on_exit=raise_if_failed,
        additional_env=large_image_transport(),
    )


def _start_when_active(recorder: Node, player: ExecuteProcess) -> RegisterEventHandler:
    started = []

    def on_output(event: ProcessIO) -> ExecuteProcess | None:
        if ACTIVE not in event.text or started:
            return None
        started.append(player)
        return player

    return RegisterEventHandler(OnProcessIO(target_action=recorder, on_stdout=on_output, on_stderr=on_output))


def _rosbag2_is_installed() -> bool:
    try:
        return all(map(get_package_prefix, ("ros2bag", "rosbag2_transport")))
    except PackageNotFoundError:
        return False
