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

"""The slot keeps the newest item, wakes at once and loses nothing silently."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from refinefuse_ros.stream.slot import LatestSlot


def test_newest_item_supersedes_the_one_before() -> None:
    slot: LatestSlot[int] = LatestSlot()
    assert slot.put(1) is None
    assert slot.put(2) == 1
    assert slot.take(0.0) == 2
    assert slot.take(0.0) is None


def test_take_waits_no_longer_than_asked() -> None:
    slot: LatestSlot[int] = LatestSlot()
    start = time.perf_counter()
    assert slot.take(0.05) is None
    assert 0.04 < time.perf_counter() - start < 2.0


def test_put_wakes_a_waiting_taker() -> None:
    slot: LatestSlot[str] = LatestSlot()
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(slot.take, 30.0)
        slot.put("pair")
        assert taken.result(timeout=5.0) == "pair"


def test_close_wakes_every_waiting_taker() -> None:
    slot: LatestSlot[str] = LatestSlot()
    with ThreadPoolExecutor(2) as pool:
        takers = [pool.submit(slot.take, 10.0) for _ in range(2)]
        assert slot.close() is None
        assert [taker.result(timeout=5.0) for taker in takers] == [None, None]
    assert slot.closed


def test_close_returns_the_item_that_nobody_took() -> None:
    slot: LatestSlot[int] = LatestSlot()
    slot.put(1)
    assert slot.close() == 1
    assert slot.take(1.0) is None


def test_put_after_close_hands_the_item_back() -> None:
    slot: LatestSlot[int] = LatestSlot()
    slot.close()
    assert slot.put(7) == 7


def test_every_item_comes_out_once_with_several_producers() -> None:
    slot: LatestSlot[tuple[int, int]] = LatestSlot()
    superseded: list[tuple[int, int]] = []
    taken: list[tuple[int, int]] = []

    def produce(producer: int) -> None:
        for i in range(500):
            old = slot.put((producer, i))
            if old is not None:
                superseded.append(old)

    def consume() -> None:
        while (item := slot.take(5.0)) is not None:
            taken.append(item)

    worker = threading.Thread(target=consume)
    worker.start()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(produce, range(3)))
    left = slot.close()
    worker.join(timeout=5.0)
    assert not worker.is_alive()
    everything = superseded + taken + ([left] if left is not None else [])
    assert sorted(everything) == [(producer, i) for producer in range(3) for i in range(500)]
