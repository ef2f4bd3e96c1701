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

"""The deployable network from its weights, for every torch engine, and what half precision makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from refinefuse_ros.engine.artifacts import ModelFiles
from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.errors import first_line
from refinefuse_ros.network.deployable import Deployable
from refinefuse_ros.network.weights import WeightsError, load_weights

GPU_PRECISIONS = ("fp32", "fp16")
_SPATIAL_AXES = {2, 3}


class HalfNetwork(nn.Module):
    """A fusion network whose weights and activations are fp16, between fp32 planes: what `Deployable` expects."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.half()

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        return self.network(ir.half(), vis.half()).float()


class WideReductions(nn.Module):
    """A half network for a compiler that computes in the types it is given: softmax and the means over whole feature
    maps are in fp32 between casts, as `graph.to_half` has them, everything else stays as it is.

    A map of 640x480 sums up to more than fp16's 65 504. torch's own kernels add in fp32 and need no such thing.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        with _InFp32():
            return self.network(ir, vis)


class _InFp32(TorchFunctionMode):
    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if not _is_delicate(function, kwargs):
            return function(*args, **kwargs)
        features, *rest = args
        return function(features.float(), *rest, **kwargs).to(features.dtype)


def _is_delicate(function: Callable[..., Any], kwargs: dict[str, Any]) -> bool:
    if function is torch.softmax:
        return True
    axes = kwargs.get("dim", ())
    return function is Tensor.mean and isinstance(axes, tuple) and set(axes) >= _SPATIAL_AXES


def load_deployable(
    files: ModelFiles,
    precision: str,
    device: torch.device | str,
    memory_format: torch.memory_format = torch.channels_last,
) -> tuple[Deployable, int]:
    """The deployable network of a model in eval mode on `device`, and its size multiple (pixels).

    Args:
        files: the model; its weights are used.
        precision: "fp16" or "fp32".
        device: where to put it.
        memory_format: of the weights, and so of what is computed with them.

    Raises:
        EngineError: the weights are missing or damaged, or there is no such precision or device.
    """
    weights = files.required_weights()
    if precision not in GPU_PRECISIONS:
        raise EngineError(f"torch on a GPU cannot run precision '{precision}'; use auto, {', '.join(GPU_PRECISIONS)}.")
    try:
        network, _ = load_weights(weights)
        multiple = network.config.size_multiple
        typed = HalfNetwork(network) if precision == "fp16" else network
        return Deployable(typed).eval().to(device, memory_format=memory_format), multiple
    except WeightsError as error:
        raise EngineError(str(error)) from error
    except (RuntimeError, AssertionError) as error:
        raise EngineError(f"torch cannot use the device '{device}': {first_line(error)}") from error


def cuda_device(device: str) -> torch.device:
    """The GPU that "auto" or "cuda:N" means.

    Raises:
        EngineError: it means none, or torch sees no GPU.
    """
    if not torch.cuda.is_available():
        cuda = torch.version.cuda
        advice = f"its CUDA {cuda} may need a newer driver" if cuda else "install a CUDA build of it"
        raise EngineError(f"This torch ({torch.__version__}) sees no GPU; {advice}, or use another backend.")
    try:
        found = torch.device("cuda" if device == "auto" else device)
    except RuntimeError as error:
        raise EngineError(f"'{device}' is no torch device; use auto or cuda:N.") from error
    if found.type != "cuda":
        raise EngineError(f"'{device}' is not a CUDA device; use auto or cuda:N.")
    return torch.device("cuda", found.index or 0)
