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

"""A quantised graph is computed in int8, and to the values that its operators define, whatever the processor is."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import numpy as np
import onnx
import openvino as ov
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from refinefuse_ros.engine.openvino_quantized import is_quantized, join_dequantization

SIDE, CHANNELS, OUTPUTS = 16, 8, 8
SCALE = 0.01  # of the activations
IN_INT8 = {"INFERENCE_PRECISION_HINT": "f32"}
IN_FLOAT = IN_INT8 | {"LP_TRANSFORMS_MODE": False}  # what is quantised is rounded to its steps and computed in fp32


def quantized(tensor: str, result: str, scale: str = "scale", zero: str = "zero") -> list[NodeProto]:
    steps = f"{tensor}_steps"
    return [
        helper.make_node("QuantizeLinear", [tensor, scale, zero], [steps], axis=1),
        helper.make_node("DequantizeLinear", [steps, scale, zero], [result], axis=1),
    ]


def concat(first: str, second: str, result: str) -> NodeProto:
    return helper.make_node("Concat", [first, second], [result], axis=1)


WAYS = {
    "after the concat": [concat("a", "b", "both"), *quantized("both", "input")],
    "before the concat": [*quantized("a", "qa"), *quantized("b", "qb"), concat("qa", "qb", "input")],
    "a scale a channel": [concat("a", "b", "both"), *quantized("both", "input", "scales", "zeros")],
    "unsigned about 128": [concat("a", "b", "both"), *quantized("both", "input", zero="middle")],
    "without a zero point": [
        concat("a", "b", "both"),
        helper.make_node("QuantizeLinear", ["both", "scale", "zero"], ["steps"]),
        helper.make_node("DequantizeLinear", ["steps", "scale"], ["input"]),
    ],
}


def weights() -> tuple[np.ndarray, np.ndarray]:
    """(out, in, 3, 3) int8 and a scale each. They stay under 64, as nncf keeps those next to the planes: two products
    of a larger one with a byte may overflow the 16 bits in which processors without VNNI add them.
    """
    generator = np.random.default_rng(0)
    kernel = generator.integers(-63, 64, (OUTPUTS, 2 * CHANNELS, 3, 3)).astype(np.int8)
    return kernel, generator.uniform(0.001, 0.01, OUTPUTS).astype(np.float32)


def model(way: list[NodeProto]) -> onnx.ModelProto:
    """Two tensors, quantised and joined in this way, and a quantised convolution of them."""
    kernel, scales = weights()
    constants = {
        "scale": np.float32(SCALE),
        "zero": np.int8(0),
        "middle": np.uint8(128),
        "scales": np.full(2 * CHANNELS, SCALE, np.float32),
        "zeros": np.zeros(2 * CHANNELS, np.int8),
        "kernel": kernel,
        "kernel_scales": scales,
        "kernel_zeros": np.zeros(OUTPUTS, np.int8),
    }
    nodes = [
        *way,
        helper.make_node("DequantizeLinear", ["kernel", "kernel_scales", "kernel_zeros"], ["weights"], axis=0),
        helper.make_node("Conv", ["input", "weights"], ["output"], pads=[1] * 4),
    ]
    shape = [1, CHANNELS, SIDE, SIDE]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "ab"],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, OUTPUTS, SIDE, SIDE])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(made, full_check=True)
    return made


def tensors() -> list[np.ndarray]:
    """Of both signs, some beyond the range, none between two steps."""
    steps = np.random.default_rng(1).integers(-140, 141, (2, 1, CHANNELS, SIDE, SIDE))
    return list((steps * SCALE).astype(np.float32))


def expected() -> np.ndarray:
    """What the operators define, in numpy: (OUTPUTS, SIDE, SIDE)."""
    steps = np.rint(np.concatenate(tensors(), axis=1)[0] / SCALE).clip(-128, 127)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(steps, ((0, 0), (1, 1), (1, 1))), (3, 3), axis=(1, 2))
    kernel, scales = weights()
    return np.einsum("oikl,iyxkl->oyx", kernel.astype(float), windows) * SCALE * scales[:, None, None]


def compiled(way: list[NodeProto], joined: bool, properties: dict[str, object]) -> ov.CompiledModel:
    core = ov.Core()
    read = core.read_model(model(way).SerializeToString())
    if joined:
        join_dequantization(read)
    assert is_quantized(read)
    return core.compile_model(read, "CPU", properties)


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_a_concat_of_quantised_tensors_keeps_their_steps(way: list[NodeProto]) -> None:
    network = compiled(way, True, IN_INT8)
    layers = [node.get_rt_info() for node in network.get_runtime_model().get_ordered_ops()]
    (built,) = (layer["runtimePrecision"] for layer in layers if layer["layerType"].astype(str) == "Convolution")
    assert built.astype(str) in ("u8", "i8")
    difference = np.abs(network(tensors())[0][0] - expected())
    assert difference.mean() < 0.01 * expected().std()  # 0.27 of it where three steps are left


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the instructions of x86")
@pytest.mark.parametrize("instructions", ["AVX2", "AVX512_CORE_VNNI"])
def test_so_it_does_without_amx(instructions: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "keeps_their_steps"]
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": instructions}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout[-2000:]


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_joining_changes_no_value(way: list[NodeProto]) -> None:
    found = [compiled(way, joined, IN_FLOAT)(tensors())[0] for joined in (False, True)]
    assert np.allclose(*found, rtol=0, atol=1e-4 * found[0].std())


def test_steps_that_something_else_reads_stay() -> None:
    made = model(WAYS["after the concat"])
    made.graph.output.append(helper.make_tensor_value_info("both_steps", TensorProto.INT8, None))
    read = ov.Core().read_model(made.SerializeToString())
    before = [operation.get_friendly_name() for operation in read.get_ordered_ops()]
    join_dequantization(read)
    assert [operation.get_friendly_name() for operation in read.get_ordered_ops()] == before
