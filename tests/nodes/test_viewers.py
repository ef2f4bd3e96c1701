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

"""The files for other tools name topics, statuses and values that there are."""

from __future__ import annotations

import json
import re

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from refinefuse_ros.resources import shared_path


def test_the_foxglove_layout_shows_what_is_published() -> None:
    layout = json.loads(shared_path("config/fuse.foxglove.json").read_text())
    panels = layout["configById"]
    shown = set(re.findall(r'"(\w+!\w+)"', json.dumps(layout["layout"])))
    assert shown == set(panels)
    images = {panel["imageMode"]["imageTopic"] for name, panel in panels.items() if name.startswith("Image!")}
    assert images == {"/thermal/image_raw", "/rgb/image_raw", "/fused/image_raw"}


def test_its_plots_and_the_aggregator_name_statuses_of_the_node(node) -> None:
    from refinefuse_ros.nodes.statuses import statuses_of

    node.trigger_configure()
    node.trigger_activate()
    collected = node._monitor.collect(node._look(10**9)).array
    statuses = statuses_of(collected, "/fusion")
    layout = json.loads(shared_path("config/fuse.foxglove.json").read_text())
    plotted = re.findall(r'name==\\"/fusion: ([a-z ]+)\\"\}\.values\[:\]\{key==\\"(\w+)\\"', json.dumps(layout))
    assert len(plotted) == 6
    assert {status for status, _ in plotted} <= statuses.keys()
    analyzers = yaml.safe_load(shared_path("config/diagnostics.yaml").read_text())["analyzers"]["ros__parameters"]
    (part,) = analyzers["fusion"]["contains"]
    assert all(part in status.name for status in collected.status)
