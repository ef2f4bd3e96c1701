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

"""Lost frames are told by the gaps in the stamps, whatever the rate."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from refinefuse_ros.nodes.live_survey import _lost


@pytest.mark.parametrize("period_ns", [33_000_000, 111_000_000])
def test_every_gap_counts_by_its_length(period_ns: int) -> None:
    stamps = [number * period_ns + (number % 3) * 1_000_000 for number in range(50)]
    assert _lost(stamps) == 0
    assert _lost([stamp for number, stamp in enumerate(stamps) if number not in (10, 20, 21, 22, 30)]) == pytest.approx(
        5 / 49
    )


def test_a_few_stamps_say_nothing() -> None:
    assert _lost([]) is None
    assert _lost([1, 2, 3]) is None
