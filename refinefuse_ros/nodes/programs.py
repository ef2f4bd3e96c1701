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

"""The installed programs: each node under its name, ended without a traceback also while it is being imported."""

from __future__ import annotations

from importlib import import_module


def fusion_node() -> int:
    return _run("fusion_node")


def camera_player() -> int:
    return _run("camera_player")


def faulty_camera() -> int:
    return _run("faulty_camera")


def bag_player() -> int:
    return _run("bag_player")


def bag_recorder() -> int:
    return _run("bag_recorder")


def recorder() -> int:
    return _run("recorder")


def viewer() -> int:
    return _run("viewer")


def _run(node: str) -> int:
    """The exit status. Importing OpenCV, rclpy and the engines takes a second, in which Ctrl-C may come."""
    try:
        main = import_module(f"refinefuse_ros.nodes.{node}").main
    except KeyboardInterrupt:
        return 0  # as once it runs
    return main()
