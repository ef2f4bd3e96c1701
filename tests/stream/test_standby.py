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

"""A camera is shown alone when the other is missing or nothing pairs, and never for the moment of a start."""

from __future__ import annotations

import pytest

from refinefuse_ros.stream.health import CameraHealth
from refinefuse_ros.stream.outcome import Stream
from refinefuse_ros.stream.standby import Standby
from refinefuse_ros.stream.timing import NS_PER_MS


class Rig:
    """Two cameras with a timeout of a second, by a clock in ms."""

    def __init__(self) -> None:
        self.cameras = {stream: CameraHealth(timeout_ms=1000.0) for stream in Stream}
        self.standby = Standby(self.cameras)

    def stream(self, start_ms: int, end_ms: int, *streams: Stream, paired: bool = False, period_ms: int = 33) -> None:
        for ms in range(start_ms, end_ms, period_ms):
            for stream in streams:
                self.cameras[stream].arrived(ms * NS_PER_MS)
            if paired:
                self.standby.paired(ms * NS_PER_MS)

    def shows(self, stream: Stream, ms: int) -> bool:
        return self.standby.shows(stream, ms * NS_PER_MS)


def test_cameras_that_start_one_after_the_other_are_not_shown_alone() -> None:
    rig = Rig()
    rig.stream(0, 900, Stream.RGB)
    assert not rig.shows(Stream.RGB, 900)


def test_rgb_is_shown_where_no_thermal_camera_comes() -> None:
    rig = Rig()
    rig.stream(0, 1200, Stream.RGB)
    assert rig.shows(Stream.RGB, 1200)
    assert not rig.shows(Stream.THERMAL, 1200)


def test_rgb_is_shown_where_both_come_and_never_pair() -> None:
    rig = Rig()
    rig.stream(0, 1200, Stream.RGB, Stream.THERMAL)
    assert rig.shows(Stream.RGB, 1200)
    assert not rig.shows(Stream.THERMAL, 1200)


def test_once_frames_have_paired_rgb_stands_in_after_a_moment() -> None:
    rig = Rig()
    rig.stream(0, 3000, Stream.RGB, Stream.THERMAL, paired=True)
    rig.stream(3000, 3300, Stream.RGB)
    assert not rig.shows(Stream.RGB, 3100)
    assert rig.shows(Stream.RGB, 3200)


def test_a_slow_rgb_camera_may_lose_a_pair() -> None:
    rig = Rig()
    rig.stream(0, 3000, Stream.RGB, Stream.THERMAL, paired=True, period_ms=200)
    rig.stream(3000, 3201, Stream.RGB, period_ms=200)
    assert not rig.shows(Stream.RGB, 3300)
    assert rig.shows(Stream.RGB, 3400)


def test_cameras_that_come_back_together_are_not_shown_alone() -> None:
    rig = Rig()
    rig.stream(0, 3000, Stream.RGB, Stream.THERMAL, paired=True)
    rig.stream(9000, 9500, Stream.RGB)
    assert not rig.shows(Stream.RGB, 9500)
    rig.stream(9500, 10200, Stream.RGB)
    assert rig.shows(Stream.RGB, 10200)


def test_thermal_is_shown_only_when_rgb_is_gone_for_long() -> None:
    rig = Rig()
    rig.stream(0, 3000, Stream.RGB, Stream.THERMAL, paired=True)
    rig.stream(3000, 4100, Stream.THERMAL)
    assert not rig.shows(Stream.THERMAL, 3900)
    assert rig.shows(Stream.THERMAL, 4100)


@pytest.mark.parametrize("stream", list(Stream))
def test_a_clock_that_is_set_back_shows_nothing_alone_at_once(stream: Stream) -> None:
    rig = Rig()
    rig.stream(50_000, 53_000, Stream.RGB, Stream.THERMAL, paired=True)
    rig.stream(1000, 1200, Stream.RGB, Stream.THERMAL)
    assert not rig.shows(stream, 1200)
