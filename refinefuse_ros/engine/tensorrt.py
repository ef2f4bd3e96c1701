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

"""RefineFuse as a TensorRT plan on an NVIDIA GPU: fixed buffers, one stream, one CUDA graph per engine, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from refinefuse_ros.engine.artifacts import ModelFiles
from refinefuse_ros.engine.base import Engine, EngineError, EngineInfo, padded_shape
from refinefuse_ros.engine.building import BuildTicket
from refinefuse_ros.engine.cache import BuiltEngine, EngineCache
from refinefuse_ros.engine.cuda import Gpu, Lane
from refinefuse_ros.engine.manifest import EngineKey
from refinefuse_ros.engine.plan import build_plan, plan_key, plan_precisions
from refinefuse_ros.engine.tensorrt_library import INPUTS, OUTPUT, PlanRefusedError, TensorRtLibrary, find_library
from refinefuse_ros.image.frame import ImageSize


class TensorRtEngine(Engine):
    """A plan on one GPU: from the cache, or built from the model's ONNX graph.

    Planes go through page-locked memory; uploading, running and downloading are one CUDA graph where the library
    allows that.

    Attributes:
        gpu_ms: time of the last pair on the GPU, copies included, by events; None before the first.
        gpu_memory_bytes: what the plan and its buffers took of the GPU's free memory.
        captured: whether uploading, running and downloading are one CUDA graph.

    Args:
        files: the model; its graph is used.
        size: of the images.
        precision: "fp16" or "fp32"; of an int8 graph "int8"; "auto" is the fastest of the graph's.
        device: "auto" (the first GPU) or "cuda:N".
        rebuild: "auto" builds a plan that is missing or does not fit; "never" refuses to.
        cache: where plans are kept; None is the user's cache.
        ticket: stops a build.

    Raises:
        EngineNotBuiltError: no plan fits and `rebuild` is "never".
        BuildStoppedError: the ticket was stopped.
        EngineError: there is no graph, driver, GPU, library or not enough memory; or the graph cannot be built.
    """

    def __init__(
        self,
        files: ModelFiles,
        size: ImageSize,
        precision: str = "auto",
        device: str = "auto",
        rebuild: str = "auto",
        cache: EngineCache | None = None,
        ticket: BuildTicket | None = None,
    ) -> None:
        graph = files.required_graph()
        self.gpu_ms: float | None = None
        self._engine: Any = None
        self._context: Any = None
        self._gpu = Gpu(device)
        try:
            library = find_library()
            key = plan_key(library, files.name, graph, size, precision, self._gpu.name, self._gpu.capability)
            cache = cache or EngineCache()
            self._key, self._cache = key, cache
            free_bytes = self._gpu.free_bytes()
            built, self._engine = _load_plan(library, graph, key, cache, rebuild == "auto", ticket)
            manifest = built.manifest
            info = EngineInfo(
                "tensorrt",
                f"{self._gpu.name}, {library.title}",
                manifest.key.precision,
                files.name,
                manifest.artifact_sha256,
                size,
                built.note,
            )
            super().__init__(info, manifest.size_multiple)
            self._prepare(library)
            self.gpu_memory_bytes = max(free_bytes - self._gpu.free_bytes(), 0)
            if manifest.gpu_memory_bytes is None:
                cache.amend(key, gpu_memory_bytes=self.gpu_memory_bytes)
        except BaseException:
            self.close()
            raise

    @classmethod
    def automatic_precisions(cls, files: ModelFiles, device: str) -> Sequence[str]:
        return plan_precisions(files.required_graph())

    def proven(self, mean_difference: float | None, why_not: str = "") -> None:
        super().proven(mean_difference, why_not)
        self._cache.amend(self._key, proof_mean_difference=mean_difference)

    def _prepare(self, library: TensorRtLibrary) -> None:
        """Give the plan's tensors their addresses and record the CUDA graph."""
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise EngineError(f"{library.title} cannot start the plan: not enough GPU memory; use a smaller size.")
        self._lane = Lane(self._gpu, self._padded_shape)
        planes = zip((*INPUTS, OUTPUT), (*self._lane.inputs, self._lane.output), strict=True)
        self._addresses = {name: self._gpu.device_buffer(plane.nbytes) for name, plane in planes}
        for name, address in self._addresses.items():
            if not self._context.set_tensor_address(name, address):
                raise EngineError(f"{library.title} does not take the plane {name}; build the plan again.")
        self._launch = self._enqueue
        self._enqueue()  # lets the library allocate and compile what it puts off, which a capture forbids
        self._gpu.synchronize(self._lane.stream)
        if library.can_capture(self._context, self._lane.stream):
            with suppress(EngineError):  # the same work enqueued call by call is slower and as right
                self._launch = self._gpu.capture(self._lane.stream, self._enqueue)
        self.captured = self._launch != self._enqueue

    def _enqueue(self) -> None:
        stream = self._lane.stream
        for name, plane in zip(INPUTS, self._lane.inputs, strict=True):
            self._gpu.upload(plane, self._addresses[name], stream)
        if not self._context.execute_async_v3(stream):
            raise EngineError(f"TensorRT failed to run {self.info.model}; the driver's log may say why.")
        self._gpu.download(self._addresses[OUTPUT], self._lane.output, stream)

    def _run(self, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
        self.gpu_ms = self._lane.run(thermal, visible, self._launch)
        return self._lane.output

    def close(self) -> None:
        with suppress(EngineError):
            self._gpu.make_current()  # the thread may be another one than that which built it
        self._context = self._engine = None  # before the GPU's context, in which they live
        self._lane = None
        self._gpu.close()


def _load_plan(
    library: TensorRtLibrary,
    graph: Path,
    key: EngineKey,
    cache: EngineCache,
    may_build: bool,
    ticket: BuildTicket | None,
) -> tuple[BuiltEngine, Any]:
    """The plan of `key`, and the library's engine of it; a cached plan that the library refuses is built again."""
    obtain = partial(cache.obtain, key, lambda: build_plan(library, graph, key, ticket), may_build, ticket)

    def load(built: BuiltEngine) -> Any:
        shape = padded_shape(ImageSize.parse(key.size), built.manifest.size_multiple)
        return library.load(built.content, shape, key.precision)

    built = obtain()
    try:
        return built, load(built)
    except PlanRefusedError:
        if built.note:  # it was built just now: another one would not load either
            raise
    cache.discard(key)
    built = obtain()
    return built, load(built)
