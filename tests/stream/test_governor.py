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

"""The governor steps down where the deadline is missed for long, and up only where it will not have to come back."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from refinefuse_ros.stream.governor import DOWN_NS, UP_NS, UP_WITHIN_NS, Governor
from refinefuse_ros.stream.timing import NS_PER_S

DEADLINE_MS = 100.0
BEST_MS, MIDDLE_MS, FAST_MS = 300.0, 80.0, 20.0


class Machine:
    """Second by second: what each step takes."""

    def __init__(self, steps: int = 3) -> None:
        self.governor = Governor(steps)
        self.takes_ms = [BEST_MS, MIDDLE_MS, FAST_MS]
        self.second = 0
        self.changes: list[tuple[int, int]] = []  # the second and the step

    def run(self, seconds: int, images: int = 30, until: Callable[[], bool] = lambda: False) -> None:
        for _ in range(seconds):
            if until():
                return
            self.second += 1
            for _ in range(images):
                self.governor.add(self.takes_ms[self.governor.step])
            if self.governor.judge(DEADLINE_MS, self.second * NS_PER_S):
                self.changes.append((self.second, self.governor.step))


def test_a_deadline_that_is_missed_for_long_is_a_step_down() -> None:
    machine = Machine()
    machine.run(20)
    assert machine.changes == [(1 + DOWN_NS // NS_PER_S, 1)]


def test_a_short_stall_is_none() -> None:
    machine = Machine()
    machine.takes_ms = [MIDDLE_MS] * 3
    machine.run(5)
    machine.takes_ms = [BEST_MS] * 3
    machine.run(2)
    machine.takes_ms = [MIDDLE_MS] * 3
    machine.run(20)
    assert machine.changes == []


def test_there_is_no_step_below_the_last() -> None:
    machine = Machine(steps=2)
    machine.takes_ms = [BEST_MS] * 3
    machine.run(60)
    assert [step for _, step in machine.changes] == [1]


def test_a_machine_that_is_free_again_goes_back_to_the_best_step_by_step() -> None:
    machine = Machine()
    machine.takes_ms = [BEST_MS] * 3
    machine.run(20)
    assert machine.governor.step == 2
    machine.takes_ms = [FAST_MS] * 3
    machine.run(90)
    assert [step for _, step in machine.changes] == [1, 2, 1, 0]
    assert machine.changes[2][0] - machine.changes[1][0] >= UP_NS // NS_PER_S


def test_between_room_and_deadline_nothing_changes() -> None:
    machine = Machine()
    machine.run(600)
    assert machine.changes == [(4, 1)]  # the middle step keeps the deadline, without room for the best one


def test_a_step_up_that_does_not_hold_is_tried_ever_more_rarely() -> None:
    machine = Machine(steps=2)
    machine.takes_ms = [BEST_MS, FAST_MS]
    machine.run(4000)
    ups = [second for second, step in machine.changes if step == 0]
    pauses = [later - earlier for earlier, later in pairwise(ups)]
    assert pauses == sorted(pauses)
    assert pauses[1] > 1.5 * pauses[0]
    assert UP_WITHIN_NS / NS_PER_S <= pauses[-1] < UP_WITHIN_NS / NS_PER_S + 30


def test_a_pause_ends_what_was_missed_before_it() -> None:
    machine = Machine()
    machine.run(2)
    machine.run(30, images=0)
    machine.run(2)
    assert machine.changes == []


def test_an_image_in_three_seconds_is_seen_to_be_too_slow() -> None:
    machine = Machine()
    for _ in range(4):
        machine.run(1, images=1)
        machine.run(2, images=0)
    assert [step for _, step in machine.changes] == [1]


def test_one_image_in_a_second_is_enough_to_be_too_slow() -> None:
    machine = Machine()
    machine.takes_ms[0] = 900.0
    machine.run(10, images=1)
    assert [step for _, step in machine.changes] == [1]
