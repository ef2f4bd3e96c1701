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

"""The images that a node fused while a bag was recorded, each found for the pair whose RGB stamp it carries."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from refinefuse_ros.image.codec import MalformedImage
from refinefuse_ros.image.frame import Frame
from refinefuse_ros.recordings.reading import to_frame
from refinefuse_ros.recordings.salvage import StoredMessage
from refinefuse_ros.stream.outcome import Pair
from refinefuse_ros.stream.timing import NS_PER_S

# How long a pair waits for its fused image and a fused image for its pair: half a second at 30 Hz.
_WAITING: Final = 16
_WAITING_BYTES: Final = 256 << 20
# An image that is later than a pair by more than this is of the time before the stamps jumped back.
_SAME_TAKE_NS: Final = 5 * NS_PER_S
_ENCODINGS: Final = ("bgr8", "rgb8", "bgra8", "rgba8", "8UC3", "mono8", "8UC1")

MatchedPair = tuple[Pair[Frame], Frame | None]


class FusedTopic:
    """The fused images of one topic.

    The recorder takes a fused image in some time after its sources, so that pairs have to wait for theirs: a while that
    is measured in pairs, so that it does not depend on how fast this runs.

    Attributes:
        name: of the topic.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._waiting: dict[int, Frame] = {}
        self._newest_ns = 0
        self._messages = 0
        self._unmatched = 0
        self._unusable = 0
        self._example = ""
        self._pairs = 0
        self._matched = 0

    def add(self, message: StoredMessage) -> None:
        """Take the topic's next message."""
        self._messages += 1
        try:
            frame = to_frame(message)
            if frame.encoding not in _ENCODINGS:
                raise MalformedImage("encoding", f"a fused image in {frame.encoding} cannot be scored; use bgr8.")
        except MalformedImage as error:
            self._refuse(str(error))
            return
        self._newest_ns = frame.stamp_ns
        self._unmatched += frame.stamp_ns in self._waiting
        self._waiting[frame.stamp_ns] = frame
        if len(self._waiting) > _WAITING:
            del self._waiting[next(iter(self._waiting))]
            self._unmatched += 1

    def match(self, pairs: Iterable[Pair[Frame]]) -> Iterator[MatchedPair]:
        """The pairs in their order, each with its fused image, if there is one."""
        waiting: deque[Pair[Frame]] = deque()
        size = 0
        for pair in pairs:
            waiting.append(pair)
            size += _bytes(pair)
            while waiting and (self._is_decided(waiting[0]) or len(waiting) > _WAITING or size > _WAITING_BYTES):
                size -= _bytes(waiting[0])
                yield self._decide(waiting.popleft())
        while waiting:
            yield self._decide(waiting.popleft())

    def losses(self) -> list[str]:
        """A sentence for each kind of image or pair that found no other."""
        sentences = []
        if self._unusable:
            sentences.append(
                f"{self._unusable} of {self._messages} images on {self.name} could not be used, the first because:"
                f" {self._example}"
            )
        if unmatched := self._unmatched + len(self._waiting):
            sentences.append(
                f"{unmatched} of {self._messages} images on {self.name} fit no pair: none has their stamp on its RGB"
                " frame."
            )
        if self._matched < self._pairs:
            sentences.append(
                f"{self._pairs - self._matched} of {self._pairs} pairs have no image on {self.name}, whose scores are"
                f" those of the other {self._matched}."
            )
        return sentences

    def _is_decided(self, pair: Pair[Frame]) -> bool:
        """Whether its image has come, or a later one: images are fused in the order of their stamps."""
        stamp_ns = pair.rgb.stamp_ns
        return stamp_ns in self._waiting or 0 < self._newest_ns - stamp_ns < _SAME_TAKE_NS

    def _decide(self, pair: Pair[Frame]) -> MatchedPair:
        self._pairs += 1
        frame = self._waiting.pop(pair.rgb.stamp_ns, None)
        if frame is not None and frame.size != pair.rgb.payload.size:
            self._refuse(f"it is {frame.size} where its RGB frame is {pair.rgb.payload.size}.")
            frame = None
        self._matched += frame is not None
        return pair, frame

    def _refuse(self, why: str) -> None:
        self._unusable += 1
        self._example = self._example or why


def _bytes(pair: Pair[Frame]) -> int:
    images: tuple[np.ndarray, ...] = (pair.thermal.payload.pixels, pair.rgb.payload.pixels)
    return sum(image.nbytes for image in images)
