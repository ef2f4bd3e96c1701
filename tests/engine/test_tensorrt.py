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

"""The TensorRT engine around a stand-in library and a stand-in driver: what is copied, captured, cached and released.

The stand-in plan gives the larger of both planes.
"""

from __future__ import annotations

import ctypes
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refinefuse_ros.engine import tensorrt as engine_module
from refinefuse_ros.engine.artifacts import ModelFiles, find_model
from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.engine.cache import EngineCache, EngineNotBuiltError
from refinefuse_ros.engine.cuda import Gpu
from refinefuse_ros.engine.tensorrt import TensorRtEngine
from refinefuse_ros.engine.tensorrt_library import PlanRefusedError
from refinefuse_ros.image.frame import ImageSize

SIZE = ImageSize(50, 41)  # padded to 64 x 48


class Library:
    """What the engine needs of `TensorRtLibrary`; it is also its own plan, engine and context."""

    backend, version, title, serves_any_gpu_of_a_capability = "tensorrt", "10.3.0", "TensorRT 10.3.0", False

    def __init__(self, cuda: Any) -> None:
        self.cuda = cuda
        self.built: list[tuple[tuple[int, int], str, tuple[int, int]]] = []
        self.addresses: dict[str, int] = {}
        self.loaded = b""
        self.enqueued = self.refusals = 0
        self.runs = self.capturable = self.takes_planes = True

    def build(
        self, graph: bytes, shape: tuple[int, int], precision: str, capability: tuple[int, int], ticket: Any
    ) -> bytes:
        self.built.append((shape, precision, capability))
        return f"plan for {shape}".encode()

    def load(self, plan: bytes, shape: tuple[int, int], precision: str) -> Library:
        if self.refusals:
            self.refusals -= 1
            raise PlanRefusedError("The plan is of another driver.")
        self.loaded, self.checked = plan, (shape, precision)
        return self

    def create_execution_context(self) -> Library:
        return self

    def can_capture(self, context: Any, stream: int) -> bool:
        return self.capturable

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return self.takes_planes

    def execute_async_v3(self, stream: int) -> bool:
        self.enqueued += 1
        self.cuda.enqueue(self._work)
        return self.runs

    def _work(self) -> None:
        thermal, visible, fused = (
            np.frombuffer((ctypes.c_uint8 * (64 * 48)).from_address(self.addresses[name]), np.uint8)
            for name in ("thermal", "visible", "fused")
        )
        np.maximum(thermal, visible, out=fused)


@pytest.fixture
def library(cuda: Any, monkeypatch: pytest.MonkeyPatch) -> Library:
    library = Library(cuda)
    monkeypatch.setattr(engine_module, "find_library", lambda: library)
    monkeypatch.setattr(engine_module, "Gpu", lambda device: Gpu(device, cuda))
    return library


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "cache")


def make(cache: EngineCache, **options: str) -> TensorRtEngine:
    return TensorRtEngine(find_model("nano"), SIZE, cache=cache, **options)


def random_planes(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (2, SIZE.height, SIZE.width), np.uint8)


@pytest.mark.parametrize("capturable", [True, False])
def test_every_pair_is_fused_whether_captured_or_not(library: Library, cache: EngineCache, capturable: bool) -> None:
    library.capturable = capturable
    engine = make(cache)
    for seed in range(3):
        thermal, visible = random_planes(seed)
        np.testing.assert_array_equal(engine.fuse(thermal, visible), np.maximum(thermal, visible))
    assert engine.gpu_ms == 0.5
    assert engine.captured == capturable
    assert library.enqueued == (2 if capturable else 4)  # once to warm up, then recorded once or enqueued every time


def test_a_capture_that_is_refused_costs_nothing_but_speed(library: Library, cache: EngineCache, cuda: Any) -> None:
    cuda.refuse["cuGraphInstantiateWithFlags"] = 900
    thermal, visible = random_planes(0)
    np.testing.assert_array_equal(make(cache).fuse(thermal, visible), np.maximum(thermal, visible))


def test_it_is_built_in_fp16_for_the_padded_size_and_the_gpu(library: Library, cache: EngineCache) -> None:
    engine = make(cache)
    assert library.built == [((48, 64), "fp16", (8, 6))]
    info = engine.info
    assert (info.backend, info.precision, info.model, info.size) == ("tensorrt", "fp16", "nano", SIZE)
    assert info.device == "Stand-in GPU, TensorRT 10.3.0"
    assert "built because no fp16 engine of nano for 50x41 is cached" in info.reason


def test_the_next_start_takes_it_from_the_cache(library: Library, cache: EngineCache) -> None:
    first = make(cache)
    second = make(cache)
    assert len(library.built) == 1
    assert library.loaded == b"plan for (48, 64)"
    assert (second.info.artifact_sha256, second.info.reason) == (first.info.artifact_sha256, "")


def test_another_version_of_the_library_builds_again(library: Library, cache: EngineCache) -> None:
    make(cache)
    library.version = "10.7.0"
    assert "backend_version is 10.3.0 and not 10.7.0" in make(cache).info.reason
    assert len(library.built) == 2


def test_never_rebuilding_leaves_it_to_the_next_backend(library: Library, cache: EngineCache, cuda: Any) -> None:
    with pytest.raises(EngineNotBuiltError, match=r"set engine\.rebuild to auto"):
        make(cache, rebuild="never")
    assert cuda.calls[-1] == "cuDevicePrimaryCtxRelease_v2"


def test_a_cached_plan_that_does_not_load_is_built_again(library: Library, cache: EngineCache) -> None:
    make(cache)
    library.refusals = 1
    assert "built because" in make(cache).info.reason
    assert len(library.built) == 2


def test_a_plan_that_never_loads_leaves_it_to_the_next_backend(library: Library, cache: EngineCache) -> None:
    make(cache)
    library.refusals = 2
    with pytest.raises(EngineError, match="of another driver"):
        make(cache)
    assert len(library.built) == 2


def test_a_cached_plan_is_held_against_the_size_and_the_precision(library: Library, cache: EngineCache) -> None:
    make(cache)
    assert library.checked == ((48, 64), "fp16")


def test_what_it_takes_of_the_gpu_stands_in_the_manifest(library: Library, cache: EngineCache, tmp_path: Path) -> None:
    engine = make(cache)
    assert engine.gpu_memory_bytes >= 3 * 64 * 48
    (path,) = (tmp_path / "cache").glob("*.json")
    assert json.loads(path.read_text())["gpu_memory_bytes"] == engine.gpu_memory_bytes


def test_a_plane_that_the_plan_does_not_take_is_an_engine_error(library: Library, cache: EngineCache) -> None:
    library.takes_planes = False
    with pytest.raises(EngineError, match="does not take the plane thermal"):
        make(cache)


def test_closing_gives_the_gpu_back(library: Library, cache: EngineCache, cuda: Any) -> None:
    make(cache).close()
    assert (cuda.memory, cuda.graphs) == ({}, {})


def test_too_little_memory_gives_back_what_was_taken(library: Library, cache: EngineCache, cuda: Any) -> None:
    cuda.refuse["cuMemAlloc_v2"] = 2
    with pytest.raises(EngineError, match="free GPU memory or use a smaller size"):
        make(cache)
    assert cuda.memory == {}


def test_a_run_that_fails_is_an_engine_error(library: Library, cache: EngineCache, cuda: Any) -> None:
    engine = make(cache)
    cuda.refuse["cuStreamSynchronize"] = 719
    with pytest.raises(EngineError, match="unspecified launch failure"):
        engine.fuse(*random_planes(0))
    engine.close()


def test_a_plan_that_does_not_execute_is_an_engine_error(library: Library, cache: EngineCache) -> None:
    library.runs = False
    with pytest.raises(EngineError, match="TensorRT failed to run nano"):
        make(cache)


def test_a_model_without_a_graph_says_how_to_make_one(library: Library, cache: EngineCache) -> None:
    files = ModelFiles("mine", None, Path("mine.safetensors"))
    with pytest.raises(EngineError, match=r"refinefuse export --model mine\.safetensors --format onnx"):
        TensorRtEngine(files, SIZE, cache=cache)


def test_the_proof_stands_in_the_manifest(library: Library, cache: EngineCache, tmp_path: Path) -> None:
    engine = make(cache)
    engine.proven(0.031)
    assert engine.info.proof_mean_difference == 0.031
    (manifest,) = tmp_path.rglob("*.json")
    assert json.loads(manifest.read_text())["proof_mean_difference"] == 0.031


def test_auto_goes_from_the_fastest_to_the_widest_precision(tmp_path: Path) -> None:
    assert TensorRtEngine.automatic_precisions(find_model("nano"), "auto") == ("fp16", "fp32")
    quantized = tmp_path / "int8.onnx"
    quantized.write_bytes(b"... QuantizeLinear ...")
    assert TensorRtEngine.automatic_precisions(ModelFiles("int8", quantized, None), "auto") == ("int8",)
