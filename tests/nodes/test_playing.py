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

"""Reading ahead: everything in order, and an end in every case."""

from __future__ import annotations

import itertools
import threading

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from refinefuse_ros.errors import UserError
from refinefuse_ros.nodes.playing import ReadAhead, start_thread


def test_gives_all_items_in_order() -> None:
    assert list(ReadAhead(range(50), 3, pytest.fail)) == list(range(50))


def test_takes_only_a_few_ahead() -> None:
    taken = []
    items = ReadAhead((taken.append(number) or number for number in range(50)), 3, pytest.fail)
    assert next(iter(items)) == 0
    items.close()
    assert len(taken) <= 6


def test_a_source_that_fails_ends_the_items_and_is_told() -> None:
    def failing():
        yield 1
        raise UserError("the bag is gone")

    errors = []
    assert list(ReadAhead(failing(), 3, errors.append)) == [1]
    assert [str(error) for error in errors] == ["the bag is gone"]


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (KeyError("nobody"), "An unforeseen KeyError ('nobody'); please report this as a bug."),
        (OSError(5, "Input/output error", "bag.mcap"), "bag.mcap: Input/output error."),
    ],
)
def test_whatever_a_source_raises_ends_the_items_and_is_told(raised: Exception, told: str) -> None:
    def failing():
        yield 1
        raise raised

    errors, given = [], []
    items = ReadAhead(failing(), 3, errors.append)
    reader = threading.Thread(target=lambda: given.extend(items), daemon=True)
    reader.start()
    reader.join(10)
    assert not reader.is_alive()
    assert (given, [str(error) for error in errors]) == ([1], [told])


def test_a_thread_tells_what_it_died_of() -> None:
    def work() -> None:
        raise KeyError("nobody")

    errors = []
    start_thread(work, errors.append).join(10)
    assert [str(error) for error in errors] == ["An unforeseen KeyError ('nobody'); please report this as a bug."]
    start_thread(lambda: None, pytest.fail).join(10)


@pytest.mark.parametrize("ahead", [1, 3])
def test_closing_ends_whoever_waits(ahead: int) -> None:
    hold = threading.Event()
    items = ReadAhead(itertools.chain(range(3), iter(hold.wait, True)), ahead, pytest.fail)
    given: list[int] = []
    reader = threading.Thread(target=lambda: given.extend(items))
    reader.start()
    threading.Timer(0.3, hold.set).start()  # the thread can end only between two items
    items.close()
    reader.join(5)
    assert not reader.is_alive()
