# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Keeps an engine running: builds one for the size that comes, and replaces a backend that keeps failing."""

from __future__ import annotations

import numpy as np

from refinefuse_ros.engine.base import Engine, EngineError, EngineInfo
from refinefuse_ros.engine.factory import EngineRequest, create_engine
from refinefuse_ros.image.frame import ImageSize

DEFAULT_MAX_FAILURES = 5


class EngineHost:
    """The engine as the pipeline sees it: always the right size, and replaced when it is broken.

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
        self._engine: Engine = create_engine(request, size)
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
                self._replace(create_engine(self._request, size, exclude=self._given_up))
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
        self._engine.close()

    def _fall_back(self) -> str:
        """Try the next backend; returns a sentence on what came of it."""
        broken = self.info.backend
        self._given_up.add(broken)
        any_backend = EngineRequest(
            model=self._request.model
        )  # the precision and device asked for were the broken one's
        try:
            self._replace(create_engine(any_backend, self._engine.size, exclude=self._given_up))
        except EngineError as error:
            self._given_up.discard(broken)  # nothing else is there: keep trying this one
            return f"There is nothing to fall back to: {error}"
        self._request = any_backend
        self.fell_back_from = broken
        failures, self.failures_in_a_row = self.failures_in_a_row, 0
        return f"After {failures} failures in a row of {broken}, {self.info.backend} takes over."

    def _replace(self, engine: Engine) -> None:
        self._engine.close()
        self._engine = engine
