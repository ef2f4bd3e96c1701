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

"""The latest-item slot between the callbacks and the worker: a slow worker costs items, never latency."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestSlot(Generic[T]):
    """Holds at most one item, the newest put in. Thread-safe, for any number of producers and takers.

    Every item put in comes out exactly once: from `take`, or as the superseded one from `put`, or from
    `close`.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._closed = False

    def put(self, item: T) -> T | None:
        """Place `item` and wake a taker; returns the item it superseded, or `item` itself once closed."""
        with self._changed:
            if self._closed:
                return item
            superseded, self._item = self._item, item
            self._changed.notify()
            return superseded

    def take(self, timeout_s: float | None = None) -> T | None:
        """Wait up to `timeout_s` seconds (None: no limit) for an item; None on time-out and once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed, timeout_s)
            item, self._item = self._item, None
            return item

    def close(self) -> T | None:
        """Wake every taker for good; returns the item that nobody took."""
        with self._changed:
            self._closed = True
            item, self._item = self._item, None
            self._changed.notify_all()
            return item

    @property
    def closed(self) -> bool:
        """Whether `close` was called: tells a taker that got None why."""
        with self._changed:
            return self._closed
