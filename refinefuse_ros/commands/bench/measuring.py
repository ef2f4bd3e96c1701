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

"""One benchmark run: build every engine, render the inputs, let the engines take turns, report."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import cycle
from pathlib import Path
from typing import Final, NamedTuple

from refinefuse_ros.commands.bench.report import BenchEntry, BenchReport, Unavailable, check_report_file
from refinefuse_ros.commands.bench.throughput import Throughput, find_highest_rate
from refinefuse_ros.commands.bench.timing import ROUNDS, Planes, Timing, time_interleaved
from refinefuse_ros.commands.options import UsageError
from refinefuse_ros.engine.artifacts import find_model
from refinefuse_ros.engine.base import Engine, EngineError
from refinefuse_ros.engine.cuda import has_gpu
from refinefuse_ros.engine.factory import BACKENDS, LAST_RESORT, PRECISIONS, EngineRequest, create_engine
from refinefuse_ros.errors import UserError, one_line
from refinefuse_ros.evaluation.comparing import still_planes
from refinefuse_ros.image.frame import Frame, ImageSize
from refinefuse_ros.image.normalization import ThermalNormalizer
from refinefuse_ros.image.sources import ImagePair
from refinefuse_ros.image.synthetic import SyntheticScene
from refinefuse_ros.machine import describe_machine, describe_software, gpu_memory_used_mib, resident_mib
from refinefuse_ros.pipeline import FusionPipeline
from refinefuse_ros.progress import progress
from refinefuse_ros.resources import sha256_of

_PAIRS: Final = 8
DEFAULT_SIZE: Final = ImageSize(640, 480)


class _Candidate(NamedTuple):
    """What may be measured; `device` is "auto" or, for the eager baseline on a GPU, "cuda".

    `origin` is the model whose eager torch is the baseline: of a graph without weights, the first model of the run.
    """

    backend: str
    precision: str
    device: str
    model: str
    origin: str

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda" or BACKENDS[self.backend].needs_gpu

    @property
    def baseline(self) -> _Candidate:
        """Eager torch in fp32 on the same kind of device."""
        return _Candidate("torch", "fp32", "cuda" if self.on_gpu else "auto", self.origin, self.origin)


@dataclass(frozen=True)
class _Contender:
    """An engine that was built, and what building it took."""

    candidate: _Candidate
    engine: Engine
    build_s: float
    memory_mib: float | None
    gpu_memory_mib: float | None


@dataclass(frozen=True)
class _Inputs:
    """Pairs of the synthetic street, spread over its period: as the cameras give them and as the engines take them."""

    pairs: list[tuple[Frame, Frame]]
    planes: list[Planes]


def run_bench(
    models: str | Sequence[str] = "nano",
    backends: Sequence[str] | None = None,
    size: ImageSize = DEFAULT_SIZE,
    frames: int = 100,
    warm_up: int = 10,
    *,
    precisions: Sequence[str] | None = None,
    throughput: bool = False,
    output: Path | None = None,
    quiet: bool = False,
) -> BenchReport:
    """Time every available backend and precision on the same inputs in one run.

    Args:
        models: "base", "nano" or a path, or several of them, such as a model and its int8 graph.
        backends: to try; None for all.
        size: of the images.
        frames: to time per entry.
        warm_up: untimed frames per entry before.
        precisions: to try of each backend; None for all.
        throughput: also search the highest rate of the whole pipeline, entry by entry, in six trials each: of 3 s, or
            of 40 frames where those take longer.
        output: also write the report to this .md or .json file.
        quiet: no progress on stderr.

    Returns:
        The report. What cannot run here, or fails on the way, is in its `unavailable` with a sentence.

    Raises:
        EngineError: there is no such model, or no backend can run it.
        UsageError: an argument is out of its range.
        UserError: `output` has another suffix or cannot be written.
    """
    backends = _check_choice("backend", backends, tuple(BACKENDS))
    precisions = _check_choice("precision", precisions, tuple(name for name in PRECISIONS if name != "auto"))
    if frames < 1 or warm_up < 0:
        raise UsageError(f"{frames} frames after {warm_up} to warm up is no benchmark; use at least 1 after 0 or more.")
    if output:
        check_report_file(output)
    models = [models] if isinstance(models, str) else list(dict.fromkeys(models))
    files = [find_model(model) for model in models]
    started, load_at_start = datetime.now(timezone.utc), os.getloadavg()[0]
    with ExitStack() as stack:
        contenders, missing = _build_all(size, _candidates(models, backends, precisions), stack, quiet)
        inputs = _render(size)
        engines = {contender.candidate: contender.engine for contender in contenders}
        timings, failed = time_interleaved(engines, inputs.planes, frames, warm_up, quiet)
        rates: dict[_Candidate, Throughput] = {}
        if throughput:
            rates, failed_late = _find_rates({name: engines[name] for name in timings}, inputs.pairs, quiet)
            failed |= failed_late
        missing += [_missing(candidate, reason) for candidate, reason in failed.items()]
        entries = [
            _entry(contender, timings, rates.get(contender.candidate))
            for contender in contenders
            if contender.candidate not in failed
        ]
    if not entries:
        raise EngineError(f"No backend ran the model: {_listed(missing)}.")
    rounds = min(ROUNDS, frames)
    report = BenchReport(
        models=models,
        artifacts={path.name: sha256_of(path) for model in files for path in model.paths},
        size=str(size),
        inputs=f"{len(inputs.pairs)} pairs of the synthetic street, in memory",
        frames=math.ceil(frames / rounds) * rounds,
        rounds=rounds,
        warm_up=warm_up,
        entries=entries,
        unavailable=_merged(missing),
        machine=describe_machine(),
        software=describe_software(),
        started=started.isoformat(timespec="seconds"),
        load_average=(load_at_start, os.getloadavg()[0]),
    )
    if output:
        report.write(output)
    return report


def _check_choice(what: str, asked: Sequence[str] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """What was asked for, in the order of `known`; all of it when nothing was."""
    for name in asked or ():
        if name not in known:
            raise UserError(f"There is no {what} '{name}' to measure; use some of {', '.join(known)}.")
    return tuple(name for name in known if not asked or name in asked)


def _candidates(models: Sequence[str], backends: Sequence[str], precisions: Sequence[str]) -> list[_Candidate]:
    """Every precision of every backend for every model; eager torch on the CPU and, where there is one, on the GPU."""
    devices = {"torch": ("auto", "cuda")} if has_gpu() else {}
    return [
        _Candidate(backend, precision, device, model, model if find_model(model).weights else models[0])
        for model in models
        for backend in backends
        if backend != LAST_RESORT or model == models[0]  # it is the same for all of them
        for device in devices.get(backend, ("auto",))
        for precision in precisions
    ]


def _build_all(
    size: ImageSize, candidates: Sequence[_Candidate], stack: ExitStack, quiet: bool
) -> tuple[list[_Contender], list[Unavailable]]:
    """Build what can be built, to be closed by `stack`.

    Raises:
        EngineError: nothing can be built.
    """
    contenders: list[_Contender] = []
    missing: list[Unavailable] = []
    for candidate in progress(candidates, "building", len(candidates), quiet):
        try:
            contender = _build(size, candidate)
        except EngineError as error:
            missing.append(_missing(candidate, str(error)))
            continue
        stack.callback(contender.engine.close)
        contenders.append(contender)
    if not contenders:
        raise EngineError(f"No backend can run the model: {_listed(missing)}.")
    return contenders, missing


def _build(size: ImageSize, candidate: _Candidate) -> _Contender:
    request = EngineRequest(candidate.model, candidate.backend, candidate.precision, candidate.device)
    resident_before = resident_mib()
    gpu_before = gpu_memory_used_mib() if candidate.on_gpu else None
    start_s = time.perf_counter()
    engine = create_engine(request, size)
    build_s = time.perf_counter() - start_s
    taken_bytes = getattr(engine, "gpu_memory_bytes", None)  # nvidia-smi knows nothing of it on a Jetson
    if taken_bytes is not None:
        gpu_mib = taken_bytes / 2**20
    else:
        gpu_mib = _growth(gpu_before, gpu_memory_used_mib() if candidate.on_gpu else None)
    return _Contender(candidate, engine, build_s, _growth(resident_before, resident_mib()), gpu_mib)


def _growth(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _render(size: ImageSize) -> _Inputs:
    scene = SyntheticScene(size.width, size.height)
    pairs, planes = [], []
    for index in range(_PAIRS):
        thermal, rgb = scene.render(index * scene.PERIOD_S / _PAIRS)
        pairs.append((Frame(0, "thermal", "mono16", thermal), Frame(0, "rgb", "bgr8", rgb)))
        planes.append(still_planes(ImagePair(thermal, "mono16", rgb, 0.0), size))
    return _Inputs(pairs, planes)


def _find_rates(
    engines: dict[_Candidate, Engine], pairs: list[tuple[Frame, Frame]], quiet: bool
) -> tuple[dict[_Candidate, Throughput], dict[_Candidate, str]]:
    """The throughput of each engine's pipeline, and a sentence for each that failed."""
    rates: dict[_Candidate, Throughput] = {}
    failed: dict[_Candidate, str] = {}
    for candidate, engine in progress(engines.items(), "searching the highest rate", len(engines), quiet):
        try:
            rates[candidate] = find_highest_rate(_fuse_next(engine, pairs))
        except EngineError as error:
            failed[candidate] = f"failed while its highest rate was searched: {error}"
    return rates, failed


def _fuse_next(engine: Engine, pairs: list[tuple[Frame, Frame]]) -> Callable[[int], None]:
    """A function that puts the next pair, under the stamp it is given, through the whole pipeline."""
    pipeline = FusionPipeline(engine, ThermalNormalizer())
    coming = cycle(pairs)

    def fuse(stamp_ns: int) -> None:
        thermal, rgb = next(coming)
        pipeline.fuse(replace(thermal, stamp_ns=stamp_ns), replace(rgb, stamp_ns=stamp_ns))

    return fuse


def _entry(contender: _Contender, timings: dict[_Candidate, Timing], rate: Throughput | None) -> BenchEntry:
    timing = timings[contender.candidate]
    baseline = timings.get(contender.candidate.baseline)
    return BenchEntry(
        model=contender.candidate.model,
        engine=contender.engine.info.to_dict(),
        wall=timing.wall(),
        gpu=timing.gpu(),
        ratio_to_eager=timing.ratio_to(baseline) if baseline else None,
        ratio_of_minima=timing.wall().min / baseline.wall().min if baseline else None,
        build_s=contender.build_s,
        memory_mib=contender.memory_mib,
        gpu_memory_mib=contender.gpu_memory_mib,
        throughput=rate,
    )


def _missing(candidate: _Candidate, reason: str) -> Unavailable:
    name = candidate.backend if candidate.device == "auto" else f"{candidate.backend} on {candidate.device}"
    return Unavailable(candidate.model, name, [candidate.precision], reason)


def _listed(missing: list[Unavailable]) -> str:
    return "; ".join(map(one_line, _merged(missing)))


def _merged(missing: list[Unavailable]) -> list[Unavailable]:
    """One entry for the precisions that a backend lacks for the same reason."""
    merged: dict[tuple[str, str, str], Unavailable] = {}
    for item in missing:
        known = merged.setdefault(
            (item.model, item.backend, item.reason), Unavailable(item.model, item.backend, [], item.reason)
        )
        known.precisions.extend(item.precisions)
    return list(merged.values())
