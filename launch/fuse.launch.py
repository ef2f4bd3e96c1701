# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The fusion node, with cameras played from files or a synthetic scene, and RViz, if asked for.

ros2 launch refinefuse_ros fuse.launch.py                        the node, for real cameras
ros2 launch refinefuse_ros fuse.launch.py cameras:=synthetic     with two synthetic cameras
ros2 launch refinefuse_ros fuse.launch.py cameras:=FOLDER        with FOLDER/thermal and FOLDER/rgb played
ros2 launch refinefuse_ros fuse.launch.py rviz:=true             and RViz on the three images
"""

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable, Shutdown
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PythonExpression
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription
from refinefuse_ros.resources import PACKAGE, PROFILE_VARIABLES


def generate_launch_description() -> LaunchDescription:
    config = Path(get_package_share_directory(PACKAGE)) / "config"
    arguments = [
        DeclareLaunchArgument(
            "params_file", default_value=str(config / "fuse.yaml"), description="The node's parameters."
        ),
        DeclareLaunchArgument("namespace", default_value="", description="Namespace of every node and topic."),
        DeclareLaunchArgument("thermal", default_value="thermal", description="Topic prefix of the thermal camera."),
        DeclareLaunchArgument("rgb", default_value="rgb", description="Topic prefix of the RGB camera."),
        DeclareLaunchArgument(
            "autostart", default_value="true", description="Configure and activate at start; false leaves that to you."
        ),
        DeclareLaunchArgument("use_sim_time", default_value="false", description="Follow /clock, for bag replay."),
        DeclareLaunchArgument(
            "cameras",
            default_value="none",
            description="none, synthetic, or a folder with thermal/ and rgb/ to play as two cameras.",
        ),
        DeclareLaunchArgument("rviz", default_value="false", description="Open RViz on the three images."),
    ]
    # Every process of this launch moves large images: the shipped transport profile, unless the user chose one.
    profile = [
        SetEnvironmentVariable(PROFILE_VARIABLES[0], str(config / "fastdds_large_images.xml"))
        for _ in range(not any(os.environ.get(name) for name in PROFILE_VARIABLES))
    ]
    sim_time = {"use_sim_time": ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)}
    fusion = LifecycleNode(
        package=PACKAGE,
        executable="fusion_node",
        name="fusion",
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            LaunchConfiguration("params_file"),
            {"autostart": ParameterValue(LaunchConfiguration("autostart"), value_type=bool)},
            sim_time,
        ],
        remappings=[
            (f"{camera}/{topic}", [LaunchConfiguration(camera), f"/{topic}"])
            for camera in ("thermal", "rgb")
            for topic in ("image_raw", "camera_info", "image_raw/compressed")
        ],
        output="screen",
        # A second shutdown, while Ctrl-C's is under way, would be an error.
        on_exit=lambda event, context: None if context.is_shutdown else Shutdown(reason="the fusion node ended"),
    )
    cameras = Node(
        package=PACKAGE,
        executable="camera_player",
        namespace=LaunchConfiguration("namespace"),
        parameters=[{"source": LaunchConfiguration("cameras")}, sim_time],
        output="screen",
        condition=IfCondition(PythonExpression(["'", LaunchConfiguration("cameras"), "' != 'none'"])),
    )
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=LaunchConfiguration("namespace"),
        arguments=["-d", str(config / "fuse.rviz")],
        parameters=[sim_time],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
    return LaunchDescription([*arguments, *profile, fusion, cameras, rviz])
