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

"""Whether a frame shows anything new: a closed shutter, a stuck driver and a lost sensor send pictures without news."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

from refinefuse_ros.stream.outcome import RejectReason, Stream
from refinefuse_ros.stream.timing import NS_PER_S

# A picture that comes again is frozen once it is so old, ns, where no held frame serves in its place.
FROZEN_NS: Final = NS_PER_S // 2
# So many changes make a camera one whose pictures differ. One that has never changed may be a picture on a desk.
NEWS_NEEDED: Final = 3
# A shutter is closed for a second or two. What stays flat longer is what the camera sees.
FLAT_NS: Final = 5 * NS_PER_S


@dataclass
class _Watched:
    """What is known of one camera.

    Attributes:
        changed_ns: when its picture last changed; None before the first.
        news: how often it did.
        news_of_other: how often the other camera's had, when it last did.
        flat_since_ns: since when its pictures have been flat; None while they are not.
    """

    changed_ns: int | None = None
    news: int = 0
    news_of_other: int = 0
    flat_since_ns: int | None = None


class Novelty:
    """Judges the pictures of both cameras, each in the light of the other. Thread-safe.

    A sensor's noise makes every picture differ from the last, so one that is the same to the last bit is the same
    picture. Where nothing moves in the other camera's stream either, a still is being played, and both are right; so is
    a camera that has never shown anything else.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched = {stream: _Watched() for stream in Stream}

    def judge(self, stream: Stream, repeated: bool, flat: bool, now_ns: int, holds: bool) -> RejectReason | None:
        """Why a frame that came at `now_ns` is no news; None where it is.

        Args:
            stream: its camera.
            repeated: it is the picture before it, to the last bit.
            flat: it has none of the contrast that its camera's pictures have.
            now_ns: by the node's clock.
            holds: whether the frame before serves in its place for a while (`sync.thermal_hold_ms`).
        """
        with self._lock:
            watched, other = self._watched[stream], self._watched[stream.other]
            if repeated and watched.changed_ns is not None:
                return self._repeated(watched, other, now_ns, holds)
            watched.changed_ns = now_ns
            watched.news += 1
            watched.news_of_other = other.news
            return self._flat(watched, flat, now_ns)

    def _repeated(self, watched: _Watched, other: _Watched, now_ns: int, holds: bool) -> RejectReason | None:
        if watched.changed_ns > now_ns:  # the clock was set back
            watched.changed_ns = now_ns
        if watched.news < NEWS_NEEDED:
            return None
        # One change of the other's may have happened before this one's, and only have come after it.
        if other.news - watched.news_of_other < 2:
            return None
        if not holds and now_ns - watched.changed_ns <= FROZEN_NS:
            return None
        return RejectReason.FROZEN

    def _flat(self, watched: _Watched, flat: bool, now_ns: int) -> RejectReason | None:
        if not flat:
            watched.flat_since_ns = None
            return None
        if watched.flat_since_ns is None or watched.flat_since_ns > now_ns:
            watched.flat_since_ns = now_ns
        return RejectReason.FLAT if now_ns - watched.flat_since_ns <= FLAT_NS else None
