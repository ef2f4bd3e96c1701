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

"""What the launch files share: the fusion node, RViz, their arguments and the DDS profile. Needs `launch_ros`.

They are included in a robot's bringup too: nothing here changes what other processes of the same launch see or do, and
what cannot work is refused before the first process starts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix, get_package_share_directory
from launch.actions import DeclareLaunchArgument, Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node

from launch import LaunchContext
from refinefuse_ros.machine import has_screen
from refinefuse_ros.resources import PACKAGE, PROFILE_VARIABLES

VIEWERS = ("window", "page", "none")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


def shared_arguments() -> list[DeclareLaunchArgument]:
    """params_file, namespace, rviz and viewer."""
    return [
        DeclareLaunchArgument(
            "params_file", default_value=str(_config("fuse.yaml")), description="The node's parameters."
        ),
        DeclareLaunchArgument("namespace", default_value="", description="Namespace of every node and topic."),
        DeclareLaunchArgument("rviz", default_value="false", description="Open RViz on the three images."),
        DeclareLaunchArgument(
            "viewer", default_value="none", description="Show all in Rerun: window, page (for a browser), or none."
        ),
    ]


def large_image_transport() -> dict[str, str]:
    """The environment of a process that moves large images: the shipped transport profile, unless the user chose one.

    Fast DDS reads the first variable up to ROS 2 Jazzy and the second one later; each is looked at by itself.
    """
    profile = str(_config("fastdds_large_images.xml"))
    return {name: profile for name in PROFILE_VARIABLES if not os.environ.get(name)}


def given(context: LaunchContext, name: str) -> str:
    """An argument's value."""
    return LaunchConfiguration(name).perform(context)


def is_true(context: LaunchContext, name: str) -> bool:
    """A flag's value, written as in YAML or Python.

    Raises:
        RuntimeError: it is neither true nor false.
    """
    value = given(context, name)
    if value.lower() not in _FLAGS:
        raise RuntimeError(f"The argument {name} is '{value}'; give true or false.")
    return _FLAGS[value.lower()]


def check_shared(context: LaunchContext) -> None:
    """Refuse what would end the launch once its processes run.

    Raises:
        RuntimeError: there is no params_file, RViz is asked for and not installed, there is no such viewer, or no
            screen for its window.
    """
    params_file = Path(given(context, "params_file")).expanduser()
    if not params_file.is_file():
        raise RuntimeError(f"There is no params_file {params_file}; give the path of a YAML file.")
    if is_true(context, "rviz"):
        try:
            get_package_prefix("rviz2")
        except PackageNotFoundError as error:
            raise RuntimeError("rviz:=true needs the package rviz2; install ros-$ROS_DISTRO-rviz2.") from error
    viewer = given(context, "viewer")
    if viewer not in VIEWERS:
        raise RuntimeError(f"The argument viewer is '{viewer}'; give {', '.join(VIEWERS[:-1])} or {VIEWERS[-1]}.")
    # Whether rerun-sdk is installed only the nodes' own Python can tell.
    if viewer == "window" and not has_screen():
        raise RuntimeError("viewer:=window needs a screen (DISPLAY is not set); give viewer:=page.")


def fusion_node(
    parameters: Mapping[str, Any], remappings: Iterable[tuple[Any, Any]] = (), **options: Any
) -> LifecycleNode:
    """The fusion node.

    Args:
        parameters: come after those of params_file.
        remappings: of its topics.
        options: of `launch_ros`' nodes, such as `on_exit` and `respawn`.
    """
    return LifecycleNode(
        package=PACKAGE,
        executable="fusion_node",
        name="fusion",
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params_file"), dict(parameters)],
        remappings=list(remappings),
        output="screen",
        additional_env=large_image_transport(),
        **options,
    )


def _rviz(use_sim_time: bool, remappings: Iterable[tuple[Any, Any]] = ()) -> Node:
    """RViz on the three images; `remappings` are of their topics."""
    return Node(
        package="rviz2",
        executable="rviz2",
        namespace=LaunchConfiguration("namespace"),
        arguments=["-d", str(_config("fuse.rviz"))],
        remappings=list(remappings),
        parameters=[{"use_sim_time": use_sim_time}],
        additional_env=large_image_transport(),
    )


def looking(context: LaunchContext, use_sim_time: bool, remappings: Iterable[tuple[Any, Any]] = ()) -> list[Node]:
    """What shows the streams, as asked for: RViz, and the viewer; `remappings` are of their topics."""
    shown = [_rviz(use_sim_time, remappings)] if is_true(context, "rviz") else []
    viewer = given(context, "viewer")
    if viewer != "none":
        shown.append(
            Node(
                package=PACKAGE,
                executable="viewer",
                namespace=LaunchConfiguration("namespace"),
                parameters=[{"use_sim_time": use_sim_time, "show": viewer}],
                remappings=list(remappings),
                output="screen",
                additional_env=large_image_transport(),
            )
        )
    return shown


def end_with_node(event: ProcessExited, context: LaunchContext) -> Shutdown | None:
    """An `on_exit`: the launch ends with this process, and with status 1 where the process failed.

    Raises:
        RuntimeError: it failed; launch prints the sentence and makes it the status.
    """
    raise_if_failed(event, context)
    # A second shutdown, while Ctrl-C's is under way, would be an error.
    return None if context.is_shutdown else Shutdown(reason=f"{event.process_name} ended")


def raise_if_failed(event: ProcessExited, context: LaunchContext) -> None:
    """An `on_exit`: the launch goes on without this process, unless it failed.

    Raises:
        RuntimeError: it failed; launch prints the sentence, ends, and makes it the status.
    """
    if event.returncode and not context.is_shutdown:
        raise RuntimeError(f"{event.process_name} ended with status {event.returncode}; see what it said above.")


def _config(name: str) -> Path:
    return Path(get_package_share_directory(PACKAGE)) / "config" / name
