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

"""A build, which may take minutes: one at a time in this process, told of as it goes, stopped when it is unwanted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from refinefuse_ros.engine.base import EngineError

_TURN = threading.Lock()  # the process's one: builds that time kernels beside one another measure each other
_LOOK_AGAIN_S = 0.05


class BuildStoppedError(EngineError):
    """Nobody wants what was being built any more: neither a failure of the backend nor of the build."""

    def __init__(self) -> None:
        super().__init__("The build was stopped, since nobody wants it any more.")


@dataclass(frozen=True)
class BuildProgress:
    """How far a build is.

    Attributes:
        what: is built; empty where nothing had to be.
        state: "waiting" for another build to end, "building", "stopping", and at last "built", "failed" or "stopped".
        phase: what the library says that it is doing, in its own words; empty where it says nothing.
        seconds: how long it has been building, or took.
    """

    what: str = ""
    state: str = ""
    phase: str = ""
    seconds: float = 0.0


class BuildTicket:
    """What whoever wants an engine gives to whoever builds it: the wish can be withdrawn, and the progress seen.

    It says in a sentence when building begins and when it ends. Thread-safe.

    Args:
        withdrawn: events of which each withdraws the wish, beside `stop`; so does the end of the main thread, for
            a library that is left building while the interpreter goes away under it takes the process down with it.
        say: takes the sentences.
    """

    def __init__(self, *withdrawn: threading.Event, say: Callable[[str], None] | None = None) -> None:
        self._stop = threading.Event()
        self._withdrawn = (self._stop, *withdrawn)
        self._say = say
        self._lock = threading.Lock()
        self._progress = BuildProgress()
        self._began_s: float | None = None

    @property
    def stopped(self) -> bool:
        """Whether nobody wants it any more."""
        return any(event.is_set() for event in self._withdrawn) or not threading.main_thread().is_alive()

    @property
    def progress(self) -> BuildProgress:
        with self._lock:
            known, began_s = self._progress, self._began_s
        if began_s is not None:
            state = "stopping" if self.stopped else known.state
            return BuildProgress(known.what, state, known.phase, time.monotonic() - began_s)
        return known

    def stop(self) -> None:
        """Nobody wants it any more: the build ends at the library's next step."""
        self._stop.set()

    def check(self) -> None:
        """Go no further with what nobody wants.

        Raises:
            BuildStoppedError: it was stopped.
        """
        if self.stopped:
            raise BuildStoppedError

    @contextmanager
    def turn(self, what: str) -> Iterator[None]:
        """Wait until nothing else is being built in this process, and keep it so.

        Args:
            what: is to be built, as the middle of a sentence.

        Raises:
            BuildStoppedError: it was stopped meanwhile.
        """
        self._set(BuildProgress(what, "waiting"))
        try:
            while not _TURN.acquire(timeout=_LOOK_AGAIN_S):
                self.check()
            try:
                self.check()
                yield
            finally:
                _TURN.release()
        except BaseException as error:
            self._end("failed" if isinstance(error, Exception) and not self.stopped else "stopped")
            raise
        self._end("built")

    def begin(self) -> None:
        """It has its turn, and building begins."""
        what = self.progress.what
        self._set(BuildProgress(what, "building"), time.monotonic())
        self._tell(f"Building {what}; this may take minutes.")

    def enter(self, phase: str) -> None:
        """The library says what it is doing now."""
        with self._lock:
            self._progress = BuildProgress(self._progress.what, self._progress.state, phase)

    def _end(self, state: str) -> None:
        """Tell the end, unless it never began; why it failed is told by whoever wanted it."""
        seconds = self.progress.seconds
        with self._lock:
            what, began_s, self._began_s = self._progress.what, self._began_s, None
            self._progress = BuildProgress(what, state, seconds=seconds)
        if began_s is not None and state != "failed":
            self._tell(f"{state.capitalize()} after {seconds:.1f} s: {what}.")

    def _set(self, progress: BuildProgress, began_s: float | None = None) -> None:
        with self._lock:
            self._progress, self._began_s = progress, began_s

    def _tell(self, sentence: str) -> None:
        if self._say is not None:
            self._say(sentence)
