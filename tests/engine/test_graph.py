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

"""The fp16 twin of a graph is fp16 wherever that is safe, and gives the same picture when it runs in fp16."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import openvino as ov
import pytest
import torch

from refinefuse_ros.engine.artifacts import SHIPPED_MODELS, find_model
from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.engine.export import export_onnx
from refinefuse_ros.engine.graph import GraphProperties, properties_of, to_half
from refinefuse_ros.image.synthetic.scene import SyntheticScene
from refinefuse_ros.network.model import RefineFuseConfig
from refinefuse_ros.network.variants import build

FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def shipped() -> list[str]:
    return [name for name in SHIPPED_MODELS if _graph_of(name) is not None]


def _graph_of(name: str) -> Path | None:
    try:
        return find_model(name).graph
    except EngineError:
        return None


def street() -> list[np.ndarray]:
    """A pair of the synthetic street as the planes that engines take."""
    counts, bgr = SyntheticScene(320, 240).render(1.0)
    span = counts.max() - counts.min()
    return [((counts - counts.min()) * (255.0 / span)).astype(np.uint8), cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)]


@pytest.fixture
def small(tmp_path: Path) -> bytes:
    """The article's shape of network, narrow."""
    torch.manual_seed(0)
    config = RefineFuseConfig(encoder=(4, 4, 6, 8), head=(4,), grids=(4, 2))
    export_onnx(build(config).eval(), tmp_path / "m.onnx", name="small", weights_sha256="ab")
    return (tmp_path / "m.onnx").read_bytes()


def types_of(content: bytes) -> dict[str, int]:
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(content), check_type=True, strict_mode=True)
    values = (*model.graph.value_info, *model.graph.input, *model.graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}


def run(content: bytes, precision: str, planes: list[np.ndarray]) -> np.ndarray:
    core = ov.Core()
    network = core.read_model(content)
    network.reshape({name: [1, 1, *planes[0].shape] for name in ("thermal", "visible")})
    compiled = core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    return compiled([plane[None, None] for plane in planes])["fused"][0, 0].astype(int)


def test_weights_and_activations_are_half_but_for_delicate_sums(small: bytes) -> None:
    half = to_half(small)
    types = types_of(half)
    graph = onnx.load_from_string(half).graph
    for node in graph.node:
        if node.op_type in ("Conv", "MatMul", "Relu", "Sigmoid", "Tanh", "Resize", "Mul"):
            assert types[node.output[0]] == HALF, node.name
        if node.op_type == "Softmax":
            assert types[node.output[0]] == FLOAT
    means = [types[node.output[0]] for node in graph.node if node.op_type == "ReduceMean"]
    assert sorted(means) == [FLOAT] * 2 + [HALF] * 4  # two over the image (FIM), four over the channels (SFIM)
    assert {tensor.data_type for tensor in graph.initializer} <= {HALF, onnx.TensorProto.INT64}
    assert {types[name] for name in ("thermal", "visible", "fused")} == {onnx.TensorProto.UINT8}


def test_the_twin_says_what_it_is(small: bytes) -> None:
    properties = {entry.key: entry.value for entry in onnx.load_from_string(to_half(small)).metadata_props}
    assert (properties["precision"], properties["model"], properties["weights_sha256"]) == ("fp16", "small", "ab")
    assert properties_of(to_half(small)) == GraphProperties(8, "ab", "fp16")


@pytest.mark.parametrize("model", shipped())
def test_shipped_models_give_the_same_picture_in_fp16(model: str) -> None:
    core = ov.Core()
    computed = "f16" if "FP16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
    planes = street()
    content = find_model(model).graph.read_bytes()
    difference = np.abs(run(to_half(content), computed, planes) - run(content, "f32", planes))
    assert difference.max() <= 2
    assert difference.mean() < 0.05


def test_weights_beyond_fp16_are_refused(small: bytes) -> None:
    model = onnx.load_from_string(small)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.data_type == FLOAT)
    values = onnx.numpy_helper.to_array(tensor).copy()
    values.flat[0] = 70000
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    with pytest.raises(EngineError, match=r"reaches 70000, beyond fp16's 65504; use precision fp32"):
        to_half(model.SerializeToString())


@pytest.mark.parametrize("use", [to_half, properties_of])
def test_what_is_no_graph_is_refused(small: bytes, use: object) -> None:
    with pytest.raises(EngineError, match="not a readable ONNX file"):
        use(small[: len(small) // 2])


def test_a_graph_must_say_its_size_multiple(small: bytes) -> None:
    model = onnx.load_from_string(small)
    del model.metadata_props[:]
    with pytest.raises(EngineError, match="does not say its size_multiple"):
        properties_of(model.SerializeToString())
