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

"""A live node's fused images find the pairs whose RGB stamp they carry, and everything else is counted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from refinefuse_ros.evaluation.fused_topic import FusedTopic
from refinefuse_ros.image.frame import Frame
from refinefuse_ros.recordings.making import image_message
from refinefuse_ros.recordings.reading import IMAGE, ros_types
from refinefuse_ros.recordings.salvage import StoredMessage
from refinefuse_ros.stream.outcome import Pair, Stamped

MS = 1_000_000


def fused(stamp_ms: int, encoding: str = "bgr8", side: int = 4) -> StoredMessage:
    pixels = np.zeros((side, side, 3), np.uint8)
    if encoding == "mono16":
        pixels = np.zeros((side, side), np.uint16)
    message = image_message(Frame(stamp_ms * MS, "rgb", encoding, pixels))
    return StoredMessage("/fused", IMAGE, 0, bytes(ros_types().serialize_cdr(message, IMAGE)))


def pair(stamp_ms: int) -> Pair[Frame]:
    frame = Frame(stamp_ms * MS, "rgb", "bgr8", np.zeros((4, 4, 3), np.uint8))
    return Pair(Stamped(frame.stamp_ns, frame), Stamped(frame.stamp_ns, frame))


def run(topic: FusedTopic, events: list[StoredMessage | Pair[Frame]]) -> list[tuple[int, bool]]:
    """RGB stamp in ms, and whether its image was found, of each pair that comes among the messages."""

    def pairs() -> Iterator[Pair[Frame]]:
        for event in events:
            if isinstance(event, Pair):
                yield event
            else:
                topic.add(event)

    return [(found.rgb.stamp_ns // MS, frame is not None) for found, frame in topic.match(pairs())]


def test_images_are_found_before_and_after_their_pair_was_formed() -> None:
    topic = FusedTopic("/fused")
    assert run(topic, [pair(1), fused(1), fused(2), pair(2), pair(3), pair(4), fused(3), fused(4)]) == [
        (1, True),
        (2, True),
        (3, True),
        (4, True),
    ]
    assert topic.losses() == []


def test_what_fits_nothing_is_said_and_pairs_without_an_image_too() -> None:
    topic = FusedTopic("/fused")
    events = [pair(10), fused(11), pair(20), fused(20), pair(30), fused(30, "mono16"), pair(40), fused(40, side=6)]
    assert run(topic, events) == [(10, False), (20, True), (30, False), (40, False)]
    assert topic.losses() == [
        "2 of 4 images on /fused could not be used, the first because: a fused image in mono16 cannot be scored; use"
        " bgr8.",
        "1 of 4 images on /fused fit no pair: none has their stamp on its RGB frame.",
        "3 of 4 pairs have no image on /fused, whose scores are those of the other 1.",
    ]


def test_a_pair_does_not_wait_for_ever() -> None:
    topic = FusedTopic("/fused")
    taken = []

    def pairs() -> Iterator[Pair[Frame]]:
        for stamp_ms in range(1, 200):
            taken.append(stamp_ms)
            yield pair(stamp_ms)

    matched = topic.match(pairs())
    assert next(matched)[0].rgb.stamp_ns == MS
    assert len(taken) < 20


def test_a_recording_that_starts_over_is_matched_in_both_rounds() -> None:
    topic = FusedTopic("/fused")
    events = [pair(60_000), fused(60_000), pair(100), pair(133), fused(100), fused(133)]
    assert run(topic, events) == [(60_000, True), (100, True), (133, True)]
