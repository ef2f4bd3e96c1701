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

"""RefineFuse in torch on an NVIDIA GPU as one CUDA graph: the fallback where there is a GPU and no TensorRT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
import torch

from refinefuse_ros.engine.artifacts import ModelFiles
from refinefuse_ros.engine.base import Engine, EngineError, EngineInfo
from refinefuse_ros.engine.cuda import Gpu, Lane
from refinefuse_ros.engine.torch_half import cuda_device, load_deployable
from refinefuse_ros.errors import first_line
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.resources import sha256_of

_WARM_UP_RUNS = 3  # cuDNN chooses its kernels in them; a capture forbids trying


class TorchCudaEngine(Engine):
    """The network in fp16, channels last, captured with its copies into one CUDA graph.

    Attributes:
        gpu_ms: time of the last pair on the GPU, copies included, by events; None before the first.
        captured: whether uploading, running and downloading are one CUDA graph.

    Args:
        files: the model; its weights are used.
        size: of the images.
        precision: "auto" (fp16), "fp16" or "fp32".
        device: "auto" or "cuda:N".

    Raises:
        EngineError: the weights are missing or damaged, torch sees no such GPU, or its memory does not suffice.
    """

    _gpu: Gpu | None = None

    def __init__(self, files: ModelFiles, size: ImageSize, precision: str = "auto", device: str = "auto") -> None:
        self.gpu_ms: float | None = None
        self._device = cuda_device(device)
        precision = "fp16" if precision == "auto" else precision
        self._network, size_multiple = load_deployable(files, precision, self._device)
        name = torch.cuda.get_device_name(self._device)
        super().__init__(
            EngineInfo("torch_cuda", name, precision, files.name, sha256_of(files.weights), size), size_multiple
        )
        try:
            self._prepare()
        except RuntimeError as error:
            self.close()
            raise EngineError(f"torch cannot prepare {files.name} on {name}: {first_line(error)}") from error
        except EngineError:
            self.close()
            raise

    @classmethod
    def automatic_precisions(cls, files: ModelFiles, device: str) -> Sequence[str]:
        return ("fp16", "fp32")

    def _prepare(self) -> None:
        """Allocate the planes on both sides, warm up, and capture."""
        self._gpu = Gpu(str(self._device))
        self._stream = torch.cuda.Stream(self._device)
        # Page-locked by the driver: torch ends the process when memory that it locked is freed on a GPU that failed.
        self._lane = Lane(self._gpu, self._padded_shape, self._stream.cuda_stream)
        self._host = [torch.from_numpy(plane)[None, None] for plane in (*self._lane.inputs, self._lane.output)]
        self._planes = [torch.zeros_like(plane, device=self._device) for plane in self._host[:2]]
        self._stream.wait_stream(torch.cuda.current_stream(self._device))  # the weights and the planes come from there
        # TF32 is on by default for convolutions, and fp32 with a mantissa of fp16
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
            with torch.cuda.stream(self._stream):
                for _ in range(_WARM_UP_RUNS):
                    self._step()
            self._stream.synchronize()
            self._launch = self._capture()
        self.captured = self._launch != self._step

    def _capture(self) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        capture = torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local")
        with torch.cuda.device(self._device), capture:
            self._step()
        return graph.replay

    def _step(self) -> None:
        for plane, host in zip(self._planes, self._host, strict=False):
            plane.copy_(host, non_blocking=True)
        self._host[2].copy_(self._network(*self._planes), non_blocking=True)

    def _run(self, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
        try:
            with torch.inference_mode(), torch.cuda.stream(self._stream):
                self.gpu_ms = self._lane.run(thermal, visible, self._launch)
        except RuntimeError as error:
            raise EngineError(f"torch failed to run {self.info.model}: {first_line(error)}") from error
        return self._lane.output

    def close(self) -> None:
        self._launch = self._network = self._lane = None
        self._planes, self._host = [], []
        with suppress(RuntimeError):  # a GPU that failed has nothing to give back
            torch.cuda.empty_cache()  # torch would keep it from the engine that takes over
        if self._gpu is not None:
            self._gpu.close()
