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

"""Keeps an engine running: makes one for the size that comes, and replaces a backend that keeps failing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial

import numpy as np

from refinefuse_ros.engine.background import BackgroundBuild
from refinefuse_ros.engine.base import Engine, EngineError, EngineInfo
from refinefuse_ros.engine.building import BuildProgress, BuildStoppedError, BuildTicket
from refinefuse_ros.engine.calls import CallAbandonedError, EngineCalls
from refinefuse_ros.engine.factory import BACKENDS, LAST_RESORT, EngineRequest, create_engine
from refinefuse_ros.engine.setbacks import Setback, Setbacks
from refinefuse_ros.errors import UserError, one_line
from refinefuse_ros.image.frame import ImageSize

DEFAULT_MAX_FAILURES = 5
DEFAULT_TIMEOUT_S = 10.0

_EVERY_BACKEND = "every backend"


class SizeRefusedError(EngineError):
    """There is no engine for the size of this pair: no fault of the one that runs."""


class EngineHost:
    """The engine as the pipeline sees it: always the right size, and replaced when it is broken.

    With an `auto` backend nobody waits for a build: the best engine that is there serves, and the one that has to be
    built first takes over from it between two pairs. Its build begins with a pair of the engine's size, not before.

    A backend is blamed only for what it did, at the size at which it did it. Where no engine can be made for a size,
    its pairs fail, and the engine that runs is kept; what failed is tried again, after the pauses of `Setbacks`: a size
    before its next pair, a backend in the background. An engine on a GPU is closed before one of another size is made,
    so that the memory is free and kernels are chosen for all of it; it is made again with the next pair of its size.

    A call into an engine may never return. Somebody calls `give_up_hung` now and then, and goes on with another worker
    when it says so. The engine is left to the thread that hangs in it; its backend is not used until that call returns,
    nor, if it is on a GPU, any other that is.

    One worker calls `fuse`, and nobody calls `close` meanwhile. All else may be read and called from other threads.

    Attributes:
        failures_in_a_row: pairs of the size that comes now that could not be fused since the last one that could.
        last_error: the newest failure's sentence, empty without one.
        fell_back_from: the backend in whose place another one serves; None where none had to be given up.
        refused: why pairs of the size that comes now cannot be fused; empty while there is an engine for them.

    Args:
        request: what to run.
        size: the size to build for now, so that configuring pays for it and not the first frame.
        max_failures: failures in a row after which the backend is given up for the next usable one.
        timeout_s: a call that lasts longer hangs.
        interrupted: once it is set, nothing is built any more.
        say: takes a sentence when a build begins and ends, and when its engine takes over.
        now: seconds of a monotonic clock.

    Raises:
        BuildStoppedError: it was interrupted.
        EngineError: no backend can run the model.
    """

    def __init__(
        self,
        request: EngineRequest,
        size: ImageSize,
        max_failures: int = DEFAULT_MAX_FAILURES,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        interrupted: threading.Event | None = None,
        say: Callable[[str], None] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._request = request
        self._wanted_model = request.model
        # without the precision and the device asked for: they were the broken one's
        self._any_backend = replace(request, backend="auto", precision="auto", device="auto")
        self._max_failures = max_failures
        self._say = say or (lambda sentence: None)
        self._now = now
        self._timeout_s = timeout_s
        self._setbacks = Setbacks(now)
        self._calls = EngineCalls(now)
        self._suspended = threading.Event()
        self._unwanted = (self._suspended, interrupted or threading.Event())
        self._ticket = BuildTicket()
        self._build: BackgroundBuild | None = None
        self._to_build: tuple[str, str] | None = None  # a better backend whose engine is not built yet, and why
        self._size = size  # of the newest pair
        self._engine: Engine | None = self._best(request, size)
        self._info = self._engine.info
        self.failures_in_a_row = 0
        self.last_error = ""
        self.fell_back_from: str | None = None
        self.refused = ""

    @property
    def info(self) -> EngineInfo:
        """Of the engine that runs, or ran last."""
        engine = self._engine
        return self._info if engine is None else engine.info

    @property
    def build(self) -> BuildProgress:
        """How far the newest build is."""
        return self._ticket.progress

    @property
    def hung(self) -> str:
        """The sentence on a call that has not returned; empty where there is none."""
        calls = self._calls.hung
        if not calls:
            return ""
        oldest, serving = calls[0], self._engine
        instead = "" if serving is None else f"; {serving.info.backend} runs in its place"
        return (
            f"The {oldest.engine.info.backend} engine hangs: it has not returned for {oldest.seconds:.0f} s{instead};"
            " mend its driver and restart the node, or raise engine.timeout_s if it is only slow."
        )

    def fuse(self, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
        """As `Engine.fuse`, for planes of any size; a new size makes another engine first (some 100 ms).

        Raises:
            SizeRefusedError: there is no engine for this size now.
            BuildStoppedError: the engine was being built, and nobody wants it any more.
            CallAbandonedError: it was given up by `give_up_hung`, and another worker is at work.
            EngineError: this pair could not be fused; the next one may be, by another backend.
        """
        size = ImageSize.of(visible)
        if size != self._size:
            self._size, self.failures_in_a_row = size, 0
            self._setbacks.came_back(size)
        try:
            engine = self._engine_for(size)
            fused = self._calls.fuse(engine, thermal, visible)
        except (BuildStoppedError, CallAbandonedError):  # of the latter: all that is here is another worker's now
            raise
        except Exception as error:  # whatever it is, the engine cannot be used
            self.failures_in_a_row += 1
            self.last_error = _sentence(error)
            if self.failures_in_a_row >= self._max_failures and not isinstance(error, SizeRefusedError):
                raise EngineError(f"{self.last_error} {self._fall_back(size)}") from error
            raise
        self.failures_in_a_row, self.refused = 0, ""
        self._setbacks.forgive(engine.info.backend, size)
        return fused

    def use(self, model: str) -> None:
        """Run another model from the next pair on; where it cannot be had, the one that runs goes on."""
        self._wanted_model = model

    def give_up_hung(self) -> str:
        """Give up the call that runs if it hangs; why, as a sentence, or empty where it does not.

        The worker is lost then: its pair has failed, and another worker is to call `fuse`.
        """
        call = self._calls.give_up(self._timeout_s)
        if call is None:
            return ""
        self._info, self._engine = call.engine.info, None
        self.failures_in_a_row += 1
        self.last_error = f"The {self._info.backend} engine has not returned for {call.seconds:.1f} s."
        self._setbacks.note(self._info.backend, self._size, self.last_error, in_use=True)
        return f"{self.last_error} It is given up, and the next backend takes over."

    def suspend(self) -> None:
        """Stop what is being built, and build nothing until `resume`."""
        self._suspended.set()

    def resume(self) -> None:
        self._suspended.clear()

    def close(self) -> None:
        self.suspend()
        self._abandon_build()
        if self._engine is not None:
            self._engine.close()

    def _engine_for(self, size: ImageSize) -> Engine:
        """The engine for the pair that is there; between two pairs of a size a better one may take over."""
        if self._wanted_model != self._request.model:
            self._change_model(self._wanted_model)
        engine = self._engine
        if engine is None or engine.size != size:
            return self._change_size(size)
        if self._build is not None:
            return self._take_over(engine, self._build)
        if not any(event.is_set() for event in self._unwanted):
            self._improve(engine)
        return engine

    # -- another model -------------------------------------------------------------------------------------------------

    def _change_model(self, model: str) -> None:
        """Make an engine of another model for the size that comes, if there can be one."""
        before = self._request, self._any_backend, self._setbacks
        self._abandon_build()
        self._free_gpu()
        self._request = replace(self._request, model=model)
        self._any_backend = replace(self._any_backend, model=model)
        self._setbacks = Setbacks(self._now)  # what failed were other networks
        try:
            self._replace(self._create(self._size, others_too=False))
        except BuildStoppedError:
            self._request, self._any_backend, self._setbacks = before
            raise
        except Exception as error:
            self._request, self._any_backend, self._setbacks = before
            self._wanted_model = self._request.model
            self._say(f"The model {model} cannot be used: {_sentence(error)}")

    # -- another size --------------------------------------------------------------------------------------------------

    def _change_size(self, size: ImageSize) -> Engine:
        """An engine for a size that the one that runs does not have, unless one could not be made just now."""
        refusal = self._setbacks.get(_EVERY_BACKEND, size)
        # the contract of `max_failures`: then whatever else can serve is tried at once
        others_too = self._request != self._any_backend and self.failures_in_a_row >= self._max_failures
        at_once = others_too and self.failures_in_a_row == self._max_failures
        if refusal is not None and self._setbacks.seconds_until_retry(refusal) and not at_once:
            raise self._refusal(refusal, size)
        self._abandon_build()
        self._free_gpu()
        started_s = self._now()
        try:
            engine = self._create(size, others_too)
        except BuildStoppedError:
            raise
        except Exception as error:
            refusal = self._setbacks.note(_EVERY_BACKEND, size, _sentence(error), self._now() - started_s)
            raise self._refusal(refusal, size) from error
        self._replace(engine)
        return engine

    def _refusal(self, setback: Setback, size: ImageSize) -> SizeRefusedError:
        seconds = self._setbacks.seconds_until_retry(setback)
        reason = one_line(setback.reason)
        self.refused = f"Images of {size} cannot be fused: {reason}; this is tried again in {seconds:.0f} s."
        return SizeRefusedError(self.refused)

    def _free_gpu(self) -> None:
        """Close the engine if it is on a GPU: what comes next needs the memory. One on the CPU is kept till then."""
        engine = self._engine
        if engine is not None and BACKENDS[engine.info.backend].needs_gpu:
            self._info, self._engine = engine.info, None
            engine.close()

    # -- making engines ------------------------------------------------------------------------------------------------

    def _create(self, size: ImageSize, others_too: bool) -> Engine:
        """The best engine for a size without the backends that were given up there.

        Args:
            size: of the images.
            others_too: where what was asked for cannot be had, whatever else can serve will do.
        """
        hung = self._calls.hung
        for name in {call.engine.info.backend for call in hung} - self._setbacks.at(size).keys():
            self._setbacks.note(name, size, "It hangs at another size.", in_use=True)
        given_up = self._setbacks.at(size).keys() - {_EVERY_BACKEND}
        if hung:
            return self._beside_hung(size, given_up)
        if given_up:
            return self._best(self._any_backend, size, given_up)
        try:
            return self._best(self._request, size)
        except BuildStoppedError:
            raise
        except Exception as error:
            if not others_too:
                raise
            engine = self._best(self._any_backend, size, (self._request.backend,))
            self._setbacks.note(self._request.backend, size, _sentence(error), in_use=True)
            self._say(f"{engine.info.backend} takes over at {size}: {_sentence(error)}")
            return engine

    def _beside_hung(self, size: ImageSize, given_up: Collection[str]) -> Engine:
        """An engine that shares nothing with those that hang; at worst of the last resort."""
        unusable = {*given_up, *self._hung_backends()}
        try:
            engine = self._best(self._any_backend, size, unusable)
        except BuildStoppedError:
            raise
        except Exception:
            if LAST_RESORT in unusable:
                raise
            engine = create_engine(replace(self._any_backend, backend=LAST_RESORT), size)
        self._say(f"{engine.info.backend} takes over at {size}.")
        return engine

    def _hung_backends(self) -> set[str]:
        """The backends of which a call has not returned; if one is on a GPU, all that are: they share its driver."""
        hung = {call.engine.info.backend for call in self._calls.hung}
        if any(BACKENDS[name].needs_gpu for name in hung):
            hung |= {name for name, backend in BACKENDS.items() if backend.needs_gpu}
        return hung

    def _best(self, request: EngineRequest, size: ImageSize, given_up: Collection[str] = ()) -> Engine:
        """The best engine that is there at once; a better one that has to be built first is remembered."""
        self._to_build = None
        if request.backend != "auto" or request.rebuild == "never":
            return create_engine(request, size, given_up, ticket=self._new_ticket())
        not_built: dict[str, str] = {}
        try:
            engine = create_engine(replace(request, rebuild="never"), size, given_up, not_built)
        except EngineError:
            if not not_built:
                raise
            return create_engine(request, size, given_up, ticket=self._new_ticket())  # nothing serves meanwhile
        if not_built:
            backend, why = self._to_build = next(iter(not_built.items()))
            _set_reason(engine, f"{backend} is built when images of {size} come, since {why}, and takes over then")
        return engine

    def _new_ticket(self) -> BuildTicket:
        self._ticket = BuildTicket(*self._unwanted, say=self._say)
        return self._ticket

    # -- a better one, in the background -------------------------------------------------------------------------------

    def _improve(self, engine: Engine) -> None:
        """Begin to make the engine that is better than the one that runs, if there is one to make now."""
        if self._to_build is not None:
            backend, why = self._to_build
            how = "built"
            _set_reason(engine, f"{backend} is being built, since {why}, and takes over when it is ready")
        else:
            due = self._setbacks.due(
                engine.size, besides={_EVERY_BACKEND, LAST_RESORT, engine.info.backend, *self._hung_backends()}
            )
            if due is None:
                return
            backend, how = due, "tried again"
        asked_for = self._request if self._request.backend in ("auto", backend) else self._any_backend
        request, ticket = replace(asked_for, backend=backend), self._new_ticket()
        why = f"{how} while {engine.info.backend} served"
        create = partial(create_engine, request, engine.size, why=why, ticket=ticket)
        self._build = BackgroundBuild(backend, ticket, create)

    def _take_over(self, engine: Engine, build: BackgroundBuild) -> Engine:
        """Change to the engine that was made in the background, if it is ready; the engine that runs then."""
        running = build.running  # asked first: what ends between the two questions is taken with the next pair
        better = build.take()
        if better is not None:
            self._build = self._to_build = None
            if build.backend != better.info.backend:  # the backend itself is forgiven when it has fused a pair
                self._setbacks.forgive(build.backend, engine.size)
            self._say(f"{better.info.backend} takes over from {engine.info.backend} at {engine.size}.")
            self._replace(better)
            return better
        if running:
            return engine
        self._build = None
        if not build.stopped:  # else it begins anew with the next pair
            self._to_build = None
            setback = self._setbacks.note(build.backend, engine.size, build.error, build.took_s)
            seconds = self._setbacks.seconds_until_retry(setback)
            _set_reason(engine, f"the better engine, of {build.backend}, could not be built: {build.error}")
            self._say(f"{build.backend} cannot take over, and is tried again in {seconds:.0f} s: {build.error}")
        return engine

    def _abandon_build(self) -> None:
        if self._build is not None:
            self._build.abandon()
            self._build = None

    # -- a broken one --------------------------------------------------------------------------------------------------

    def _fall_back(self, size: ImageSize) -> str:
        """Give up the engine that runs, at its size, for the next backend; returns a sentence on what came of it."""
        broken = self.info.backend
        self._abandon_build()
        self._setbacks.note(broken, size, self.last_error, in_use=True)
        self._free_gpu()
        try:
            engine = self._create(size, others_too=True)
        except BuildStoppedError:
            raise
        except Exception:
            if broken == LAST_RESORT:
                self._setbacks.forgive(broken, size)
                return "There is nothing left to fall back to; it is tried again."
            engine = create_engine(replace(self._any_backend, backend=LAST_RESORT), size)
        self._replace(engine)
        failures, self.failures_in_a_row = self.failures_in_a_row, 0
        return f"After {failures} failures in a row of {broken}, {engine.info.backend} takes over."

    def _replace(self, engine: Engine) -> None:
        """Change to an engine that fits the pairs that come."""
        if self._engine is not None:
            self._engine.close()
        self._engine = engine
        self.refused = ""
        self._setbacks.forgive(_EVERY_BACKEND, engine.size)
        in_place_of = (
            who
            for who, setback in self._setbacks.at(engine.size).items()
            if setback.in_use and who != engine.info.backend
        )
        self.fell_back_from = next(in_place_of, None)


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {one_line(error)}."


def _set_reason(engine: Engine, reason: str) -> None:
    engine.info = replace(engine.info, reason=reason)
