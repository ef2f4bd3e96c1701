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

"""What failed, at which image size, and when it is worth another try."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from refinefuse_ros.image.frame import ImageSize

RETRY_AFTER_S = 10.0
"""How long what failed once is left alone; twice as long after each further failure in a row."""
RETRY_WITHIN_S = 600.0
"""It is never left alone for longer, unless trying costs much."""
RETRY_COST = 10.0
"""It is left alone for at least so many times as long as the last try took: a failing build costs a tenth at most."""

_SIZES_KEPT = 64  # a stream of ever new sizes must not fill the memory


@dataclass(frozen=True)
class Setback:
    """Something failed.

    Attributes:
        reason: why, one sentence.
        failures: how often, since it last worked or its size came back.
        failed_s: when it last did, by the clock of `Setbacks`.
        took_s: how long that try took.
        in_use: something else serves in its place: it failed while it served, or was asked for; else it never served.
    """

    reason: str
    failures: int
    failed_s: float
    took_s: float
    in_use: bool

    @property
    def again_s(self) -> float:
        """When it may be tried again."""
        doubled = RETRY_AFTER_S * 2.0 ** min(self.failures - 1, 30)
        return self.failed_s + max(min(doubled, RETRY_WITHIN_S), RETRY_COST * self.took_s)


class Setbacks:
    """The failures of whoever failed at a size: of a backend, or of all of them together.

    Not thread-safe.

    Args:
        now: seconds of a monotonic clock.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._by_size: dict[ImageSize, dict[str, Setback]] = {}

    def note(self, who: str, size: ImageSize, reason: str, took_s: float = 0.0, in_use: bool = False) -> Setback:
        """It failed (again), after `took_s`."""
        of_size = self._by_size.pop(size, {})
        self._by_size[size] = of_size  # the newest is last
        known = of_size.get(who, Setback("", 0, 0.0, 0.0, False))
        of_size[who] = Setback(reason, known.failures + 1, self._now(), took_s, in_use or known.in_use)
        if len(self._by_size) > _SIZES_KEPT:
            del self._by_size[next(iter(self._by_size))]
        return of_size[who]

    def get(self, who: str, size: ImageSize) -> Setback | None:
        return self._by_size.get(size, {}).get(who)

    def at(self, size: ImageSize) -> dict[str, Setback]:
        """Who failed at a size, in the order in which they first did."""
        return dict(self._by_size.get(size, {}))

    def seconds_until_retry(self, setback: Setback) -> float:
        """How long it is still to be left alone; 0 once it may be tried again."""
        return max(setback.again_s - self._now(), 0.0)

    def due(self, size: ImageSize, besides: Collection[str] = ()) -> str | None:
        """Who may be tried again at this size, other than `besides`."""
        for who, setback in self._by_size.get(size, {}).items():
            if who not in besides and not self.seconds_until_retry(setback):
                return who
        return None

    def forgive(self, who: str, size: ImageSize) -> None:
        """It works."""
        of_size = self._by_size.get(size, {})
        of_size.pop(who, None)
        if not of_size:
            self._by_size.pop(size, None)

    def came_back(self, size: ImageSize) -> None:
        """Images of this size come again after others: what failed at it is left alone no longer than after once."""
        for who, setback in self.at(size).items():
            self._by_size[size][who] = replace(setback, failures=1)
