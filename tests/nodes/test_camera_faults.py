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

"""Each fault makes of good frames what a broken camera would send, and leaves the good frames as they are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from refinefuse_ros.image.codec import MalformedImage
from refinefuse_ros.image.frame import Frame
from refinefuse_ros.nodes.camera_faults import BURST, BURST_CYCLE, KINDS, Due, Fault, FaultyPictures, Moment
from refinefuse_ros.nodes.messages import to_frame, to_image, to_ns

PERIOD_NS = 50_000_000
GOOD = [
    to_image(Frame(0, "thermal", "mono16", np.random.default_rng(seed).integers(0, 2**16, (8, 10), np.uint16)))
    for seed in range(4)
]
SMALL = [to_image(Frame(0, "thermal", "mono16", np.full((4, 5), 7, np.uint16)))]


def publish(fault: str, numbers: range = range(40)) -> list[list[Due]]:
    """What is due at each of the frames."""
    pictures = FaultyPictures(SMALL)
    moments = [Moment(number, number * PERIOD_NS, GOOD[number % 4]) for number in numbers]
    before = [bytes(picture.data) for picture in GOOD]
    due = [pictures.publish(Fault.parse(fault), moment) for moment in moments]
    assert [bytes(picture.data) for picture in GOOD] == before
    assert all(to_ns(picture.header.stamp) == 0 for picture in GOOD)
    return due


def lags_ns(due: list[list[Due]]) -> list[tuple[int, int]]:
    """Of each frame: how long after its exposure it is published, and how far its stamp is off."""
    return [
        (one.at_ns - number * PERIOD_NS, to_ns(one.message.header.stamp) - number * PERIOD_NS)
        for number, (one,) in enumerate(due)
    ]


def test_a_camera_that_works_sends_every_frame_in_time() -> None:
    due = publish("none")
    assert set(lags_ns(due)) == {(0, 0)}
    assert [one.message.data for (one,) in due] == [GOOD[number % 4].data for number in range(40)]


def test_a_camera_that_stops_or_loses_bursts_leaves_frames_out() -> None:
    assert not any(publish("stop"))
    came = [bool(due) for due in publish("bursts")]
    assert came == ([False] * BURST + [True] * (BURST_CYCLE - BURST)) * 2


def test_a_frozen_camera_shows_its_last_picture_under_new_stamps() -> None:
    pictures = FaultyPictures(SMALL)
    pictures.publish(Fault(), Moment(1, PERIOD_NS, GOOD[1]))
    frozen = [pictures.publish(Fault("freeze"), Moment(n, n * PERIOD_NS, GOOD[n % 4])) for n in range(2, 9)]
    assert all(one.message.data == GOOD[1].data for (one,) in frozen)
    assert [to_ns(one.message.header.stamp) for (one,) in frozen] == [n * PERIOD_NS for n in range(2, 9)]


def test_a_flat_picture_has_no_contrast_and_is_never_the_same() -> None:
    flat = [to_frame(one.message).pixels for (one,) in publish("flat")]
    assert all(pixels.std() == 0 for pixels in flat)
    assert all((one != other).any() for one, other in pairwise(flat))


def test_delays_and_clocks() -> None:
    assert set(lags_ns(publish("late 150"))) == {(150_000_000, 0)}
    assert set(lags_ns(publish("jump 0.6"))) == {(0, 600_000_000)}
    assert all(to_ns(one.message.header.stamp) == 0 for (one,) in publish("unstamped"))


def test_reordered_frames_all_come_some_after_the_next() -> None:
    due = publish("reorder")
    stamps = [to_ns(one.message.header.stamp) // PERIOD_NS for of_moment in due for one in of_moment]
    assert stamps[:8] == [1, 0, 2, 3, 5, 4, 6, 7]
    assert {one.at_ns // PERIOD_NS - number for number, of_moment in enumerate(due) for one in of_moment} == {0}


def test_garbage_cannot_be_used_and_mixed_with_good_frames_it_can() -> None:
    for (one,) in publish("garbage"):
        with pytest.raises(MalformedImage):
            to_frame(one.message)
    good = 0
    for (one,) in publish("mixed"):
        try:
            good += to_frame(one.message).size == (10, 8)
        except MalformedImage:
            continue
    assert 20 <= good < 40


def test_a_camera_may_change_its_size() -> None:
    assert {to_frame(one.message).size for (one,) in publish("resize")} == {(5, 4)}


@pytest.mark.parametrize("text", ["explode", "late soon", "late 1 2"])
def test_what_is_no_fault_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=text.split()[0]):
        Fault.parse(text)


def test_faults_are_parsed() -> None:
    assert Fault.parse("late 150") == Fault("late", 150.0)
    assert {Fault.parse(kind).kind for kind in KINDS} == set(KINDS)
