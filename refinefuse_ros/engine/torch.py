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

"""RefineFuse in eager PyTorch: the reference that the compiled engines are held against, and a last resort."""

from __future__ import annotations

import platform

import numpy as np
import torch

from refinefuse_ros.engine.artifacts import ModelFiles
from refinefuse_ros.engine.base import Engine, EngineError, EngineInfo
from refinefuse_ros.engine.torch_half import load_deployable
from refinefuse_ros.errors import first_line
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.resources import sha256_of


class TorchEngine(Engine):
    """The network in fp32, straight from its safetensors weights.

    Attributes:
        gpu_ms: time of the last pair on a GPU, copies included, by events; None on the CPU and before the first.

    Args:
        files: the model; its weights are used.
        size: of the images.
        precision: "auto" or "fp32".
        device: a torch device ("cpu", "cuda:0"), or "auto" for the CPU.

    Raises:
        EngineError: the weights are missing or damaged, or the precision or the device is not to be had.
    """

    def __init__(self, files: ModelFiles, size: ImageSize, precision: str = "auto", device: str = "auto") -> None:
        weights = files.required_weights()
        if precision not in ("auto", "fp32"):
            raise EngineError(f"The torch engine runs fp32, not '{precision}'; use precision auto or fp32.")
        chosen = "cpu" if device in ("auto", "CPU") else device
        self._graph, size_multiple = load_deployable(files, "fp32", chosen, torch.contiguous_format)
        self._device = torch.device(chosen)
        cuda = self._device.type == "cuda"
        device_name = torch.cuda.get_device_name(self._device) if cuda else f"CPU ({platform.machine()})"
        info = EngineInfo("torch", device_name, "fp32", files.name, sha256_of(weights), size)
        super().__init__(info, size_multiple)
        self.gpu_ms: float | None = None
        self._events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if cuda else []

    def _run(self, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
        try:
            # TF32 is on by default for convolutions on a GPU, and fp32 with a mantissa of fp16
            with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                return self._timed(thermal, visible) if self._events else self._fuse(thermal, visible)
        except RuntimeError as error:
            raise EngineError(f"torch failed to run {self.info.model}: {first_line(error)}") from error

    def _fuse(self, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
        planes = (torch.tensor(plane[None, None], device=self._device) for plane in (thermal, visible))
        return self._graph(*planes)[0, 0].cpu().numpy()

    def _timed(self, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
        start, end = self._events
        stream = torch.cuda.current_stream(self._device)
        start.record(stream)
        fused = self._fuse(thermal, visible)
        end.record(stream)
        end.synchronize()
        self.gpu_ms = start.elapsed_time(end)
        return fused

    def close(self) -> None:
        self._graph = None
