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

"""Making an engine, which may take minutes, while another one serves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from refinefuse_ros.engine.base import Engine
from refinefuse_ros.engine.building import BuildStoppedError, BuildTicket


class BackgroundBuild:
    """One engine being made in a thread of its own.

    A process that ends waits for that thread, which gives up as soon as the process wants to end (`BuildTicket`).

    Attributes:
        backend: whose engine it is.
        error: why it could not be made; empty until then.
        stopped: whether it ended because nobody wanted it.
        took_s: how long it took; 0 until it ended.

    Args:
        backend: as above.
        ticket: stops it.
        build: returns the engine, warm; watches the ticket.
    """

    def __init__(self, backend: str, ticket: BuildTicket, build: Callable[[], Engine]) -> None:
        self.backend = backend
        self.error = ""
        self.stopped = False
        self.took_s = 0.0
        self._ticket = ticket
        self._engine: Engine | None = None
        self._abandoned = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, args=(build,), name="engine build")
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def take(self) -> Engine | None:
        """The engine, once, as soon as it is there."""
        with self._lock:
            engine, self._engine = self._engine, None
        return engine

    def abandon(self) -> None:
        """Nobody wants it any more: building stops, and an engine that is there, or comes nevertheless, is closed."""
        self._ticket.stop()
        with self._lock:
            self._abandoned = True
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def _work(self, build: Callable[[], Engine]) -> None:
        started_s = time.monotonic()
        try:
            engine = build()
        except Exception as error:  # a thread has nobody else to tell
            self.stopped = isinstance(error, BuildStoppedError)
            self.error = str(error) or type(error).__name__
            return
        finally:
            self.took_s = time.monotonic() - started_s
        with self._lock:
            if not self._abandoned:
                self._engine = engine
                return
        engine.close()
