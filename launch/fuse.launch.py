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

"""The fusion node, with cameras played from files or a synthetic scene, and RViz, if asked for.

ros2 launch refinefuse_ros fuse.launch.py                        the node, for real cameras
ros2 launch refinefuse_ros fuse.launch.py cameras:=synthetic     with two synthetic cameras
ros2 launch refinefuse_ros fuse.launch.py cameras:=FOLDER        with FOLDER/thermal and FOLDER/rgb played
ros2 launch refinefuse_ros fuse.launch.py rviz:=true             and RViz on the three images
ros2 launch refinefuse_ros fuse.launch.py viewer:=page           and pictures and diagnostics in a browser

Included in a robot's bringup it leaves the rest of the launch alone: if the node dies, the launch goes on
(`end_with_node`, `respawn`), and its environment is its own.
"""

from pathlib import Path

from launch.action import Action
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from refinefuse_ros.nodes.launching import (
    check_shared,
    end_with_node,
    fusion_node,
    given,
    is_true,
    large_image_transport,
    looking,
    raise_if_failed,
    shared_arguments,
)
from refinefuse_ros.resources import PACKAGE

RESPAWN_DELAY_S = 2.0
CAMERAS = ("thermal", "rgb")


def generate_launch_description() -> LaunchDescription:
    arguments = [
        *(
            DeclareLaunchArgument(camera, default_value=camera, description=f"Topic prefix of the {title} camera.")
            for camera, title in zip(CAMERAS, ("thermal", "RGB"), strict=True)
        ),
        *(
            DeclareLaunchArgument(
                f"{camera}_topic",
                default_value="",
                description=f"Whole name of the {camera} images, where it is not PREFIX/image_raw; CameraInfo and"
                " compressed images are looked for beside it.",
            )
            for camera in CAMERAS
        ),
        DeclareLaunchArgument(
            "fused_topic", default_value="", description="Whole name of the fused images; empty is fused/image_raw."
        ),
        DeclareLaunchArgument(
            "autostart",
            default_value="",
            description="Configure and activate at start; false leaves that to you. Empty takes params_file's.",
        ),
        DeclareLaunchArgument(
            "use_sim_time",
            default_value="",
            description="Follow /clock, for bag replay. Empty takes params_file's, and for the others false.",
        ),
        DeclareLaunchArgument(
            "cameras",
            default_value="none",
            description="none, synthetic, or a folder with thermal/ and rgb/ to play as two cameras.",
        ),
        DeclareLaunchArgument(
            "end_with_node", default_value="false", description="End the launch when the fusion node ends."
        ),
        DeclareLaunchArgument("respawn", default_value="false", description="Start the fusion node again if it ends."),
    ]
    return LaunchDescription([*shared_arguments(), *arguments, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[Action]:
    """What the arguments ask for, once all of it is known to be there."""
    check_shared(context)
    flags = {name: is_true(context, name) for name in ("autostart", "use_sim_time") if given(context, name)}
    use_sim_time = flags.get("use_sim_time", False)
    camera_topics = [remapping for camera in CAMERAS for remapping in _camera_remappings(context, camera)]
    fused_topic = given(context, "fused_topic")
    fused_topics = _remappings("fused", fused_topic) if fused_topic else []
    ending, respawn = is_true(context, "end_with_node"), is_true(context, "respawn")
    if ending and respawn:
        raise RuntimeError("end_with_node and respawn exclude each other; give one of them.")
    fusion = fusion_node(
        flags,
        [*camera_topics, *fused_topics],
        respawn=respawn,
        respawn_delay=RESPAWN_DELAY_S,
        on_exit=end_with_node if ending else None,
    )
    return [
        fusion,
        *_cameras(context, camera_topics, use_sim_time),
        *looking(context, use_sim_time, [*camera_topics, *fused_topics]),
    ]


def _camera_remappings(context: LaunchContext, camera: str) -> list[tuple[str, str]]:
    return _remappings(camera, given(context, f"{camera}_topic") or f"{given(context, camera).rstrip('/')}/image_raw")


def _remappings(prefix: str, image: str) -> list[tuple[str, str]]:
    """Of an image topic to `image`, and of what belongs to it, as image_transport names them."""
    folder, slash, _ = image.rpartition("/")
    return [
        (f"{prefix}/image_raw", image),
        (f"{prefix}/image_raw/compressed", f"{image}/compressed"),
        (f"{prefix}/camera_info", f"{folder}{slash}camera_info"),
    ]


def _cameras(context: LaunchContext, topics: list[tuple[str, str]], use_sim_time: bool) -> list[Node]:
    source = given(context, "cameras")
    if source == "none":
        return []
    if source != "synthetic" and not Path(source).expanduser().is_dir():
        raise RuntimeError(f"cameras is '{source}'; give none, synthetic, or a folder with thermal/ and rgb/.")
    return [
        Node(
            package=PACKAGE,
            executable="camera_player",
            namespace=LaunchConfiguration("namespace"),
            parameters=[{"source": source, "use_sim_time": use_sim_time}],
            remappings=topics,
            output="screen",
            on_exit=raise_if_failed,
            additional_env=large_image_transport(),
        )
    ]
