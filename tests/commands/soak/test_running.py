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

"""What the diagnostics said is held against what they should have said."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from refinefuse_ros.commands.soak.running import _furthest_ms, _judge_words
from refinefuse_ros.commands.soak.script import Act, Says
from refinefuse_ros.nodes.soak_observer import Report
from refinefuse_ros.nodes.statuses import Status

ACT = Act("rgb-freezes", 4.0, says=Says("rgb camera", "stands still"))


def report(message: str = "", level: int = 0, offset_ms: float | None = None) -> Report:
    offset = {} if offset_ms is None else {"sync_offset_ms_max": str(offset_ms)}
    return Report(
        0.0,
        {
            "rgb camera": Status(level, message, {}),
            "latency": Status(0, "", offset),
        },
    )


def test_one_report_with_fitting_words_is_enough() -> None:
    assert _judge_words(ACT, [report("It sends."), report("The picture stands still.", 1)]) == (True, "")


def test_what_was_said_instead_is_told_once_each() -> None:
    said, why = _judge_words(ACT, [report("It sends."), report("It sends."), report("It stands still.", 0)])
    assert not said
    assert why == "rgb camera should have said 'stands still', and said It sends. | It stands still."
    assert _judge_words(ACT, [])[1].endswith("and said nothing")


def test_the_furthest_pair_is_what_the_node_says() -> None:
    assert _furthest_ms(report()) == 0.0
    assert _furthest_ms(report(offset_ms=19.0)) == 19.0
