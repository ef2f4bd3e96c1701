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

"""How engines run on a GPU: as one CUDA graph, from any thread, for long, at the size that comes, and after a fault."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refinefuse_ros.engine.base import Engine
from refinefuse_ros.engine.cuda import Gpu
from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.engine.host import EngineHost
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.machine import resident_mib

SIZE = ImageSize(640, 480)
MIB = 2**20
BACKENDS = ["tensorrt", "torch_tensorrt", "torch_cuda", "torch"]
WINDOWS, FRAMES = 4, 250
# cuBLAS keeps a workspace for each stream of torch's, up to 32 MiB; base's features at this size are over 200.
KEPT_BY_CUBLAS_MIB = 48.0


@pytest.mark.parametrize("backend", ["tensorrt", "torch_cuda"])
def test_a_pair_is_one_cuda_graph(build: Callable[..., Engine], report: Any, backend: str) -> None:
    engine = build(backend)
    report.add("CUDA graph", backend=backend, captured=engine.captured, device=engine.info.device)
    assert engine.captured


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_pair_is_read_anew_and_the_same_one_gives_the_same_picture(
    build: Callable[..., Engine], planes: Any, reference: Any, backend: str
) -> None:
    engine = build(backend)
    first, second, again = (engine.fuse(*planes(SIZE)[index]).copy() for index in (0, 1, 0))
    assert np.abs(first.astype(np.int16) - again).max() <= 1
    assert reference.of([first, second], "nano", SIZE).mean <= 0.1
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_gpu_time_is_within_the_wall_time(build: Callable[..., Engine], planes: Any, backend: str) -> None:
    engine = build(backend)
    for pair in planes(SIZE):
        start = time.perf_counter()
        engine.fuse(*pair)
        wall_ms = 1000 * (time.perf_counter() - start)
        assert 0 < engine.gpu_ms <= wall_ms + 0.05


@pytest.mark.parametrize("backend", BACKENDS)
def test_another_thread_fuses_and_a_third_closes(
    build: Callable[..., Engine], planes: Any, reference: Any, backend: str
) -> None:
    engine = build(backend)
    with ThreadPoolExecutor(1) as worker:
        pictures = worker.submit(lambda: [engine.fuse(*pair).copy() for pair in planes(SIZE)]).result()
    assert reference.of(pictures, "nano", SIZE).mean <= 0.1
    with ThreadPoolExecutor(1) as other:
        other.submit(engine.close).result()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_thousand_frames_take_no_more_memory(
    build: Callable[..., Engine], planes: Any, gpu: Gpu, report: Any, backend: str
) -> None:
    """The least growth of four windows: a leak is in each of them, what another process takes is not."""
    engine = build(backend)
    pairs = planes(SIZE)

    def taken() -> tuple[float, float]:
        for index in range(FRAMES):
            engine.fuse(*pairs[index % len(pairs)])
        gc.collect()
        return resident_mib() or 0.0, -gpu.free_bytes() / MIB

    taken()  # what is put off until the first frames
    marks = [taken() for _ in range(WINDOWS + 1)]
    grown = [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(marks)]
    host, device = (min(window[index] for window in grown) for index in (0, 1))
    report.add(f"Memory, least growth in {FRAMES} frames, MiB", backend=backend, host=host, gpu=device)
    assert host <= 1
    assert device <= 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_closing_gives_the_memory_back(build: Callable[..., Engine], gpu: Gpu, report: Any, backend: str) -> None:
    def left_after_closing() -> float:
        build(backend, model="base").close()
        gc.collect()
        return -gpu.free_bytes() / MIB

    left_after_closing()  # the library's own, for the process
    before = left_after_closing()
    grown = min(left_after_closing() - before, left_after_closing() - before)
    report.add("Memory, growth from one engine to the next, MiB", backend=backend, gpu=grown)
    assert grown <= KEPT_BY_CUBLAS_MIB


@pytest.mark.parametrize("backend", BACKENDS)
def test_another_size_gets_its_engine_and_the_first_one_again(
    need: Callable[[str], None], planes: Any, reference: Any, backend: str
) -> None:
    need(backend)
    host = EngineHost(EngineRequest("nano", backend, device="cuda"), SIZE)
    try:
        for size in (SIZE, ImageSize(321, 243), SIZE):
            picture = host.fuse(*planes(size)[0]).copy()
            assert (host.info.backend, host.info.size) == (backend, size)
            assert reference.of([picture], "nano", size).mean <= 0.1
    finally:
        host.close()


@pytest.mark.parametrize("backend", ["tensorrt", "torch_tensorrt", "torch_cuda"])
def test_a_killed_context_leaves_the_cpu(need: Callable[[str], None], report: Any, backend: str) -> None:
    """In a process of its own, which the fault of a kernel makes useless for CUDA."""
    need(backend)
    program = Path(__file__).with_name("killed_context.py")
    done = subprocess.run([sys.executable, str(program), backend], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    report.add("Fallback from a killed context", backend=backend, **told)
    assert told["served_by"] in ("openvino", "torch")
    assert told["failures"] > 0
    assert told["mean_difference"] <= 1
