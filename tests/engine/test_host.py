# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""An engine that has to be built first is built while another one serves, and takes over between two pairs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import numpy as np
import pytest

from refinefuse_ros.engine import host as host_module
from refinefuse_ros.engine.base import Engine, EngineError, EngineInfo
from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.engine.host import EngineHost
from refinefuse_ros.image.frame import ImageSize

SIZE = ImageSize(40, 32)
PLANE = np.zeros((32, 40), np.uint8)


class FakeEngine(Engine):
    def __init__(self, backend: str, size: ImageSize, reason: str) -> None:
        super().__init__(EngineInfo(backend, "", "fp16", "nano", "", size, reason), size_multiple=8)
        self.closed = False

    def _run(self, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
        assert not self.closed
        return np.zeros_like(thermal)

    def close(self) -> None:
        self.closed = True


@dataclass
class Factory:
    """A machine with tensorrt, whose engine is built when `may_finish` is set, and perhaps openvino."""

    others: tuple[str, ...] = ("openvino",)
    error: str = ""
    may_finish: threading.Event = field(default_factory=threading.Event)
    made: list[FakeEngine] = field(default_factory=list)

    def __call__(
        self,
        request: EngineRequest,
        size: ImageSize,
        exclude: Collection[str] = (),
        not_built: dict[str, str] | None = None,
        why: str = "",
    ) -> Engine:
        if "tensorrt" not in exclude and request.backend in ("auto", "tensorrt"):
            if request.rebuild == "auto":
                assert self.may_finish.wait(10)
                if self.error:
                    raise EngineError(self.error)
                return self.make("tensorrt", size, f"{why}; built because the cached engine's gpu is A and not B")
            if not_built is not None:
                not_built["tensorrt"] = "the cached engine's gpu is A and not B"
        if request.backend == "auto" and self.others:
            return self.make(self.others[0], size)
        raise EngineError("No backend can run the model.")

    def make(self, backend: str, size: ImageSize, reason: str = "first usable backend") -> FakeEngine:
        self.made.append(FakeEngine(backend, size, reason))
        return self.made[-1]


@pytest.fixture
def factory(monkeypatch: pytest.MonkeyPatch) -> Factory:
    factory = Factory()
    monkeypatch.setattr(host_module, "create_engine", factory)
    return factory


def fuse_until(host: EngineHost, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        host.fuse(PLANE, PLANE)
        time.sleep(0.001)


def test_the_better_engine_takes_over_when_it_is_ready(factory: Factory) -> None:
    host = EngineHost(EngineRequest(), SIZE)
    host.fuse(PLANE, PLANE)
    assert host.info.backend == "openvino"
    assert host.info.reason == (
        "tensorrt is being built, since the cached engine's gpu is A and not B, and takes over when it is ready"
    )
    factory.may_finish.set()
    fuse_until(host, lambda: host.info.backend == "tensorrt")
    assert host.info.reason == "built while openvino served; built because the cached engine's gpu is A and not B"
    assert [engine.closed for engine in factory.made] == [True, False]
    host.close()


def test_an_engine_that_cannot_be_built_leaves_the_other_one_serving(factory: Factory) -> None:
    factory.error = "The GPU is full."
    host = EngineHost(EngineRequest(), SIZE)
    factory.may_finish.set()
    fuse_until(host, lambda: "could not be built: The GPU is full." in host.info.reason)
    host.fuse(PLANE, PLANE)
    assert host.info.backend == "openvino"


def test_closing_abandons_the_build(factory: Factory) -> None:
    host = EngineHost(EngineRequest(), SIZE)
    host.close()
    factory.may_finish.set()
    deadline = time.monotonic() + 10
    while not (len(factory.made) == 2 and all(engine.closed for engine in factory.made)):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_another_size_is_built_anew(factory: Factory) -> None:
    host = EngineHost(EngineRequest(), SIZE)
    factory.may_finish.set()
    plane = np.zeros((48, 64), np.uint8)
    host.fuse(plane, plane)
    deadline = time.monotonic() + 10
    while host.info.backend != "tensorrt":
        assert time.monotonic() < deadline
        host.fuse(plane, plane)
        time.sleep(0.001)
    assert host.info.size == ImageSize(64, 48)


def test_one_waits_where_nothing_else_serves(factory: Factory) -> None:
    factory.others = ()
    factory.may_finish.set()
    assert EngineHost(EngineRequest(), SIZE).info.backend == "tensorrt"


def test_one_waits_for_a_backend_that_was_asked_for(factory: Factory) -> None:
    factory.may_finish.set()
    assert EngineHost(EngineRequest(backend="tensorrt"), SIZE).info.backend == "tensorrt"


def test_never_rebuilding_builds_nothing(factory: Factory) -> None:
    host = EngineHost(EngineRequest(rebuild="never"), SIZE)
    factory.may_finish.set()
    host.fuse(PLANE, PLANE)
    assert [engine.info.backend for engine in factory.made] == ["openvino"]
