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

"""Keeps a deadline by giving up quality: a step down where it is missed for long, up again where there is room."""

from __future__ import annotations

import threading
from typing import Final

from refinefuse_ros.stream.timing import NS_PER_S, percentile

# The deadline is missed for so long before a step down; after any step nothing is judged for as long.
DOWN_NS: Final = 3 * NS_PER_S
# There is room for a better step where work took no longer than this part of the deadline, for so long.
ROOM: Final = 0.5
UP_NS: Final = 30 * NS_PER_S
# After each step up that did not hold it is tried again only after twice as long, up to this.
UP_WITHIN_NS: Final = 600 * NS_PER_S
# A step up has held once it has kept the deadline for so long.
HELD_NS: Final = 60 * NS_PER_S
# The slowest engine makes an image in less than this; without one for longer, nothing is asked of it.
PAUSE_NS: Final = 10 * NS_PER_S


class Governor:
    """Chooses a step: 0 is the best, each further one is faster and worse. Thread-safe.

    Work is added as it is done; `judge` looks at what came since the last look, about once a second.

    Attributes:
        step: the one in use.

    Args:
        steps: how many there are, >= 1.
    """

    def __init__(self, steps: int) -> None:
        self._lock = threading.Lock()
        self._steps = steps
        self._taken_ms: list[float] = []
        self.step = 0
        self._stepped_ns: int | None = None  # when the step was last changed
        self._stepped_up = False
        self._added_ns: int | None = None  # when a look last saw images
        self._missed_since_ns: int | None = None
        self._room_since_ns: int | None = None
        self._up_after_ns = UP_NS

    def add(self, taken_ms: float) -> None:
        """An image was made in so long, ms, from the arrival of its frames on."""
        with self._lock:
            self._taken_ms.append(taken_ms)

    def judge(self, deadline_ms: float, now_ns: int) -> bool:
        """Whether `step` has changed, by what was added since the last look.

        Args:
            deadline_ms: the 99th percentile is to be no longer.
            now_ns: by a clock that does not go back.
        """
        with self._lock:
            taken_ms, self._taken_ms = sorted(self._taken_ms), []
        if self._stepped_ns is not None and now_ns - self._stepped_ns < DOWN_NS:
            return False  # an engine is being changed
        if not taken_ms:
            if self._added_ns is None or now_ns - self._added_ns > PAUSE_NS:
                self._missed_since_ns = self._room_since_ns = None
            return False
        self._added_ns = now_ns
        slowest_ms = percentile(taken_ms, 99)
        self._missed_since_ns = _since(self._missed_since_ns, slowest_ms > deadline_ms, now_ns)
        self._room_since_ns = _since(self._room_since_ns, slowest_ms <= ROOM * deadline_ms, now_ns)
        if self._stepped_up and now_ns - self._stepped_ns >= HELD_NS:
            self._stepped_up, self._up_after_ns = False, UP_NS
        if _for_long(self._missed_since_ns, DOWN_NS, now_ns) and self.step + 1 < self._steps:
            if self._stepped_up:  # it did not hold
                self._up_after_ns = min(2 * self._up_after_ns, UP_WITHIN_NS)
            self._change(1, now_ns)
            return True
        if _for_long(self._room_since_ns, self._up_after_ns, now_ns) and self.step:
            self._change(-1, now_ns)
            return True
        return False

    def _change(self, by: int, now_ns: int) -> None:
        self.step += by
        self._stepped_ns, self._stepped_up = now_ns, by < 0
        self._missed_since_ns = self._room_since_ns = None


def _since(since_ns: int | None, is_so: bool, now_ns: int) -> int | None:
    if not is_so:
        return None
    return now_ns if since_ns is None else since_ns


def _for_long(since_ns: int | None, long_ns: int, now_ns: int) -> bool:
    return since_ns is not None and now_ns - since_ns >= long_ns
