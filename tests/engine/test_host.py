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

"""The host around planted engines: who takes over when, who is blamed for what, and what is tried again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from refinefuse_ros.engine import host as host_module
from refinefuse_ros.engine.base import Engine, EngineError, EngineInfo
from refinefuse_ros.engine.building import BuildStoppedError, BuildTicket
from refinefuse_ros.engine.calls import CallAbandonedError
from refinefuse_ros.engine.export import export_onnx
from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.engine.host import EngineHost, SizeRefusedError
from refinefuse_ros.engine.setbacks import RETRY_AFTER_S, RETRY_COST
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.network.variants import build

SIZE, OTHER = ImageSize(40, 32), ImageSize(64, 48)
WAIT_S = 10.0
TIMEOUT_S = 10.0  # of the clock that the tests turn


class FakeEngine(Engine):
    def __init__(self, backend: str, size: ImageSize, reason: str, factory: Factory, model: str) -> None:
        super().__init__(EngineInfo(backend, "", "fp16", model, "", size, reason), size_multiple=8)
        self.closed_by: threading.Thread | None = None
        self._broken, self._hanging = factory.broken, factory.hanging

    @property
    def closed(self) -> bool:
        return self.closed_by is not None

    def _run(self, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
        assert not self.closed
        if self.info.backend in self._hanging:
            assert self._hanging[self.info.backend].wait(3 * WAIT_S)
        if self.info.backend in self._broken:
            raise EngineError("The device fell off the bus.")
        return np.zeros_like(thermal)

    def close(self) -> None:
        self.closed_by = threading.current_thread()


@dataclass
class Factory:
    """A machine with tensorrt, whose engine is built when `may_finish` is set, and perhaps openvino.

    Attributes:
        others: the backends beside tensorrt that `auto` may take.
        error: why tensorrt's engine cannot be built.
        cached: tensorrt's engines need not be built.
        refused: sizes that no backend can serve.
        refused_precision: one that no backend has.
        model: that was asked for last.
        broken: backends that fail when they run.
        hanging: backends that do not return when they run, until the event is set.
        slow_s: how long making an engine takes by `clock_s`.
        clock_s: the host's clock.
        building: the builds of tensorrt that have begun, by size.
        asked: what was asked for, in order.
        made: every engine, in order.
        alive: at each making, the backends that were not closed.
    """

    others: tuple[str, ...] = ("openvino",)
    error: str = ""
    cached: bool = False
    refused: set[ImageSize] = field(default_factory=set)
    refused_precision: str = ""
    model: str = ""
    broken: set[str] = field(default_factory=set)
    hanging: dict[str, threading.Event] = field(default_factory=dict)
    slow_s: float = 0.0
    clock_s: float = 0.0
    may_finish: threading.Event = field(default_factory=threading.Event)
    building: list[ImageSize] = field(default_factory=list)
    asked: list[tuple[str, ImageSize]] = field(default_factory=list)
    made: list[FakeEngine] = field(default_factory=list)
    alive: list[list[str]] = field(default_factory=list)

    def __call__(
        self,
        request: EngineRequest,
        size: ImageSize,
        exclude: Collection[str] = (),
        not_built: dict[str, str] | None = None,
        why: str = "",
        ticket: BuildTicket | None = None,
    ) -> Engine:
        self.asked.append((request.backend, size))
        self.model = request.model
        self.clock_s += self.slow_s
        if size in self.refused:
            raise EngineError(f"The GPU has no memory for {size}; use a smaller size.")
        if request.precision == self.refused_precision:
            raise EngineError("No backend has this precision.")
        if "tensorrt" not in exclude and request.backend in ("auto", "tensorrt"):
            if self.cached:
                return self.make("tensorrt", size, why)
            if request.rebuild == "auto":
                return self.build(size, why, ticket or BuildTicket())
            if not_built is not None:
                not_built["tensorrt"] = "the cached engine's gpu is A and not B"
        for other in self.others:
            if other not in exclude and request.backend in ("auto", other):
                return self.make(other, size)
        if request.backend == "laplacian":
            return self.make("laplacian", size)
        raise EngineError("No backend can run the model.")

    def build(self, size: ImageSize, why: str, ticket: BuildTicket) -> FakeEngine:
        with ticket.turn(f"tensorrt for {size}"):
            ticket.begin()
            self.building.append(size)
            deadline = time.monotonic() + 3 * WAIT_S
            while not self.may_finish.wait(0.001):
                assert time.monotonic() < deadline
                ticket.check()
            if self.error:
                raise EngineError(self.error)
            return self.make("tensorrt", size, f"{why}; built because the cached engine's gpu is A and not B")

    def make(self, backend: str, size: ImageSize, reason: str = "first usable backend") -> FakeEngine:
        self.alive.append([engine.info.backend for engine in self.made if not engine.closed])
        self.made.append(FakeEngine(backend, size, reason, self, self.model))
        return self.made[-1]

    def now(self) -> float:
        return self.clock_s


@pytest.fixture
def factory(monkeypatch: pytest.MonkeyPatch) -> Factory:
    factory = Factory()
    monkeypatch.setattr(host_module, "create_engine", factory)
    return factory


def fuse(host: EngineHost, size: ImageSize = SIZE) -> str:
    """Fuse a pair; the backend that did."""
    plane = np.zeros((size.height, size.width), np.uint8)
    host.fuse(plane, plane)
    return host.info.backend


def fuse_until(host: EngineHost, done: Callable[[], bool], size: ImageSize = SIZE) -> None:
    deadline = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < deadline
        fuse(host, size)
        time.sleep(0.001)


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def fail(host: EngineHost, size: ImageSize = SIZE, times: int = 1) -> str:
    """Let pairs fail; the last one's sentence."""
    for _ in range(times):
        with pytest.raises(EngineError) as caught:
            fuse(host, size)
    return str(caught.value)


# -- an engine that has to be built first -----------------------------------------------------------------------------


def test_the_better_engine_takes_over_when_it_is_ready(factory: Factory) -> None:
    said: list[str] = []
    host = EngineHost(EngineRequest(), SIZE, say=said.append)
    fuse(host)
    assert host.info.backend == "openvino"
    assert host.info.reason == (
        "tensorrt is being built, since the cached engine's gpu is A and not B, and takes over when it is ready"
    )
    wait_until(lambda: bool(factory.building))
    assert (host.build.what, host.build.state) == (f"tensorrt for {SIZE}", "building")
    factory.may_finish.set()
    fuse_until(host, lambda: host.info.backend == "tensorrt")
    assert host.info.reason == "built while openvino served; built because the cached engine's gpu is A and not B"
    assert [engine.closed for engine in factory.made] == [True, False]
    assert host.build.state == "built"
    assert said[0] == f"Building tensorrt for {SIZE}; this may take minutes."
    assert said[1].startswith("Built after ")
    assert said[2:] == [f"tensorrt takes over from openvino at {SIZE}."]
    host.close()


def test_nothing_is_built_before_a_pair_has_told_the_size(factory: Factory) -> None:
    factory.may_finish.set()
    host = EngineHost(EngineRequest(), SIZE)
    assert host.info.reason.startswith(f"tensorrt is built when images of {SIZE} come, since the cached engine's")
    fuse_until(host, lambda: host.info.backend == "tensorrt", OTHER)
    assert (host.info.size, factory.building) == (OTHER, [OTHER])
    host.close()


def test_an_engine_that_cannot_be_built_leaves_the_other_one_serving_and_is_tried_again(factory: Factory) -> None:
    factory.error = "The GPU is full."
    factory.may_finish.set()
    said: list[str] = []
    host = EngineHost(EngineRequest(), SIZE, now=factory.now, say=said.append)
    fuse_until(host, lambda: "could not be built: The GPU is full." in host.info.reason)
    assert said[-1] == "tensorrt cannot take over, and is tried again in 10 s: The GPU is full."
    assert (host.info.backend, host.build.state, host.fell_back_from) == ("openvino", "failed", None)
    factory.clock_s += RETRY_AFTER_S - 1
    for _ in range(50):
        fuse(host)
    assert len(factory.building) == 1
    factory.error = ""
    factory.clock_s += 1
    fuse_until(host, lambda: host.info.backend == "tensorrt")
    assert len(factory.building) == 2
    host.close()


def test_closing_stops_the_build(factory: Factory) -> None:
    host = EngineHost(EngineRequest(), SIZE)
    fuse(host)
    wait_until(lambda: bool(factory.building))
    host.close()
    wait_until(lambda: host.build.state == "stopped")
    assert [engine.closed for engine in factory.made] == [True]


def test_another_size_stops_the_build_of_the_one_before(factory: Factory) -> None:
    host = EngineHost(EngineRequest(), SIZE)
    fuse_until(host, lambda: factory.building == [SIZE])
    fuse_until(host, lambda: factory.building == [SIZE, OTHER], OTHER)  # it waited for the turn
    factory.may_finish.set()
    fuse_until(host, lambda: host.info.backend == "tensorrt", OTHER)
    assert [(engine.info.backend, engine.info.size) for engine in factory.made] == [
        ("openvino", SIZE),
        ("openvino", OTHER),
        ("tensorrt", OTHER),
    ]
    host.close()


def test_a_suspended_host_builds_nothing_and_begins_anew_when_it_goes_on(factory: Factory) -> None:
    host = EngineHost(EngineRequest(), SIZE)
    fuse_until(host, lambda: bool(factory.building))
    host.suspend()
    wait_until(lambda: host.build.state == "stopped")
    for _ in range(5):
        fuse(host)
    assert len(factory.building) == 1
    host.resume()
    factory.may_finish.set()
    fuse_until(host, lambda: host.info.backend == "tensorrt")
    assert len(factory.building) == 2
    host.close()


def test_a_pair_that_waits_for_a_build_does_not_when_the_host_is_suspended(factory: Factory) -> None:
    factory.may_finish.set()
    host = EngineHost(EngineRequest(backend="tensorrt"), SIZE)
    factory.may_finish.clear()
    outcome: list[Exception] = []

    def work() -> None:
        try:
            fuse(host, OTHER)
        except Exception as error:
            outcome.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    wait_until(lambda: OTHER in factory.building)
    host.suspend()
    worker.join(WAIT_S)
    assert isinstance(outcome[0], BuildStoppedError)
    host.resume()
    factory.may_finish.set()
    assert fuse(host, OTHER) == "tensorrt"  # at once: being stopped was no failure


def test_an_interrupt_stops_the_build_for_which_configuring_waits(factory: Factory) -> None:
    interrupted = threading.Event()
    outcome: list[Exception] = []

    def work() -> None:
        try:
            EngineHost(EngineRequest(backend="tensorrt"), SIZE, interrupted=interrupted)
        except Exception as error:
            outcome.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    wait_until(lambda: bool(factory.building))
    interrupted.set()
    worker.join(WAIT_S)
    assert isinstance(outcome[0], BuildStoppedError)


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
    fuse(host)
    fuse(host)
    assert [engine.info.backend for engine in factory.made] == ["openvino"]


# -- a size that cannot be served -------------------------------------------------------------------------------------


def test_pairs_of_a_size_that_the_graph_does_not_have_cost_only_themselves(tmp_path: Path) -> None:
    graph, right, wrong = tmp_path / "static.onnx", ImageSize(64, 64), ImageSize(96, 64)
    export_onnx(build("nano").eval(), graph, right)
    host = EngineHost(EngineRequest(model=str(graph)), right)
    for _ in range(7):
        with pytest.raises(SizeRefusedError, match=r"Images of 96x64 cannot be fused: .* takes planes of 64x64"):
            fuse(host, wrong)
    assert host.refused
    assert fuse(host, right) == "openvino"
    assert (host.fell_back_from, host.failures_in_a_row, host.refused) == (None, 0, "")
    host.close()


def test_a_refused_size_is_tried_again_after_ever_longer_pauses(factory: Factory) -> None:
    factory.refused = {OTHER}
    host = EngineHost(EngineRequest(rebuild="never"), SIZE, now=factory.now)
    (kept,) = factory.made
    tried_s: list[float] = []
    for _ in range(3000):
        before = len(factory.asked)
        assert "The GPU has no memory for 64x48; use a smaller size; this is tried again in" in fail(host, OTHER)
        if len(factory.asked) > before:
            tried_s.append(factory.clock_s)
        factory.clock_s += 1.0
    assert np.diff(tried_s).tolist() == [10, 20, 40, 80, 160, 320, 600, 600, 600]
    factory.refused = set()
    factory.clock_s += 600
    assert fuse(host, OTHER) == "openvino"
    assert kept.closed
    fuse(host)
    factory.refused = {OTHER}
    assert "in 10 s" in fail(host, OTHER)  # what worked is forgiven


def test_a_refused_size_that_comes_back_need_not_wait_out_a_long_pause(factory: Factory) -> None:
    factory.refused = {OTHER}
    host = EngineHost(EngineRequest(rebuild="never"), SIZE, now=factory.now)
    for _ in range(4):
        fail(host, OTHER)
        factory.clock_s += 1000
    factory.clock_s -= 990
    assert "in 70 s" in fail(host, OTHER)
    factory.refused = set()
    fuse(host)
    assert fuse(host, OTHER) == "openvino"


def test_a_try_that_costs_much_is_made_more_rarely(factory: Factory) -> None:
    factory.refused, factory.slow_s = {OTHER}, 100.0
    host = EngineHost(EngineRequest(rebuild="never"), SIZE, now=factory.now)
    assert f"tried again in {RETRY_COST * 100:.0f} s" in fail(host, OTHER)
    for _ in range(20):  # two cameras on one topic
        fuse(host)
        fail(host, OTHER)
    assert len(factory.asked) == 2


def test_the_backend_asked_for_gives_way_at_a_size_that_it_refuses_time_and_again(factory: Factory) -> None:
    factory.cached = True
    said: list[str] = []
    host = EngineHost(EngineRequest(backend="tensorrt"), SIZE, max_failures=3, now=factory.now, say=said.append)
    factory.cached, factory.error = False, "The GPU has no memory."
    factory.may_finish.set()
    fail(host, OTHER, times=3)
    assert len(factory.building) == 1  # once, and not for each pair
    assert fuse(host, OTHER) == "openvino"
    assert host.fell_back_from == "tensorrt"
    assert f"openvino takes over at {OTHER}: The GPU has no memory." in said
    factory.error = ""
    factory.clock_s += RETRY_COST * WAIT_S
    fuse_until(host, lambda: host.info.backend == "tensorrt", OTHER)
    fuse(host, OTHER)
    assert host.fell_back_from is None
    host.close()


def test_the_precision_asked_for_gives_way_likewise(factory: Factory) -> None:
    host = EngineHost(EngineRequest(precision="int8", rebuild="never"), SIZE, max_failures=2, now=factory.now)
    factory.refused_precision = "int8"
    fail(host, OTHER, times=2)
    fuse(host, OTHER)
    given_way = host._engine
    factory.refused_precision = ""
    factory.clock_s += RETRY_AFTER_S
    fuse_until(host, lambda: host._engine is not given_way, OTHER)
    factory.clock_s += RETRY_AFTER_S
    made = len(factory.made)
    for _ in range(5):
        fuse(host, OTHER)
    assert (len(factory.made), host._build, host.fell_back_from) == (made, None, None)


# -- memory -----------------------------------------------------------------------------------------------------------


def test_the_gpu_is_freed_before_an_engine_of_another_size_is_made(factory: Factory) -> None:
    factory.cached = True
    host = EngineHost(EngineRequest(), SIZE)
    fuse(host, OTHER)
    assert factory.alive == [[], []]


def test_on_the_cpu_the_engine_serves_until_the_next_one_is_there(factory: Factory) -> None:
    host = EngineHost(EngineRequest(rebuild="never"), SIZE)
    fuse(host, OTHER)
    assert factory.alive == [[], ["openvino"]]
    assert [engine.closed for engine in factory.made] == [True, False]


def test_an_engine_that_made_way_for_a_size_that_does_not_fit_comes_back(factory: Factory) -> None:
    factory.cached, factory.refused = True, {OTHER}
    host = EngineHost(EngineRequest(), SIZE, now=factory.now)
    fail(host, OTHER, times=7)
    assert (host.info.backend, host.info.size) == ("tensorrt", SIZE)
    assert fuse(host) == "tensorrt"
    fail(host, OTHER)  # not tried yet: the engine stays
    assert fuse(host) == "tensorrt"
    assert [engine.closed for engine in factory.made] == [True, False]
    assert host.fell_back_from is None


# -- a backend that fails when it runs --------------------------------------------------------------------------------


def test_a_backend_is_given_up_only_at_the_size_at_which_it_failed(factory: Factory) -> None:
    factory.cached = True
    host = EngineHost(EngineRequest(), SIZE, max_failures=2, now=factory.now)
    factory.broken.add("tensorrt")
    assert "After 2 failures in a row of tensorrt, openvino takes over" in fail(host, times=2)
    assert fuse(host) == "openvino"
    assert host.fell_back_from == "tensorrt"
    factory.broken.clear()
    assert fuse(host, OTHER) == "tensorrt"
    assert host.fell_back_from is None
    assert fuse(host) == "openvino"
    assert host.fell_back_from == "tensorrt"


def test_a_backend_that_was_given_up_is_tried_again_beside_the_one_that_serves(factory: Factory) -> None:
    factory.cached = True
    host = EngineHost(EngineRequest(), SIZE, max_failures=1, now=factory.now)
    factory.broken.add("tensorrt")
    pauses = []
    for _ in range(3):
        fail(host)
        fuse(host)
        start_s, made = factory.clock_s, len(factory.made)
        while len(factory.made) == made:
            assert fuse(host) == "openvino"
            factory.clock_s += 1
            if host._build is not None:
                wait_until(lambda: not host._build.running)
        pauses.append(factory.clock_s - start_s)
    assert pauses == [11, 21, 41]  # the pair that begins it is the first after the pause
    factory.broken.clear()
    assert fuse(host) == "tensorrt"
    assert host.info.reason == "tried again while openvino served"
    assert host.fell_back_from is None
    fuse(host, OTHER)
    assert fuse(host) == "tensorrt"  # what has fused a pair is forgiven


def test_with_no_network_left_the_last_resort_serves_until_one_can_again(factory: Factory) -> None:
    factory.broken = {"openvino"}
    host = EngineHost(EngineRequest(rebuild="never"), SIZE, max_failures=2, now=factory.now)
    assert "laplacian takes over" in fail(host, times=2)
    assert fuse(host) == "laplacian"
    factory.broken.clear()
    factory.clock_s += RETRY_AFTER_S
    fuse_until(host, lambda: host.info.backend == "openvino")


def test_an_error_of_any_kind_counts_as_a_failure(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(self: FakeEngine, *planes: np.ndarray) -> np.ndarray:
        raise AttributeError("no such kernel")

    factory.others = ("openvino", "torch")
    host = EngineHost(EngineRequest(rebuild="never"), SIZE, max_failures=2)
    with monkeypatch.context() as patched:
        patched.setattr(FakeEngine, "_run", crash)
        with pytest.raises(AttributeError):
            fuse(host)
        assert fail(host) == "AttributeError: no such kernel. After 2 failures in a row of openvino, torch takes over."
    assert fuse(host) == "torch"


# -- a backend that hangs ---------------------------------------------------------------------------------------------


@dataclass
class Worker:
    """Fuses one pair in a thread of its own, which may hang."""

    host: EngineHost
    outcome: list[Exception | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self) -> None:
        try:
            fuse(self.host)
            self.outcome.append(None)
        except Exception as error:
            self.outcome.append(error)


def hang(host: EngineHost, factory: Factory) -> Worker:
    """Let a worker hang in the host's engine until the host gives it up."""
    release = factory.hanging.setdefault(host.info.backend, threading.Event())
    worker = Worker(host)
    wait_until(lambda: host._calls._running is not None)
    assert host.give_up_hung() == ""  # it has only begun
    factory.clock_s += TIMEOUT_S + 1
    assert (
        f"The {host.info.backend} engine has not returned for {TIMEOUT_S + 1:.1f} s. It is given" in host.give_up_hung()
    )
    assert host.give_up_hung() == ""  # once
    assert not release.is_set()
    return worker


def test_an_engine_that_hangs_is_left_to_its_thread_and_the_next_backend_serves(factory: Factory) -> None:
    factory.others = ("openvino", "torch")
    host = EngineHost(EngineRequest(rebuild="never"), SIZE, timeout_s=TIMEOUT_S, now=factory.now)
    worker = hang(host, factory)
    (hung,) = factory.made
    assert fuse(host) == "torch"
    assert host.hung.startswith("The openvino engine hangs: it has not returned for 11 s; torch runs in its place;")
    assert (host.fell_back_from, host.failures_in_a_row, hung.closed) == ("openvino", 0, False)
    assert fuse(host, OTHER) == "torch"
    assert host.fell_back_from == "openvino"
    factory.clock_s += 10 * RETRY_AFTER_S
    for _ in range(5):
        assert fuse(host) == "torch"  # what hangs is not tried again
    host.close()
    assert not hung.closed
    factory.hanging["openvino"].set()
    worker.thread.join(WAIT_S)
    assert isinstance(worker.outcome[0], CallAbandonedError)
    assert hung.closed_by is worker.thread


def test_a_call_that_returns_after_all_lets_its_backend_be_tried_again(factory: Factory) -> None:
    factory.others = ("openvino", "torch")
    host = EngineHost(EngineRequest(rebuild="never"), SIZE, timeout_s=TIMEOUT_S, now=factory.now)
    worker = hang(host, factory)
    fuse(host)
    factory.broken.add("openvino")  # the late call fails, which is nobody's failure any more
    factory.hanging.pop("openvino").set()
    worker.thread.join(WAIT_S)
    assert isinstance(worker.outcome[0], CallAbandonedError)
    assert (host.hung, host.failures_in_a_row, fuse(host)) == ("", 0, "torch")
    factory.broken.clear()
    factory.clock_s += RETRY_AFTER_S
    fuse_until(host, lambda: host.info.backend == "openvino")
    fuse(host)
    assert host.fell_back_from is None
    host.close()


def test_where_one_engine_on_a_gpu_hangs_none_on_a_gpu_is_used(factory: Factory) -> None:
    factory.cached, factory.others = True, ("torch_cuda", "openvino")
    host = EngineHost(EngineRequest(), SIZE, timeout_s=TIMEOUT_S, now=factory.now)
    hang(host, factory)
    assert fuse(host) == "openvino"
    factory.hanging["tensorrt"].set()


def test_with_no_network_beside_one_that_hangs_the_last_resort_serves(factory: Factory) -> None:
    host = EngineHost(EngineRequest(rebuild="never"), SIZE, timeout_s=TIMEOUT_S, now=factory.now)
    hang(host, factory)
    assert fuse(host) == "laplacian"
    assert fuse(host, OTHER) == "laplacian"
    factory.hanging["openvino"].set()


def test_a_call_in_time_is_not_given_up(factory: Factory) -> None:
    host = EngineHost(EngineRequest(rebuild="never"), SIZE, timeout_s=TIMEOUT_S, now=factory.now)
    fuse(host)
    factory.clock_s += 2 * TIMEOUT_S
    assert host.give_up_hung() == ""
    assert (fuse(host), host.hung) == ("openvino", "")


# -- another model ----------------------------------------------------------------------------------------------------


def test_another_model_takes_over_with_the_next_pair(factory: Factory) -> None:
    factory.cached = True
    host = EngineHost(EngineRequest("base"), SIZE)
    fuse(host)
    assert (host.info.model, len(factory.made)) == ("base", 1)
    host.use("nano")
    assert len(factory.made) == 1
    fuse(host)
    assert (host.info.model, factory.alive[-1]) == ("nano", [])  # the GPU was freed before
    fuse(host)
    assert len(factory.made) == 2
    host.use("base")
    fuse(host, OTHER)
    assert (host.info.model, host.info.size) == ("base", OTHER)


def test_a_model_that_cannot_be_had_leaves_the_one_that_runs(factory: Factory) -> None:
    said: list[str] = []
    host = EngineHost(EngineRequest("base", rebuild="never"), SIZE, say=said.append)
    host.use("nano")
    factory.refused = {SIZE}
    fuse(host)
    assert (host.info.model, said) == (
        "base",
        ["The model nano cannot be used: The GPU has no memory for 40x32; use a smaller size."],
    )
    fuse(host)
    assert len(said) == 1
