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

"""A picture that comes again is no news, unless nothing moves in the other camera's either; a flat one neither."""

from __future__ import annotations

from refinefuse_ros.stream.novelty import FLAT_NS, FROZEN_NS, Novelty
from refinefuse_ros.stream.outcome import RejectReason, Stream
from refinefuse_ros.stream.timing import NS_PER_MS, NS_PER_S


class Watched:
    """A novelty judge, and the verdicts of a stream's frames at 10 Hz."""

    def __init__(self) -> None:
        self.novelty = Novelty()
        self.now_ns = 0

    def frames(self, stream: Stream, count: int, repeated: bool = False, flat: bool = False, holds: bool = True):
        """Judge `count` frames of `stream`, between new ones of the other camera."""
        verdicts = []
        for _ in range(count):
            self.now_ns += 100 * NS_PER_MS
            self.novelty.judge(stream.other, False, False, self.now_ns, holds)
            verdicts.append(self.novelty.judge(stream, repeated, flat, self.now_ns, holds))
        return verdicts


def test_new_pictures_are_news() -> None:
    assert set(Watched().frames(Stream.THERMAL, 20)) == {None}


def test_a_repeated_picture_is_frozen_at_once_where_a_held_one_serves() -> None:
    watched = Watched()
    watched.frames(Stream.THERMAL, 3)
    assert watched.frames(Stream.THERMAL, 5, repeated=True)[1:] == [RejectReason.FROZEN] * 4
    assert watched.frames(Stream.THERMAL, 1) == [None]


def test_without_a_held_one_it_is_frozen_after_a_while() -> None:
    watched = Watched()
    watched.frames(Stream.RGB, 3, holds=False)
    verdicts = watched.frames(Stream.RGB, 10, repeated=True, holds=False)
    tolerated = FROZEN_NS // (100 * NS_PER_MS)
    assert verdicts == [None] * tolerated + [RejectReason.FROZEN] * (10 - tolerated)


def test_a_still_that_is_played_is_fused() -> None:
    novelty = Novelty()
    for number in range(100):
        for stream in Stream:
            repeated = number > 0
            assert novelty.judge(stream, repeated, False, number * 100 * NS_PER_MS, True) is None


def test_a_camera_that_never_changed_is_right() -> None:
    watched = Watched()
    watched.frames(Stream.THERMAL, 1)
    assert set(watched.frames(Stream.THERMAL, 50, repeated=True)) == {None}


def test_one_change_of_the_other_camera_is_no_proof() -> None:
    novelty = Novelty()
    for stream in (*Stream, *Stream, *Stream):
        novelty.judge(stream, False, False, NS_PER_S, True)
    assert novelty.judge(Stream.THERMAL, True, False, 2 * NS_PER_S, True) is None


def test_a_flat_picture_is_refused_for_as_long_as_a_shutter_is_closed() -> None:
    watched = Watched()
    watched.frames(Stream.THERMAL, 3)
    verdicts = watched.frames(Stream.THERMAL, 60, flat=True)
    closed = FLAT_NS // (100 * NS_PER_MS) + 1
    assert verdicts == [RejectReason.FLAT] * closed + [None] * (60 - closed)
    assert watched.frames(Stream.THERMAL, 1) == [None]
    assert watched.frames(Stream.THERMAL, 1, flat=True) == [RejectReason.FLAT]


def test_a_clock_that_is_set_back_is_survived() -> None:
    novelty = Novelty()
    for _ in range(3):
        novelty.judge(Stream.RGB, False, False, 100 * NS_PER_S, False)
    for _ in range(3):
        novelty.judge(Stream.THERMAL, False, False, 100 * NS_PER_S, False)
    assert novelty.judge(Stream.RGB, True, False, NS_PER_S, False) is None
    assert novelty.judge(Stream.RGB, True, False, NS_PER_S + FROZEN_NS + 1, False) is RejectReason.FROZEN
