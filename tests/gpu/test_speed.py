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

"""How fast each backend is on a GPU, against eager torch in fp32 on it: all take turns in one run, timed by events and
by the wall. Nothing here fails for being slow: the goals and what was reached stand in the report.

Beside what ships, base in fp16 is tried in another memory format and compiled by torch.compile, each as one CUDA graph.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest
import torch

from refinefuse_ros.commands.bench.report import BenchEntry, BenchReport, Unavailable
from refinefuse_ros.commands.bench.timing import ROUNDS, Planes, Timing, time_interleaved
from refinefuse_ros.engine.artifacts import find_model
from refinefuse_ros.engine.base import Engine
from refinefuse_ros.engine.factory import EngineRequest, create_engine
from refinefuse_ros.engine.torch_cuda import TorchCudaEngine
from refinefuse_ros.errors import one_line
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.machine import describe_machine, describe_software
from refinefuse_ros.resources import sha256_of

Name = tuple[str, str]
FRAMES, WARM_UP = 200, 20
EAGER: Name = ("torch", "fp32")
SHIPPED = [(name, kind) for name in ("torch_cuda", "torch_tensorrt", "tensorrt") for kind in ("fp32", "fp16")]
LONGEST_REASON = 300  # characters; compilers append their whole output


class ContiguousEngine(TorchCudaEngine):
    """As it ships, but channels first."""

    def _prepare(self) -> None:
        self._network.to(memory_format=torch.contiguous_format)
        super()._prepare()


class CompiledEngine(TorchCudaEngine):
    """As it ships, but with the kernels that torch.compile writes (Triton) beside cuDNN's."""

    def _prepare(self) -> None:
        self._network = torch.compile(self._network, fullgraph=True, dynamic=False)
        super()._prepare()


class AutotunedEngine(TorchCudaEngine):
    """As `CompiledEngine`, but every kernel is chosen by timing, the convolutions' too."""

    def _prepare(self) -> None:
        mode = "max-autotune-no-cudagraphs"  # the graph is the engine's own, with the copies in it
        self._network = torch.compile(self._network, fullgraph=True, dynamic=False, mode=mode)
        super()._prepare()


EXPERIMENTS = {
    "torch_cuda, channels first": ContiguousEngine,
    "torch_cuda, compiled": CompiledEngine,
    "torch_cuda, autotuned": AutotunedEngine,
}


class Field:
    """The engines of one benchmark, eager torch first, and what could not be built for it."""

    def __init__(self, model: str, size: ImageSize) -> None:
        self.model, self.size = model, size
        self.engines: dict[Name, Engine] = {}
        self.missing: list[Unavailable] = []
        self._build_s: dict[Name, float] = {}

    def enter(self, name: Name, make: Callable[[], Engine]) -> Engine | None:
        start = time.perf_counter()
        try:
            engine = make()
        except (Exception, pytest.skip.Exception) as error:  # torch.compile raises whatever its compilers raise
            backend, precision = name
            self.missing.append(Unavailable(self.model, backend, [precision], one_line(error)[:LONGEST_REASON]))
            return None
        self._build_s[name] = time.perf_counter() - start
        engine.info = replace(engine.info, backend=name[0])
        self.engines[name] = engine
        return engine

    def enter_shipped(self, name: Name, need: Callable[[str], None]) -> None:
        def make() -> Engine:
            need(name[0])
            return create_engine(EngineRequest(self.model, *name, "cuda"), self.size)

        self.enter(name, make)

    def bench(self, planes: list[Planes]) -> BenchReport:
        started, load = datetime.now(timezone.utc), os.getloadavg()[0]
        timings, failed = time_interleaved(self.engines, planes, FRAMES, WARM_UP, quiet=True)
        broken = [Unavailable(self.model, name, [kind], reason) for (name, kind), reason in failed.items()]
        return BenchReport(
            models=[self.model],
            artifacts={path.name: sha256_of(path) for path in find_model(self.model).paths},
            size=str(self.size),
            inputs=f"{len(planes)} pairs of the synthetic street, in memory",
            frames=math.ceil(FRAMES / ROUNDS) * ROUNDS,
            rounds=ROUNDS,
            warm_up=WARM_UP,
            entries=[self._entry(name, timings) for name in timings],
            unavailable=self.missing + broken,
            machine=describe_machine(),
            software=describe_software(),
            started=started.isoformat(timespec="seconds"),
            load_average=(load, os.getloadavg()[0]),
        )

    def close(self) -> None:
        for engine in self.engines.values():
            engine.close()

    def _entry(self, name: Name, timings: dict[Name, Timing]) -> BenchEntry:
        timing, eager = timings[name], timings.get(EAGER)
        return BenchEntry(
            model=self.model,
            engine=self.engines[name].info.to_dict(),
            wall=timing.wall(),
            gpu=timing.gpu(),
            ratio_to_eager=timing.ratio_to(eager) if eager else None,
            ratio_of_minima=timing.wall().min / eager.wall().min if eager else None,
            build_s=self._build_s[name],
            memory_mib=None,
            gpu_memory_mib=None,
            throughput=None,
        )


@pytest.fixture
def field(need: Callable[[str], None], request: pytest.FixtureRequest) -> Iterator[Field]:
    """With eager torch on the GPU in it, which all are held against."""
    field = Field(*request.param)
    need("torch_cuda")
    field.enter_shipped(EAGER, need)
    yield field
    field.close()


@pytest.mark.parametrize(
    "field",
    [(model, size) for model in ("nano", "base") for size in (ImageSize(640, 480), ImageSize(1280, 1024))],
    ids=lambda param: "-".join(map(str, param)),
    indirect=True,
)
def test_what_ships(field: Field, need: Callable[[str], None], planes: Any, report: Any) -> None:
    for name in SHIPPED:
        field.enter_shipped(name, need)
    report.add_bench(field.bench(planes(field.size)))
    assert {EAGER, ("torch_cuda", "fp32"), ("torch_cuda", "fp16")} <= set(field.engines)


@pytest.mark.parametrize("field", [("base", ImageSize(640, 480))], ids=["base-640x480"], indirect=True)
def test_what_might_ship(field: Field, need: Callable[[str], None], planes: Any, reference: Any, report: Any) -> None:
    field.enter_shipped(("torch_cuda", "fp16"), need)
    for name, kind in EXPERIMENTS.items():
        engine = field.enter((name, "fp16"), lambda kind=kind: kind(find_model(field.model), field.size, "fp16"))
        if engine is not None:
            found = reference.difference(engine, field.model)
            report.add("Experiments, grey levels from torch in fp32", what=name, mean=found.mean, largest=found.largest)
    report.add_bench(field.bench(planes(field.size)))
    assert ("torch_cuda", "fp16") in field.engines
