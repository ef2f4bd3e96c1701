# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Keeps an engine running: builds one for the size that comes, and replaces a backend that keeps failing."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from refinefuse_ros.engine.background import BackgroundBuild
from refinefuse_ros.engine.base import Engine, EngineError, EngineInfo
from refinefuse_ros.engine.factory import LAST_RESORT, EngineRequest, create_engine
from refinefuse_ros.image.frame import ImageSize

DEFAULT_MAX_FAILURES = 5


class EngineHost:
    """The engine as the pipeline sees it: always the right size, and replaced when it is broken.

    With an `auto` backend nobody waits for a build: the best engine that is there serves, and the one that has to be
    built first takes over from it between two pairs.

    Attributes:
        failures_in_a_row: pairs that could not be fused since the last one that could.
        last_error: the newest failure's sentence, empty without one.
        fell_back_from: the backend that was given up, None while the first choice runs.

    Args:
        request: what to run.
        size: the size to build for now, so that configuring pays for it and not the first frame.
        max_failures: failures in a row after which the backend is given up for the next usable one.

    Raises:
        EngineError: no backend can run the model.
    """

    def __init__(self, request: EngineRequest, size: ImageSize, max_failures: int = DEFAULT_MAX_FAILURES) -> None:
        self._request = request
        self._max_failures = max_failures
        self._given_up: set[str] = set()
        self._build: BackgroundBuild | None = None
        self._engine: Engine = self._create(request, size)
        self.failures_in_a_row = 0
        self.last_error = ""
        self.fell_back_from: str | None = None

    @property
    def info(self) -> EngineInfo:
        return self._engine.info

    def fuse(self, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
        """As `Engine.fuse`, for planes of any size; a new size rebuilds the engine first (some 100 ms).

        Raises:
            EngineError: this pair could not be fused; the next one may be, by another backend.
        """
        try:
            size = ImageSize.of(visible)
            if size != self._engine.size:
                self._replace(self._create(self._request, size))
            elif self._build is not None:
                self._take_over(self._build)
            fused = self._engine.fuse(thermal, visible)
        except EngineError as error:
            self.failures_in_a_row += 1
            self.last_error = str(error)
            if self.failures_in_a_row >= self._max_failures:
                raise EngineError(f"{error} {self._fall_back()}") from error
            raise
        self.failures_in_a_row = 0
        return fused

    def close(self) -> None:
        self._abandon_build()
        self._engine.close()

    def _create(self, request: EngineRequest, size: ImageSize) -> Engine:
        """The best engine that is there at once; a better one that has to be built first is built meanwhile."""
        self._abandon_build()
        if request.backend != "auto" or request.rebuild == "never":
            return create_engine(request, size, self._given_up)
        not_built: dict[str, str] = {}
        try:
            engine = create_engine(replace(request, rebuild="never"), size, self._given_up, not_built)
        except EngineError:
            if not not_built:
                raise
            return create_engine(request, size, self._given_up)  # nothing serves meanwhile
        if not_built:
            backend, why = next(iter(not_built.items()))
            better = replace(request, backend=backend)
            served = f"built while {engine.info.backend} served"
            self._build = BackgroundBuild(size, partial(create_engine, better, size, why=served))
            _set_reason(engine, f"{backend} is being built, since {why}, and takes over when it is ready")
        return engine

    def _take_over(self, build: BackgroundBuild) -> None:
        """Change to the engine that was built in the background, if it is ready."""
        running = build.running  # asked first: what ends between the two questions is taken with the next pair
        engine = build.take()
        if engine is not None:
            self._replace(engine)
        elif not running:
            _set_reason(self._engine, f"the better engine could not be built: {build.error}")
        else:
            return
        self._build = None

    def _abandon_build(self) -> None:
        if self._build is not None:
            self._build.abandon()
            self._build = None

    def _fall_back(self) -> str:
        """Try the next backend; returns a sentence on what came of it."""
        broken = self.info.backend
        self._given_up.add(broken)
        # without the precision and the device asked for: they were the broken one's
        any_backend = EngineRequest(model=self._request.model, rebuild=self._request.rebuild)
        try:
            self._replace(self._create(any_backend, self._engine.size))
        except EngineError:
            if broken == LAST_RESORT:
                self._given_up.discard(broken)
                return "There is nothing left to fall back to; it is tried again."
            any_backend = replace(any_backend, backend=LAST_RESORT)
            self._replace(self._create(any_backend, self._engine.size))
        self._request = any_backend
        self.fell_back_from = broken
        failures, self.failures_in_a_row = self.failures_in_a_row, 0
        return f"After {failures} failures in a row of {broken}, {self.info.backend} takes over."

    def _replace(self, engine: Engine) -> None:
        self._engine.close()
        self._engine = engine


def _set_reason(engine: Engine, reason: str) -> None:
    engine.info = replace(engine.info, reason=reason)
