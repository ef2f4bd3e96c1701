# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Building an engine, which may take minutes, while another one serves."""

from __future__ import annotations

import threading
from collections.abc import Callable

from refinefuse_ros.engine.base import Engine
from refinefuse_ros.image.frame import ImageSize


class BackgroundBuild:
    """One engine being built in a thread of its own.

    A process that ends waits for that thread: a library that is left building while the interpreter goes away under it
    takes the process down with it. `TensorRtLibrary.build` gives up as soon as the process wants to end.

    Attributes:
        size: what it is built for.
        error: why it could not be built; empty until then.

    Args:
        size: what it is built for.
        build: returns the engine, warm.
    """

    def __init__(self, size: ImageSize, build: Callable[[], Engine]) -> None:
        self.size = size
        self.error = ""
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
        """Nobody wants it any more: it is closed, now or as soon as it is there. It stays in the cache."""
        with self._lock:
            self._abandoned = True
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def _work(self, build: Callable[[], Engine]) -> None:
        try:
            engine = build()
        except Exception as error:  # a thread has nobody else to tell
            self.error = str(error) or type(error).__name__
            return
        with self._lock:
            if not self._abandoned:
                self._engine = engine
                return
        engine.close()
