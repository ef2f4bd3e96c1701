# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What the launch files share: the fusion node, RViz, their arguments and the DDS profile. Needs `launch_ros`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch.action import Action
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable, Shutdown
from launch.conditions import IfCondition
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node

from launch import LaunchContext
from refinefuse_ros.resources import PACKAGE, PROFILE_VARIABLES


def shared_arguments() -> list[DeclareLaunchArgument]:
    """params_file, namespace and rviz."""
    return [
        DeclareLaunchArgument(
            "params_file", default_value=str(_config("fuse.yaml")), description="The node's parameters."
        ),
        DeclareLaunchArgument("namespace", default_value="", description="Namespace of every node and topic."),
        DeclareLaunchArgument("rviz", default_value="false", description="Open RViz on the three images."),
    ]


def large_image_transport() -> list[Action]:
    """Every process of a launch moves large images: the shipped transport profile, unless the user chose one."""
    if any(os.environ.get(name) for name in PROFILE_VARIABLES):
        return []
    return [SetEnvironmentVariable(PROFILE_VARIABLES[0], str(_config("fastdds_large_images.xml")))]


def fusion_node(parameters: Mapping[str, Any], remappings: Iterable[tuple[Any, Any]] = ()) -> LifecycleNode:
    """The fusion node; with its end everything ends.

    Args:
        parameters: come after those of params_file.
        remappings: of its topics.
    """
    return LifecycleNode(
        package=PACKAGE,
        executable="fusion_node",
        name="fusion",
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params_file"), dict(parameters)],
        remappings=list(remappings),
        output="screen",
        on_exit=end_with_node,
    )


def rviz(use_sim_time: Any, remappings: Iterable[tuple[Any, Any]] = ()) -> Node:
    """RViz on the three images, where the argument rviz asks for it; `remappings` are of their topics."""
    return Node(
        package="rviz2",
        executable="rviz2",
        namespace=LaunchConfiguration("namespace"),
        arguments=["-d", str(_config("fuse.rviz"))],
        remappings=list(remappings),
        parameters=[{"use_sim_time": use_sim_time}],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )


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
