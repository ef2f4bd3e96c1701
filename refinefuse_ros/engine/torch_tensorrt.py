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

"""RefineFuse compiled by torch_tensorrt (2.8 to 2.14): for those who want TensorRT inside torch. Only when asked for.

What is compiled is the network between its fp16 planes, statically and completely, with its reductions in fp32; scaling
and rounding stay in torch.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch
import torch_tensorrt
from torch import Tensor, nn

from refinefuse_ros import __version__
from refinefuse_ros.engine.artifacts import ModelFiles
from refinefuse_ros.engine.base import EngineError, padded_shape
from refinefuse_ros.engine.building import BuildTicket
from refinefuse_ros.engine.cache import BuiltEngine, EngineCache
from refinefuse_ros.engine.manifest import EngineKey, Manifest, utc_now
from refinefuse_ros.engine.tensorrt_library import find_library
from refinefuse_ros.engine.torch_cuda import TorchCudaEngine
from refinefuse_ros.engine.torch_half import WideReductions, cuda_device, load_deployable
from refinefuse_ros.errors import first_line
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.resources import sha256_of

# TF32 is on by default, and fp32 with a mantissa of fp16
_OPTIONS = {"ir": "dynamo", "require_full_compilation": True, "min_block_size": 1, "disable_tf32": True}
_TYPES = "softmax and means over maps in fp32"  # a part of the key, as the options are
_ALWAYS_EXPLICIT_SINCE = (2, 10)


class TorchTensorRtEngine(TorchCudaEngine):
    """The network as a torch_tensorrt exported program, from the cache or compiled, replayed by its own CUDA graph.

    Args:
        files, size, precision, device: as for `TorchCudaEngine`.
        rebuild: "auto" compiles what is missing or does not fit; "never" refuses to.
        cache: where programs are kept; None is the user's cache.
        ticket: keeps a compilation from beginning; one that has begun goes on to its end.

    Raises:
        EngineNotBuiltError: no program fits and `rebuild` is "never".
        BuildStoppedError: the ticket was stopped.
        EngineError: as `TorchCudaEngine`, or the network cannot be compiled.
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
        self._cache = cache or EngineCache()
        self._built = obtain_program(files, size, precision, device, self._cache, rebuild == "auto", ticket)
        self._contexts = ExitStack()
        super().__init__(files, size, precision, device)
        self.info = replace(
            self.info,
            backend="torch_tensorrt",
            device=f"{self.info.device}, torch_tensorrt {torch_tensorrt.__version__}",
            artifact_sha256=self._built.manifest.artifact_sha256,
            reason=self._built.note,
        )

    def proven(self, mean_difference: float | None, why_not: str = "") -> None:
        super().proven(mean_difference, why_not)
        self._cache.amend(self._built.manifest.key, proof_mean_difference=mean_difference)

    def _prepare(self) -> None:
        program = self._load()
        holder, name = _compiled_part(self._network)
        setattr(holder, name, self._contexts.enter_context(torch_tensorrt.runtime.enable_cudagraphs(program)))
        super()._prepare()

    def _load(self) -> nn.Module:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.ep"
            path.write_bytes(self._built.content)
            try:
                return torch_tensorrt.load(str(path)).module()
            except Exception as error:  # whatever torch.export's reader and the engine's deserialiser raise
                self._cache.discard(self._built.manifest.key)
                raise EngineError(
                    f"torch_tensorrt cannot load its program ({first_line(error)}); the next start compiles it again."
                ) from error

    def _capture(self) -> Callable[[], None]:
        return self._step  # the program replays a graph of its own, and one cannot be captured in another

    def close(self) -> None:
        self._contexts.close()
        super().close()


def obtain_program(
    files: ModelFiles,
    size: ImageSize,
    precision: str,
    device: str,
    cache: EngineCache,
    may_build: bool = True,
    ticket: BuildTicket | None = None,
) -> BuiltEngine:
    """The compiled program (.ep) of a model for this GPU, from the cache or compiled now.

    Raises:
        EngineNotBuiltError: there is none, and `may_build` is False.
        BuildStoppedError: the ticket was stopped before the compilation began.
        EngineError: the model, the GPU or the compiler does not allow it.
    """
    gpu = cuda_device(device)
    precision = "fp16" if precision == "auto" else precision
    network, multiple = load_deployable(files, precision, gpu)
    key = EngineKey(
        model=files.name,
        source_sha256=sha256_of(files.weights),
        size=str(size),
        precision=precision,
        backend="torch_tensorrt",
        backend_version=f"{torch_tensorrt.__version__}, {find_library().title}, torch {torch.__version__}",
        gpu=torch.cuda.get_device_name(gpu),
        compute_capability="{}.{}".format(*torch.cuda.get_device_capability(gpu)),
        options=", ".join((*(f"{name}={value}" for name, value in _OPTIONS.items()), _TYPES)),
        code_version=__version__,
    )

    def build() -> BuiltEngine:
        start = time.monotonic()
        shape = (1, 1, *padded_shape(size, multiple))
        dtype = torch.float16 if precision == "fp16" else torch.float32
        planes = [torch.zeros(shape, dtype=dtype, device=gpu) for _ in range(2)]
        try:
            program = _compile(WideReductions(getattr(*_compiled_part(network))), planes)
        except Exception as error:  # the compiler raises whatever its stages raise
            raise EngineError(f"torch_tensorrt cannot compile {files.name}: {first_line(error)}") from error
        digest = hashlib.sha256(program).hexdigest()
        seconds = round(time.monotonic() - start, 3)
        return BuiltEngine(program, Manifest(key, key.source_sha256, multiple, digest, utc_now(), seconds))

    return cache.obtain(key, build, may_build, ticket)


def explicit_typing(version: str) -> dict[str, bool]:
    """The option that makes the compiler keep the network's own types, where it is not the only way."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return {} if (major, minor) >= _ALWAYS_EXPLICIT_SINCE else {"use_explicit_typing": True}


def _compile(network: nn.Module, planes: list[Tensor]) -> bytes:
    options = {**_OPTIONS, **explicit_typing(torch_tensorrt.__version__)}
    with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
        compiled = torch_tensorrt.compile(network, arg_inputs=planes, device=planes[0].device, **options)
        path = Path(folder) / "network.ep"
        torch_tensorrt.save(compiled, str(path), arg_inputs=planes)
        return path.read_bytes()


def _compiled_part(deployable: nn.Module) -> tuple[nn.Module, str]:
    """Where the network hangs in its deployable wrappers, for getattr and setattr."""
    inner = deployable.model
    return (inner, "network") if hasattr(inner, "network") else (deployable, "model")
