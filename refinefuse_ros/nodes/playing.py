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

"""What the two players share: publishers of camera topics, waiting for their readers, and reading ahead."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions

from refinefuse_ros.errors import UserError, in_words
from refinefuse_ros.nodes.qos import refused_overrides_in_words

T = TypeVar("T")

PUBLISHER_DEPTH = 5
# A writer knows its readers before they know it: without this pause their first frames would be lost.
SETTLE_S = 0.5
POLL_S = 0.05
PREPARING_NICENESS = 19


def create_camera_publisher(node: Node, kind: type[Any], topic: str) -> Publisher:
    """A publisher of one camera topic, whose QoS may be overridden by parameters.

    Raises:
        StartError: an override cannot be used.
    """
    options = QoSOverridingOptions.with_default_policies()
    with refused_overrides_in_words():
        return node.create_publisher(kind, topic, QoSProfile(depth=PUBLISHER_DEPTH), qos_overriding_options=options)


def wait_for_subscribers(publishers: Sequence[Publisher], count: int, stop: threading.Event) -> bool:
    """Wait until each publisher has `count` subscribers (not at all for 0); whether they came before `stop`."""
    if count == 0:
        return True
    while any(publisher.get_subscription_count() < count for publisher in publishers):
        if stop.wait(POLL_S):
            return False
    return not stop.wait(SETTLE_S)


def start_thread(
    work: Callable[[], None],
    on_error: Callable[[UserError], None],
    at_end: Callable[[], object] = lambda: None,
) -> threading.Thread:
    """Start `work` on a thread; one that dies unheard leaves its node waiting.

    Args:
        work: what it raises goes to `on_error`.
        on_error: called on the thread.
        at_end: called on the thread in any case, after `on_error`.
    """

    def run() -> None:
        try:
            work()
        except Exception as error:
            on_error(error if isinstance(error, UserError) else UserError(in_words(error)))
        finally:
            at_end()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


class ReadAhead(Generic[T]):
    """The items of an iterable, taken on a thread of low priority, a few ahead of their use.

    The thread yields to the stream that is played; codec threads inherit its niceness.

    Args:
        items: taken one by one; what they raise ends them and goes to `on_error`, in words.
        ahead: how many to hold ready.
        on_error: called on the thread.
    """

    def __init__(self, items: Iterable[T], ahead: int, on_error: Callable[[UserError], None]) -> None:
        self._items = items
        self._ready: queue.Queue[T | None] = queue.Queue(ahead)
        self._stop = threading.Event()
        self._thread = start_thread(self._take_all, on_error, at_end=lambda: self._put(None))

    def __iter__(self) -> Iterator[T]:
        while (item := self._ready.get()) is not None:
            yield item

    def close(self) -> None:
        """End the thread, drop what lies ready, and end the items of whoever waits for one."""
        self._stop.set()
        self._thread.join()
        with suppress(queue.Empty):
            while True:
                self._ready.get_nowait()
        self._ready.put_nowait(None)

    def _take_all(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), PREPARING_NICENESS)
        for item in self._items:
            if not self._put(item):
                return

    def _put(self, item: T | None) -> bool:
        """Whether there was room before the end."""
        while not self._stop.is_set():
            with suppress(queue.Full):
                self._ready.put(item, timeout=0.1)
                return True
        return False
