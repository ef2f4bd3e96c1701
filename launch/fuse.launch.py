# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The fusion node, with cameras played from files or a synthetic scene, and RViz, if asked for.

ros2 launch refinefuse_ros fuse.launch.py                        the node, for real cameras
ros2 launch refinefuse_ros fuse.launch.py cameras:=synthetic     with two synthetic cameras
ros2 launch refinefuse_ros fuse.launch.py cameras:=FOLDER        with FOLDER/thermal and FOLDER/rgb played
ros2 launch refinefuse_ros fuse.launch.py rviz:=true             and RViz on the three images
"""

from launch.actions import DeclareLaunchArgument
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PythonExpression
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription
from refinefuse_ros.nodes.launching import fusion_node, large_image_transport, raise_if_failed, rviz, shared_arguments
from refinefuse_ros.resources import PACKAGE


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument("thermal", default_value="thermal", description="Topic prefix of the thermal camera."),
        DeclareLaunchArgument("rgb", default_value="rgb", description="Topic prefix of the RGB camera."),
        DeclareLaunchArgument(
            "autostart",
            default_value="true",
            description="Configure and activate at start; false leaves that to you. Goes before params_file's.",
        ),
        DeclareLaunchArgument(
            "use_sim_time",
            default_value="false",
            description="Follow /clock, for bag replay. Goes before params_file's.",
        ),
        DeclareLaunchArgument(
            "cameras",
            default_value="none",
            description="none, synthetic, or a folder with thermal/ and rgb/ to play as two cameras.",
        ),
    ]
    use_sim_time = ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)
    autostart = ParameterValue(LaunchConfiguration("autostart"), value_type=bool)
    camera_topics = [
        (f"{camera}/{topic}", [LaunchConfiguration(camera), f"/{topic}"])
        for camera in ("thermal", "rgb")
        for topic in ("image_raw", "camera_info", "image_raw/compressed")
    ]
    fusion = fusion_node(
        {"autostart": autostart, "use_sim_time": use_sim_time},
        camera_topics,
    )
    cameras = Node(
        package=PACKAGE,
        executable="camera_player",
        namespace=LaunchConfiguration("namespace"),
        parameters=[{"source": LaunchConfiguration("cameras"), "use_sim_time": use_sim_time}],
        remappings=camera_topics,
        output="screen",
        on_exit=raise_if_failed,
        condition=IfCondition(PythonExpression(["'", LaunchConfiguration("cameras"), "' != 'none'"])),
    )
    return LaunchDescription(
        [*shared_arguments(), *arguments, *large_image_transport(), fusion, cameras, rviz(use_sim_time, camera_topics)]
    )
