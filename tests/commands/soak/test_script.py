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

"""The script of a soak: the same for the same seed, everything once before anything twice."""

from __future__ import annotations

from itertools import islice

import pytest

from refinefuse_ros.commands.soak.script import ACTS, Says, script
from refinefuse_ros.stream.health import Level


def test_a_seed_gives_one_script_and_another_one_another() -> None:
    count = 2 * len(ACTS)
    first = list(islice(script(7), count))
    assert first == list(islice(script(7), count))
    assert first != list(islice(script(8), count))
    names = [act.name for act in first]
    assert sorted(names[: len(ACTS)]) == sorted(names[len(ACTS) :]) == sorted(ACTS)
    assert names[: len(ACTS)] != names[len(ACTS) :]


def test_only_what_is_named_is_played() -> None:
    assert {act.name for act in islice(script(1, ["rgb-stops", "reactivated"]), 10)} == {"rgb-stops", "reactivated"}


def test_the_faults_of_cameras_are_known_to_them() -> None:
    faults = pytest.importorskip("refinefuse_ros.nodes.camera_faults", reason="needs ROS 2's messages")
    for act in islice(script(1), len(ACTS)):
        for fault in act.cameras.values():
            assert faults.Fault.parse(fault).kind != "none"


@pytest.mark.parametrize(
    ("status", "level", "message", "fits"),
    [
        ("frames", Level.WARN, "RGB's stamps stand +150 ms from thermal's", True),
        ("frames", Level.ERROR, "RGB's stamps stand +150 ms from thermal's", True),
        ("frames", Level.OK, "RGB's stamps stand +150 ms from thermal's", False),
        ("rate", Level.WARN, "RGB's stamps stand +150 ms from thermal's", False),
        ("frames", Level.WARN, "The thermal camera sends nothing", False),
    ],
)
def test_what_is_said_must_fit(status: str, level: Level, message: str, fits: bool) -> None:
    assert Says("frames", r"stand \+1").fits(status, level, message) is fits
