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

"""What a GPU must show. These tests run where a GPU is and when they are asked for by `make test-gpu`; nothing in them
stands in for anything. What they find goes into out/gpu/report.md and report.json.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpu_report import Check, GpuReport
from refinefuse_ros.engine.base import Engine, EngineError
from refinefuse_ros.engine.cuda import Gpu, has_gpu, load_driver
from refinefuse_ros.engine.factory import BACKENDS, EngineRequest, create_engine
from refinefuse_ros.errors import one_line
from refinefuse_ros.evaluation.comparing import sample_pairs
from refinefuse_ros.image.frame import ImageSize

HERE = Path(__file__).parent
SIZE = ImageSize(640, 480)
TIMEOUT_S = 1200  # a plan may take minutes to build, and a network to be autotuned
LONGEST_REASON = 500  # characters
REPORT = pytest.StashKey[GpuReport]()
Planes = tuple[np.ndarray, np.ndarray]


class LeftOut(pytest.Module):
    """A module of this folder where its tests do not run: all of them are one line of the summary."""

    def collect(self) -> list[pytest.Item]:
        pytest.skip(_why_not(self.config))


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    return LeftOut.from_parent(parent, path=module_path) if _why_not(parent.config) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


def pytest_runtest_setup(item: pytest.Item) -> None:
    report = _report(item.config)
    report.running = item.name
    report.write(_folder(item.config))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    outcome = yield
    report = _report(item.config)
    if outcome.when == "call" or not outcome.passed:
        report.checks.append(Check(item.name, outcome.outcome, round(outcome.duration, 1), _reason(outcome)))
    if outcome.when == "teardown":
        report.running = ""
        report.write(_folder(item.config))
    return outcome


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and _asked_for(session.config) and not has_gpu():
        session.exitstatus = pytest.ExitCode.OK  # there is nothing to test here, which is no failure


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if REPORT in config.stash:
        terminalreporter.write_line(f"The report is in {_folder(config)}: report.md and report.json.")


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> GpuReport:
    return _report(pytestconfig)


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Plans are built by these tests, and kept for all of them, away from the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def gpu() -> Iterator[Gpu]:
    gpu = Gpu()
    yield gpu
    gpu.close()


@pytest.fixture(scope="session")
def planes() -> Callable[[ImageSize], list[Planes]]:
    """Four pairs of the synthetic street as the engines take them."""
    known: dict[ImageSize, list[Planes]] = {}

    def of(size: ImageSize) -> list[Planes]:
        if size not in known:
            known[size] = sample_pairs(None, size, 4).planes
        return known[size]

    return of


@dataclass(frozen=True)
class Difference:
    """Grey levels between pictures: the mean over all pixels, and the largest."""

    mean: float
    largest: int


class Reference:
    """The pictures of torch in fp32 on the CPU, which has no part in what is tested."""

    def __init__(self, planes: Callable[[ImageSize], list[Planes]]) -> None:
        self._planes = planes
        self._known: dict[tuple[str, ImageSize], list[np.ndarray]] = {}

    def pictures(self, model: str, size: ImageSize) -> list[np.ndarray]:
        if (model, size) not in self._known:
            engine = create_engine(EngineRequest(model, "torch", "fp32", "cpu"), size)
            self._known[model, size] = [engine.fuse(*pair).copy() for pair in self._planes(size)]
            engine.close()
        return self._known[model, size]

    def difference(self, engine: Engine, model: str) -> Difference:
        """Of what an engine makes of the pairs of its own size."""
        found = [engine.fuse(*pair).copy() for pair in self._planes(engine.size)]
        return self.of(found, model, engine.size)

    def of(self, found: Sequence[np.ndarray], model: str, size: ImageSize) -> Difference:
        expected = self.pictures(model, size)[: len(found)]
        apart = np.abs(np.array(found, np.int16) - np.array(expected, np.int16))
        return Difference(float(apart.mean()), int(apart.max()))


@pytest.fixture(scope="session")
def reference(planes: Callable[[ImageSize], list[Planes]]) -> Reference:
    return Reference(planes)


@pytest.fixture(scope="session")
def need(gpu: Gpu) -> Callable[[str], None]:
    """Skips a test, by name, whose backend is not installed here, or does not serve this GPU."""

    def need_backend(backend: str) -> None:
        packages = BACKENDS[backend].requires
        if all(find_spec(package) is None for package in packages):
            pytest.skip(f"{backend}: {' or '.join(packages)} is not installed")
        try:
            if backend.startswith("torch"):
                from refinefuse_ros.engine.torch_half import cuda_device

                cuda_device("auto")
            if BACKENDS[backend].builds:
                from refinefuse_ros.engine.tensorrt_library import find_library

                library = find_library()
                if backend == "tensorrt":
                    library.check_capability(gpu.capability)
        except EngineError as error:
            pytest.skip(f"{backend}: {one_line(error)}")

    return need_backend


@pytest.fixture
def build(need: Callable[[str], None]) -> Iterator[Callable[..., Engine]]:
    """Builds an engine of a backend on the GPU; all are closed when the test ends."""
    built: list[Engine] = []

    def build_engine(
        backend: str, precision: str = "auto", model: str = "nano", size: ImageSize = SIZE, rebuild: str = "auto"
    ) -> Engine:
        need(backend)
        built.append(create_engine(EngineRequest(model, backend, precision, "cuda", rebuild), size))
        return built[-1]

    yield build_engine
    for engine in built:
        engine.close()


def _why_not(config: pytest.Config) -> str:
    """Why nothing of this folder runs; empty if it does."""
    try:
        load_driver()
    except EngineError as error:
        return str(error)
    if not has_gpu():
        return "The NVIDIA driver sees no GPU."
    return "" if _asked_for(config) else "A GPU has tests of its own; run them by 'make test-gpu'."


def _asked_for(config: pytest.Config) -> bool:
    """Whether this folder, or something in it, was named."""
    named = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    return any(path == HERE or HERE in path.parents for path in named)


def _folder(config: pytest.Config) -> Path:
    return config.rootpath / "out/gpu"


def _report(config: pytest.Config) -> GpuReport:
    if REPORT not in config.stash:
        gpu = Gpu()
        config.stash[REPORT] = GpuReport("{}, SM{}{}".format(gpu.name, *gpu.capability))
        gpu.close()
    return config.stash[REPORT]


def _reason(outcome: pytest.TestReport) -> str:
    if isinstance(outcome.longrepr, tuple):  # of a skip: file, line and reason
        return outcome.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(outcome.longrepr, "reprcrash", None)
    return one_line(crash.message if crash else outcome.longrepr or "")[:LONGEST_REASON]
