# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""RefineFuse in torch on an NVIDIA GPU as one CUDA graph: the fallback where there is a GPU and no TensorRT."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import torch

from refinefuse_ros.engine.artifacts import ModelFiles
from refinefuse_ros.engine.base import Engine, EngineError, EngineInfo
from refinefuse_ros.engine.torch_half import cuda_device, load_deployable
from refinefuse_ros.errors import first_line
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.resources import sha256_of

_WARM_UP_RUNS = 3  # cuDNN chooses its kernels in them; a capture forbids trying


class TorchCudaEngine(Engine):
    """The network in fp16, channels last, captured with its copies into one CUDA graph.

    Attributes:
        gpu_ms: time of the last pair on the GPU, copies included, by events; None before the first.

    Args:
        files: the model; its weights are used.
        size: of the images.
        precision: "auto" (fp16), "fp16" or "fp32".
        device: "auto" or "cuda:N".

    Raises:
        EngineError: the weights are missing or damaged, torch sees no such GPU, or its memory does not suffice.
    """

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

    def _prepare(self) -> None:
        """Allocate the planes on both sides, warm up, and capture."""
        shape = (1, 1, *self._padded_shape)
        self._host = [torch.zeros(shape, dtype=torch.uint8).pin_memory() for _ in range(3)]
        self._planes = [torch.zeros(shape, dtype=torch.uint8, device=self._device) for _ in range(2)]
        self._thermal, self._visible, self._fused = (plane.numpy()[0, 0] for plane in self._host)
        self._start, self._end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._stream = torch.cuda.Stream(self._device)
        self._stream.wait_stream(torch.cuda.current_stream(self._device))  # the weights and the planes come from there
        # TF32 is on by default for convolutions, and fp32 with a mantissa of fp16
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
            with torch.cuda.stream(self._stream):
                for _ in range(_WARM_UP_RUNS):
                    self._step()
            self._stream.synchronize()
            self._launch = self._capture()

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
        np.copyto(self._thermal, thermal)
        np.copyto(self._visible, visible)
        try:
            with torch.inference_mode(), torch.cuda.stream(self._stream):
                self._start.record()
                self._launch()
                self._end.record()
            self._stream.synchronize()
            self.gpu_ms = self._start.elapsed_time(self._end)
        except RuntimeError as error:
            raise EngineError(f"torch failed to run {self.info.model}: {first_line(error)}") from error
        return self._fused

    def close(self) -> None:
        self._launch = self._network = None
        self._planes, self._host = [], []
        with suppress(RuntimeError):  # a GPU that failed has nothing to give back
            torch.cuda.empty_cache()  # torch would keep it from the engine that takes over
