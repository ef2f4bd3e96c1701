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

"""RefineFuse on CPUs through OpenVINO: the default where there is no GPU."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import properties
from openvino.properties import hint

from refinefuse_ros.engine.artifacts import ModelFiles
from refinefuse_ros.engine.base import Engine, EngineError, EngineInfo, check_precision, padded_shape
from refinefuse_ros.engine.ir import check_ir
from refinefuse_ros.engine.openvino_quantized import is_quantized, join_dequantization
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.resources import sha256_of

_PRECISIONS = {"fp32": ov.Type.f32, "fp16": ov.Type.f16, "bf16": ov.Type.bf16}
_NAMES = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "i8": "int8", "u8": "int8"}
# Of what ONEDNN_MAX_CPU_ISA may hold a processor to, that in which nothing computes in bf16.
_WITHOUT_BF16 = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI"}
_QUANTIZED = (b"QuantizeLinear", b"FakeQuantize")
_INPUTS, _OUTPUT = ("thermal", "visible"), "fused"


class OpenVinoEngine(Engine):
    """An ONNX graph or an exported IR, compiled by OpenVINO for one image size on one device.

    Args:
        files: the model; its graph or its IR is used.
        size: of the images.
        precision: "fp32", "fp16" or "bf16"; for a quantised graph "int8"; "auto" is int8 for a quantised one, else
            bf16 where the CPU computes in it, else fp32. What a quantised graph leaves in floating point runs as
            "auto" runs the others.
        device: OpenVINO's device name ("CPU", "GPU"), or "auto" for the CPU.
        threads: how many threads to use on the CPU; None is all cores.

    Raises:
        EngineError: the graph is missing, unreadable or has other inputs; an IR is not what its manifest says; the
            device is not there; the graph cannot be had in this precision, or the device built it in another one.
    """

    def __init__(
        self,
        files: ModelFiles,
        size: ImageSize,
        precision: str = "auto",
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        manifest = check_ir(files.ir, size) if files.ir else None
        path = files.ir or files.required_graph()
        core = shared_core()
        device = "CPU" if device == "auto" else device
        graph = read_graph(path)
        quantized = is_quantized(graph)
        join_dequantization(graph)
        if manifest and (manifest.key.precision == "int8") != quantized:
            raise EngineError(
                f"{path.name} is not what it says: its manifest says {manifest.key.precision} but it is"
                f" {'' if quantized else 'not '}quantised; export it again."
            )
        check_precision("OpenVINO", path.name, precision, ("int8",) if quantized else tuple(_PRECISIONS))
        multiple = size_multiple(graph, path)
        shape = [1, 1, *padded_shape(size, multiple)]
        _check_shape(graph, path.name, shape, size)
        try:
            graph.reshape(dict.fromkeys(_INPUTS, shape))
            floats = _float_precisions(core, device)
            if precision == "auto":
                precision = "int8" if quantized else floats[0]
            options = _limited_to(threads) if device == "CPU" and threads else {}
            compiled = _compile(core, graph, device, floats if precision == "int8" else (precision,), options)
            device_name = core.get_property(device, properties.device.full_name)
        except RuntimeError as error:
            raise EngineError(
                f"OpenVINO cannot build {path.name} at {size} on {device}: {_last_line(error)};"
                f" available devices: {', '.join(core.available_devices)}."
            ) from error
        built = _built_precision(compiled)
        if built != precision and quantized:
            raise EngineError(
                f"OpenVINO computes nothing of {path.name} in int8 on {device_name}, but in {built};"
                " use the model that it was quantised from, which is as fast there and exact."
            )
        if built != precision:
            raise EngineError(
                f"OpenVINO built {path.name} in {built} on {device_name} although {precision} was asked for;"
                " ask for a precision that the device has, or auto."
            )
        digest = manifest.artifact_sha256 if manifest else sha256_of(path)
        info = EngineInfo("openvino", device_name, built, files.name, digest, size)
        super().__init__(info, multiple)
        self._request = compiled.create_infer_request()

    @classmethod
    def automatic_precisions(cls, files: ModelFiles, device: str) -> Sequence[str]:
        # An operation's name stands in the file as it is; an IR must be held against its manifest before it is read.
        content = (files.ir or files.required_graph()).read_bytes()
        if any(mark in content for mark in _QUANTIZED):
            return ("int8",)
        try:
            return _float_precisions(shared_core(), "CPU" if device == "auto" else device)
        except RuntimeError:  # there is no such device, as the engine will say
            return ("auto",)

    def _run(self, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
        inputs = {
            name: ov.Tensor(plane[None, None], shared_memory=True)
            for name, plane in zip(_INPUTS, (thermal, visible), strict=True)
        }
        try:
            self._request.infer(inputs, share_inputs=True, share_outputs=True)
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"OpenVINO failed to run {self.info.model}: {_last_line(error)}.") from error
        return self._request.get_tensor(_OUTPUT).data[0, 0]

    def close(self) -> None:
        self._request = None


@cache
def shared_core() -> ov.Core:
    """The one core of this process, which is never destroyed.

    On CPUs with AMX a thread that compiles keeps a signal stack in the core's memory: with a core of its own for every
    engine, the next signal (Ctrl-C) after one was replaced lands in freed memory.
    """
    return ov.Core()


def read_graph(path: Path) -> ov.Model:
    """Parse an ONNX file or an IR, as it is, and hold it against the contract: two uint8 planes in, one out.

    Raises:
        EngineError: it is not readable, or has other inputs.
    """
    try:
        graph = shared_core().read_model(path)
    except RuntimeError as error:
        kind = "IR" if path.suffix == ".xml" else "ONNX file"
        raise EngineError(
            f"The graph {path} is not a readable {kind} ({_last_line(error)}); export or download it again."
        ) from error
    found = {port.any_name: port.element_type for port in (*graph.inputs, *graph.outputs)}
    if found != dict.fromkeys((*_INPUTS, _OUTPUT), ov.Type.u8):
        described = ", ".join(f"{name} {kind.to_string()}" for name, kind in found.items())
        raise EngineError(
            f"The graph {path} has {described}, not the uint8 planes thermal, visible and fused;"
            " export it with 'refinefuse export'."
        )
    return graph


def _float_precisions(core: ov.Core, device: str) -> tuple[str, ...]:
    """The floating-point precisions worth trying on a device, fastest first.

    OpenVINO reads the processor's own flags, and oneDNN, which has to compute it, what it is held to.
    """
    if device.startswith("CPU") and os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in _WITHOUT_BF16:
        return ("fp32",)
    return ("bf16", "fp32") if "BF16" in core.get_property(device, "OPTIMIZATION_CAPABILITIES") else ("fp32",)


def _compile(
    core: ov.Core, graph: ov.Model, device: str, precisions: Sequence[str], options: dict[str, Any]
) -> ov.CompiledModel:
    """Compile in the first of these precisions in which OpenVINO can; a processor may lack what it takes for one.

    Raises:
        RuntimeError: it can in none.
    """
    options = {hint.performance_mode: hint.PerformanceMode.LATENCY, **options}
    *first, last = precisions
    for precision in first:
        with suppress(RuntimeError):
            return core.compile_model(graph, device, {**options, hint.inference_precision: _PRECISIONS[precision]})
    return core.compile_model(graph, device, {**options, hint.inference_precision: _PRECISIONS[last]})


def _limited_to(threads: int) -> dict[str, Any]:
    """Properties for an engine that is not alone: pinned, the threads of all processes would share the first cores."""
    return {properties.inference_num_threads: threads, hint.enable_cpu_pinning: False}


def _check_shape(graph: ov.Model, name: str, shape: list[int], size: ImageSize) -> None:
    """Refuse a graph of one size for another one: OpenVINO may reshape it, but not the sizes that stand within it."""
    for port in graph.inputs:
        found = port.partial_shape
        if not found.compatible(ov.PartialShape(shape)):
            planes = "x".join(str(side) for side in reversed(list(found)[2:]))
            raise EngineError(
                f"The graph {name} takes planes of {planes} and cannot fuse {size};"
                f" export it with '--size {size}', or without --size."
            )


def size_multiple(graph: ov.Model, path: Path) -> int:
    """What a graph says that the sides of its planes are multiples of (pixels).

    Raises:
        EngineError: it does not say.
    """
    try:
        multiple = int(graph.get_rt_info(["framework", "size_multiple"]).astype(str))
    except (RuntimeError, ValueError):  # it says nothing, or no number
        multiple = 0
    if multiple < 1:
        raise EngineError(f"The graph {path} does not say its size_multiple; export it with 'refinefuse export'.")
    return multiple


def _built_precision(compiled: ov.CompiledModel) -> str:
    """The precision in which most of the convolutions really run, from the compiled graph's layers.

    A quantised network is int8 as soon as some run in it: the others were left out on purpose.
    """
    counts: dict[str, int] = {}
    for node in compiled.get_runtime_model().get_ordered_ops():
        layer = node.get_rt_info()
        if "Convolution" in str(layer["layerType"].astype(str)):
            precision = _layer_precision(layer)
            counts[precision] = counts.get(precision, 0) + 1
    if not counts:
        raise EngineError("The compiled graph has no convolution; it is not a RefineFuse network.")
    if "int8" in counts:
        return "int8"
    return max(counts, key=counts.__getitem__)


def _layer_precision(layer: Any) -> str:
    """The precision that a convolution computes in.

    The name of the CPU's primitive ends with the type of the activations ("brgconv_avx2_f32"). `runtimePrecision` is
    that of activations or weights, whichever is the narrower one, and weights of fp16 may be stored as such for a layer
    that computes in fp32. Devices whose primitives have other names tell it by `runtimePrecision` alone.
    """
    *_, ending = str(layer["primitiveType"].astype(str)).lower().split("_")
    runtime = str(layer["runtimePrecision"].astype(str)).lower()
    return _NAMES.get(ending) or _NAMES.get(runtime, runtime)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).rstrip(".")
