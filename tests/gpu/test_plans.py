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

"""Engines that are built on the device: built, kept, loaded, and not trusted where they are not what is wanted."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from refinefuse_ros.engine.artifacts import find_model
from refinefuse_ros.engine.base import Engine, EngineError
from refinefuse_ros.engine.cache import BuiltEngine, EngineCache, EngineNotBuiltError
from refinefuse_ros.engine.cuda import Gpu
from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.engine.graph import to_half
from refinefuse_ros.engine.host import EngineHost
from refinefuse_ros.engine.manifest import Manifest
from refinefuse_ros.engine.tensorrt_library import PlanRefusedError, find_library
from refinefuse_ros.image.frame import ImageSize

SIZE = ImageSize(640, 480)
SMALL = ImageSize(96, 64)  # for tests that build again and again
BUILDING = ["tensorrt", "torch_tensorrt"]
CLI = [sys.executable, "-m", "refinefuse_ros.commands.cli"]
TAKEN_OVER_WITHIN_S = 600


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which this test's engines are kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "refinefuse_ros"


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("model", ["nano", "base"])
@pytest.mark.parametrize("backend", BUILDING)
def test_it_is_built_here_and_the_next_start_loads_it(
    build: Callable[..., Engine], reference: Any, report: Any, backend: str, model: str
) -> None:
    with pytest.raises(EngineNotBuiltError):
        build(backend, model=model, rebuild="never")
    start = time.perf_counter()
    built = build(backend, model=model)
    built_s = time.perf_counter() - start
    built.close()
    start = time.perf_counter()
    loaded = build(backend, model=model, rebuild="never")
    loaded_s = time.perf_counter() - start
    report.add(
        "Plans at 640x480",
        backend=backend,
        model=model,
        built_s=built_s,
        loaded_s=loaded_s,
        gpu_mib=round(loaded.gpu_memory_bytes / 2**20) if backend == "tensorrt" else "",
        device=loaded.info.device,
    )
    assert "built because" in built.info.reason
    assert built.info.artifact_sha256 == loaded.info.artifact_sha256
    assert reference.difference(loaded, model).mean <= 0.1


@pytest.mark.parametrize("harm", ["cut short", "one byte changed"])
@pytest.mark.parametrize("backend", BUILDING)
def test_a_damaged_file_is_never_loaded(build: Callable[..., Engine], own_cache: Path, backend: str, harm: str) -> None:
    build(backend, size=SMALL).close()
    (artifact,) = own_cache.glob("*.engine")
    content = bytearray(artifact.read_bytes())
    content[len(content) // 2] ^= 1
    artifact.write_bytes(content[: len(content) // 2] if harm == "cut short" else content)
    with pytest.raises(EngineNotBuiltError, match="damaged"):
        build(backend, size=SMALL, rebuild="never")
    assert "is damaged: its SHA-256" in build(backend, size=SMALL).info.reason


@pytest.mark.parametrize(
    "changed",
    [
        {"gpu": "Another GPU"},
        {"compute_capability": "1.0"},
        {"backend_version": "0.1"},
        {"source_sha256": "0" * 64},
        {"code_version": "0.0.1"},
    ],
    ids=lambda changed: next(iter(changed)),
)
@pytest.mark.parametrize("backend", BUILDING)
def test_one_for_something_else_is_never_loaded(
    build: Callable[..., Engine], own_cache: Path, backend: str, changed: dict[str, str]
) -> None:
    build(backend, size=SMALL).close()
    (artifact,), (path,) = own_cache.glob("*.engine"), own_cache.glob("*.json")
    manifest = Manifest.from_json(path.read_text())
    other = replace(manifest, key=replace(manifest.key, **changed))
    artifact.rename(own_cache / f"{other.key.name}.engine")
    path.unlink()
    (own_cache / f"{other.key.name}.json").write_text(other.to_json())
    with pytest.raises(EngineNotBuiltError, match=next(iter(changed))):
        build(backend, size=SMALL, rebuild="never")
    assert f"{next(iter(changed))} is " in build(backend, size=SMALL).info.reason


@pytest.mark.parametrize("backend", BUILDING)
def test_one_that_the_library_refuses_is_replaced(
    build: Callable[..., Engine], reference: Any, own_cache: Path, backend: str
) -> None:
    """Its file is whole and its manifest fits: only the library can tell."""
    build(backend).close()
    (path,) = own_cache.glob("*.json")
    manifest = Manifest.from_json(path.read_text())
    content = (own_cache / f"{manifest.key.name}.engine").read_bytes()
    _plant(manifest, content[: len(content) // 2])
    if backend == "torch_tensorrt":
        with pytest.raises(EngineError, match="the next start compiles it again"):
            build(backend)
    engine = build(backend)
    assert "built because" in engine.info.reason
    assert reference.difference(engine, "nano").mean <= 0.1


def test_a_plan_for_another_generation_of_gpus_does_no_harm(
    build: Callable[..., Engine], reference: Any, report: Any, gpu: Gpu, own_cache: Path
) -> None:
    """TensorRT for RTX builds for GPUs that are not here: such a plan under the name of the right one."""
    build("tensorrt").close()
    library = find_library()
    if not library.serves_any_gpu_of_a_capability:
        pytest.skip(f"{library.title} builds only for the GPU that is there")
    (path,) = own_cache.glob("*.json")
    manifest = Manifest.from_json(path.read_text())
    other = (7, 5) if gpu.capability != (7, 5) else (8, 9)
    graph = to_half(find_model("nano").required_graph().read_bytes())
    foreign = library.build(graph, (SIZE.height, SIZE.width), "fp16", other)
    gpu.make_current()
    try:
        library.load(foreign, (SIZE.height, SIZE.width), "fp16")
        outcome = "loads"
    except PlanRefusedError as error:
        outcome = str(error)
    report.add("A plan for SM{}{} on this GPU".format(*other), outcome=outcome)
    _plant(manifest, foreign)
    assert reference.difference(build("tensorrt"), "nano").mean <= 0.1


@pytest.mark.usefixtures("own_cache")
def test_one_that_is_built_in_the_background_takes_over(
    need: Callable[[str], None], planes: Any, reference: Any, report: Any
) -> None:
    need("tensorrt")
    host = EngineHost(EngineRequest("nano"), SIZE)
    try:
        first, start, frames = host.info.backend, time.monotonic(), 0
        while host.info.backend != "tensorrt" and time.monotonic() < start + TAKEN_OVER_WITHIN_S:
            picture = host.fuse(*planes(SIZE)[0]).copy()
            frames += 1
            assert reference.of([picture], "nano", SIZE).mean <= 1  # a CPU may serve in bf16
        report.add("Built in the background", served=first, frames=frames, seconds=time.monotonic() - start)
        assert first != "tensorrt"
        assert host.info.backend == "tensorrt"
        assert reference.of([host.fuse(*planes(SIZE)[0]).copy()], "nano", SIZE).mean <= 0.1
    finally:
        host.close()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize(("backend", "kind"), [("tensorrt", "tensorrt"), ("torch_tensorrt", "torch-tensorrt")])
def test_it_is_exported_by_the_command(
    need: Callable[[str], None], report: Any, tmp_path: Path, backend: str, kind: str, precision: str
) -> None:
    need(backend)
    options = ["--model", "nano", "--format", kind, "--precision", precision, "--size", "640x480"]
    done = subprocess.run(
        [*CLI, "export", *options, "--output", str(tmp_path)], capture_output=True, text=True, timeout=1000
    )
    report.add("refinefuse export", backend=backend, precision=precision, said=done.stdout or done.stderr)
    assert done.returncode == 0, done.stderr[-2000:]
    assert list(tmp_path.glob("*.engine"))


def test_doctor_runs_what_is_here(need: Callable[[str], None], report: Any) -> None:
    done = subprocess.run([*CLI, "doctor"], capture_output=True, text=True, timeout=1000)
    report.doctor = done.stdout
    need("torch_cuda")
    assert "engine torch_cuda: runs nano" in done.stdout


def _plant(manifest: Manifest, content: bytes) -> None:
    """Put an engine into the cache under the name of another, whole."""
    planted = BuiltEngine(content, replace(manifest, artifact_sha256=hashlib.sha256(content).hexdigest()))
    cache = EngineCache()
    cache.discard(manifest.key)
    cache.obtain(manifest.key, lambda: planted)
