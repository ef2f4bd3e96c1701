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

"""Calls into engines, of which one may never return: a driver that hangs keeps the thread that called it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from refinefuse_ros.engine.base import Engine, EngineError


class CallAbandonedError(EngineError):
    """The call returned after it had been given up: its result is of no use, and its thread has been replaced."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(f"A call of the {engine.info.backend} engine returned after it had been given up.")


class HungCall(NamedTuple):
    """A call that was given up and has not returned: whose it is, and for how long it has lasted."""

    engine: Engine
    seconds: float


class _Call(NamedTuple):
    engine: Engine
    began_s: float


class EngineCalls:
    """Makes one call at a time, and lets another thread give it up. Thread-safe.

    Args:
        now: seconds of a monotonic clock.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._running: _Call | None = None
        self._given_up: list[_Call] = []

    @property
    def hung(self) -> list[HungCall]:
        """The calls that were given up and have not returned, the oldest first."""
        with self._lock:
            return [HungCall(call.engine, self._now() - call.began_s) for call in self._given_up]

    def fuse(self, engine: Engine, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
        """`Engine.fuse`.

        Raises:
            CallAbandonedError: it was given up meanwhile; the engine is closed, which no other thread could do.
        """
        call = _Call(engine, self._now())
        with self._lock:
            self._running = call
        try:
            fused = engine.fuse(thermal, visible)
        except Exception as error:
            if self._end(call):
                raise
            raise CallAbandonedError(engine) from error
        if self._end(call):
            return fused
        raise CallAbandonedError(engine)

    def give_up(self, timeout_s: float) -> HungCall | None:
        """Give up the call that runs if it has lasted for longer than `timeout_s`. Nobody may touch its engine then."""
        with self._lock:
            call = self._running
            if call is None or self._now() - call.began_s <= timeout_s:
                return None
            self._running = None
            self._given_up.append(call)
            return HungCall(call.engine, self._now() - call.began_s)

    def _end(self, call: _Call) -> bool:
        """The call has returned; whether nobody had given it up. Else its engine is closed."""
        with self._lock:
            if self._running is call:
                self._running = None
                return True
        with suppress(Exception):  # nobody waits for it
            call.engine.close()
        with self._lock:
            self._given_up.remove(call)
        return False
