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

"""A call belongs to the thread that made it, and to nobody else once it was given up."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.engine.calls import CallAbandonedError, EngineCalls
from refinefuse_ros.engine.factory import EngineRequest, create_engine
from refinefuse_ros.image.frame import ImageSize

WAIT_S = 10.0
PLANE = np.zeros((32, 32), np.uint8)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_what_an_engine_returns_or_raises_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, calls = create_engine(EngineRequest(backend="laplacian"), ImageSize(32, 32)), EngineCalls()
    assert calls.fuse(engine, PLANE, PLANE).shape == PLANE.shape
    with pytest.raises(EngineError, match="was built for"):
        calls.fuse(engine, PLANE[:16], PLANE)
    assert calls.give_up(-1.0) is None  # neither is running


@pytest.mark.parametrize("raises", [False, True])
def test_a_call_that_was_given_up_tells_its_thread_alone(monkeypatch: pytest.MonkeyPatch, raises: bool) -> None:
    clock = Clock()
    engine, calls = create_engine(EngineRequest(backend="laplacian"), ImageSize(32, 32)), EngineCalls(clock)
    inside, may_return, closed, outcome = threading.Event(), threading.Event(), [], []

    def run(*planes: np.ndarray) -> np.ndarray:
        inside.set()
        assert may_return.wait(WAIT_S)
        if raises:
            raise EngineError("The device fell off the bus.")
        return planes[0]

    def work() -> None:
        try:
            calls.fuse(engine, PLANE, PLANE)
        except CallAbandonedError:
            outcome.append("abandoned")

    monkeypatch.setattr(engine, "_run", run)
    monkeypatch.setattr(engine, "close", lambda: closed.append(threading.current_thread()))
    worker = threading.Thread(target=work)
    worker.start()
    assert inside.wait(WAIT_S)
    clock.now_s = 5.0
    assert calls.give_up(5.0) is None
    clock.now_s = 5.5
    assert calls.give_up(5.0) == (engine, 5.5)
    clock.now_s = 7.0
    assert calls.hung == [(engine, 7.0)]
    other = create_engine(EngineRequest(backend="laplacian"), ImageSize(32, 32))
    calls.fuse(other, PLANE, PLANE)  # another worker goes on beside it
    assert closed == []
    may_return.set()
    worker.join(WAIT_S)
    assert (outcome, closed, calls.hung) == (["abandoned"], [worker], [])
