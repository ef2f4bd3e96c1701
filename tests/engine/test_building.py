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

"""Builds take turns, and whoever waits for a turn can give up."""

from __future__ import annotations

import threading
import time

import pytest

from refinefuse_ros.engine.building import BuildStoppedError, BuildTicket

WAIT_S = 10.0


def test_one_waits_for_the_other_and_can_give_up_meanwhile() -> None:
    first, second, withdrawn = BuildTicket(), BuildTicket(), threading.Event()
    third = BuildTicket(withdrawn)
    outcome: dict[BuildTicket, str] = {}

    def wait(ticket: BuildTicket) -> None:
        try:
            with ticket.turn("another"):
                outcome[ticket] = "had its turn"
        except BuildStoppedError:
            outcome[ticket] = "gave up"

    threads = [threading.Thread(target=wait, args=(ticket,)) for ticket in (second, third)]
    with first.turn("one"):
        for thread in threads:
            thread.start()
        withdrawn.set()
        threads[1].join(WAIT_S)
        deadline = time.monotonic() + WAIT_S
        while not second.progress.state and time.monotonic() < deadline:
            time.sleep(0.001)
        assert outcome == {third: "gave up"}
        assert [ticket.progress.state for ticket in (second, third)] == ["waiting", "stopped"]
    threads[0].join(WAIT_S)
    assert outcome[second] == "had its turn"


def test_it_tells_how_far_it_is() -> None:
    said: list[str] = []
    ticket = BuildTicket(say=said.append)
    assert (ticket.progress.what, ticket.progress.state) == ("", "")
    with ticket.turn("the engine"):
        assert ticket.progress.state == "waiting"
        ticket.begin()
        ticket.enter("Timing tactics")
        progress = ticket.progress
        assert (progress.what, progress.state, progress.phase) == ("the engine", "building", "Timing tactics")
        assert 0 < progress.seconds < ticket.progress.seconds
    assert (ticket.progress.state, ticket.progress.phase) == ("built", "")
    assert ticket.progress.seconds == ticket.progress.seconds > 0
    assert [sentence.split()[0] for sentence in said] == ["Building", "Built"]


@pytest.mark.parametrize(("error", "state"), [(ValueError, "failed"), (KeyboardInterrupt, "stopped")])
def test_what_ends_it_tells_failing_from_being_stopped(error: type[BaseException], state: str) -> None:
    ticket = BuildTicket()

    def build() -> None:
        with ticket.turn("the engine"):
            ticket.begin()
            raise error

    with pytest.raises(error):
        build()
    assert ticket.progress.state == state
    with ticket.turn("another"):  # and the turn is free
        pass


def test_a_turn_that_nobody_wants_is_not_taken() -> None:
    ticket = BuildTicket()
    ticket.stop()
    with pytest.raises(BuildStoppedError), ticket.turn("the engine"):
        pytest.fail("it was taken")
    assert ticket.progress.state == "stopped"


def test_while_it_is_being_stopped_it_says_so() -> None:
    ticket = BuildTicket()
    with ticket.turn("the engine"):
        ticket.begin()
        ticket.stop()
        assert ticket.progress.state == "stopping"
        with pytest.raises(BuildStoppedError):
            ticket.check()
