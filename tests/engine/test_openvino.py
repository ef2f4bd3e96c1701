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

"""What OpenVINO really computes in is what is said, and a precision that a processor lacks is done without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openvino as ov
import pytest
from openvino import opset13
from openvino.properties import hint

from refinefuse_ros.engine import openvino as engine_module
from refinefuse_ros.engine.artifacts import find_model
from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.engine.factory import EngineRequest, create_engine
from refinefuse_ros.image.frame import ImageSize

pytestmark = pytest.mark.instructions

SIZE = ImageSize(64, 48)
REFUSAL = (
    "Exception from src/inference/src/cpp/core.cpp:117:\n"
    "Supported primitive descriptors list is empty for node: /model/AveragePool type: Pooling"
)


class CoreOfBf16:
    """OpenVINO's own core, which says that the processor computes in bf16, and does what it did on such ones."""

    def __init__(self, compile_in_bf16: Callable[[], None]) -> None:
        self.core = ov.Core()
        self.compile_in_bf16 = compile_in_bf16

    def __getattr__(self, name: str) -> Any:
        return getattr(self.core, name)

    def get_property(self, device: str, name: str) -> Any:
        found = self.core.get_property(device, name)
        return [*found, "BF16"] if name == "OPTIMIZATION_CAPABILITIES" else found

    def compile_model(self, graph: ov.Model, device: str, options: dict[Any, Any]) -> ov.CompiledModel:
        if options[hint.inference_precision] == ov.Type.bf16:
            self.compile_in_bf16()
        return self.core.compile_model(graph, device, options)


def refuse() -> None:
    raise RuntimeError(REFUSAL)


def use(core: CoreOfBf16, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "shared_core", lambda: core)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)  # the core says what it can


def test_a_refused_precision_is_followed_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    use(CoreOfBf16(refuse), monkeypatch)
    for backend, chosen in (("auto", "first usable backend"), ("openvino", "asked for")):
        info = create_engine(EngineRequest(backend=backend), SIZE).info
        assert (info.backend, info.precision) == ("openvino", "fp32")
        passed = f"{chosen}; passed over openvino in bf16: OpenVINO cannot build refinefuse_nano.onnx at 64x48 on CPU:"
        assert info.reason.startswith(passed)
        assert "Supported primitive descriptors list is empty for node" in info.reason
    with pytest.raises(EngineError, match="Supported primitive descriptors list is empty"):
        create_engine(EngineRequest(backend="openvino", precision="bf16"), SIZE)


def test_what_a_quantised_graph_leaves_in_floating_point_does_without_it_too() -> None:
    core = CoreOfBf16(refuse)
    graph = core.read_model(find_model("nano").graph)
    shape = [1, 1, SIZE.height, SIZE.width]
    graph.reshape({"thermal": shape, "visible": shape})
    compiled = engine_module._compile(core, graph, "CPU", ("bf16", "fp32"), {})
    assert compiled.get_property("INFERENCE_PRECISION_HINT") == ov.Type.f32
    with pytest.raises(RuntimeError, match="primitive descriptors"):
        engine_module._compile(core, graph, "CPU", ("bf16",), {})


def test_a_device_that_is_not_there_is_said() -> None:
    with pytest.raises(EngineError, match=r"OpenVINO cannot build .* on NPU9: .*; available devices: .*CPU"):
        create_engine(EngineRequest(backend="openvino", device="NPU9"), SIZE)


def layers(*described: tuple[str, str, str]) -> SimpleNamespace:
    """A compiled model whose layers say of themselves: type, runtimePrecision, primitiveType."""
    nodes = []
    for kind, runtime, primitive in described:
        node = opset13.parameter([1], ov.Type.f32)
        for name, value in (("layerType", kind), ("runtimePrecision", runtime), ("primitiveType", primitive)):
            node.get_rt_info()[name] = value
        nodes.append(node)
    return SimpleNamespace(get_runtime_model=lambda: SimpleNamespace(get_ordered_ops=lambda: nodes))


@pytest.mark.parametrize(
    ("described", "precision"),
    [
        # weights that are stored in fp16 and computed with in fp32
        ([("Convolution", "f16", "brgconv_avx512_f32")] * 3 + [("Convolution", "f32", "brgconv_avx512_f32")], "fp32"),
        ([("Convolution", "f16", "brgconv_avx512_bf16")], "bf16"),
        ([("Convolution", "f16", "brgconv_avx512_amx_f16")], "fp16"),
        ([("Convolution", "f32", "jit_avx512_f32")] * 3 + [("Convolution", "u8", "brgconv_avx512_I8")], "int8"),
        ([("Convolution", "i8", "brgconv_avx512_amx_i8")], "int8"),
        ([("Convolution", "f16", "convolution_gpu_bfyx_os_iyx_osv16")], "fp16"),  # of another plugin
        ([("Pooling", "bf16", "jit_bf16"), ("Convolution", "f32", "gemm_acl_f32")], "fp32"),
    ],
)
def test_the_precision_is_that_of_what_is_computed(described: list[tuple[str, str, str]], precision: str) -> None:
    assert engine_module._built_precision(layers(*described)) == precision


def test_weights_of_fp16_do_not_pass_for_fp16(tmp_path: Path) -> None:
    graph = ov.Core().read_model(find_model("nano").graph)
    shape = [1, 1, SIZE.height, SIZE.width]
    graph.reshape({"thermal": shape, "visible": shape})
    ov.save_model(graph, tmp_path / "half.xml", compress_to_fp16=True)
    compiled = ov.Core().compile_model(tmp_path / "half.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert engine_module._built_precision(compiled) == "fp32"
