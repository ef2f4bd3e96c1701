# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Reading ahead: everything in order, and an end in every case."""

from __future__ import annotations

import itertools
import threading

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from refinefuse_ros.errors import UserError
from refinefuse_ros.nodes.playing import ReadAhead


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
