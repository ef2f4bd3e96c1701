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

"""What a deployable ONNX graph says of itself, and its fp16 twin. Needs onnx, not torch.

Strongly typed compilers (TensorRT from 10 on) compute in the types that the graph has, so the precision of their
engines is decided here: weights and activations become half precision, the planes stay uint8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import NodeProto, TensorProto, helper, numpy_helper

from refinefuse_ros.engine.base import EngineError

_LARGEST = float(np.finfo(np.float16).max)
_SPATIAL_AXES = {2, 3}


@dataclass(frozen=True)
class GraphProperties:
    """What a deployable graph says of itself.

    Attributes:
        size_multiple: what the height and the width of its planes must be multiples of (pixels).
        weights_sha256: of the weight file that it was exported from; empty if it does not say.
        precision: "fp32", "fp16" or "int8".
    """

    size_multiple: int
    weights_sha256: str
    precision: str


def properties_of(content: bytes) -> GraphProperties:
    """Read a serialised graph's metadata properties.

    Raises:
        EngineError: the bytes are no ONNX graph, or one that does not say its size multiple.
    """
    properties = {entry.key: entry.value for entry in _parse(content).metadata_props}
    multiple = properties.get("size_multiple", "")
    if not multiple.isdigit() or int(multiple) < 1:
        raise EngineError("The graph does not say its size_multiple; export it with 'refinefuse export'.")
    return GraphProperties(int(multiple), properties.get("weights_sha256", ""), properties.get("precision", "fp32"))


def opset_of(content: bytes) -> int:
    """The version of ONNX's own operators that a serialised graph asks for."""
    return max(entry.version for entry in _parse(content).opset_import if entry.domain in ("", "ai.onnx"))


def to_half(content: bytes) -> bytes:
    """Convert what a deployable graph computes in fp32 to fp16: all of an fp32 graph, the rest of an int8 one.

    Softmax and the means over whole feature maps keep computing in fp32, between casts: a sum of 10^5 addends has no
    place in 11 bits of mantissa. Every other floating-point tensor becomes fp16; integers stay as they are, and so do
    the scales of Resize, which the operator demands in fp32.

    Args:
        content: a serialised ONNX graph with uint8 planes in and out, floating-point tensors in fp32.

    Returns:
        The serialised graph, with the same metadata properties and, where it was fp32, `precision`; an fp16 graph as
        it is.

    Raises:
        EngineError: the bytes are no ONNX graph, or a weight is too large for fp16.
    """
    precision = properties_of(content).precision
    if precision == "fp16":
        return content
    model = _parse(content)
    graph = model.graph
    kept = _must_stay_fp32(graph)
    for tensor in _float_constants(graph, kept):
        tensor.CopyFrom(_half_tensor(tensor))
    for node in graph.node:
        if node.op_type == "Cast":
            for attribute in node.attribute:
                if attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                    attribute.i = TensorProto.FLOAT16
    constants = _constants(graph)
    nodes = [part for node in graph.node for part in (_in_fp32(node) if _is_delicate(node, constants) else [node])]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    if precision == "fp32":
        model.metadata_props.add(key="precision", value="fp16")
    onnx.checker.check_model(model, full_check=True)  # infers all types: no operator is left with mixed ones
    return bytes(model.SerializeToString())


def _parse(content: bytes) -> onnx.ModelProto:
    try:
        return onnx.load_from_string(content)
    except (DecodeError, ValueError) as error:
        raise EngineError(f"The graph is not a readable ONNX file ({error}); export or download it again.") from error


def _must_stay_fp32(graph: onnx.GraphProto) -> set[str]:
    """Names of the constants that an operator takes in fp32 only: the region and the scales of Resize."""
    return {name for node in graph.node if node.op_type == "Resize" for name in node.input[1:3] if name}


def _float_constants(graph: onnx.GraphProto, kept: set[str]) -> Iterator[TensorProto]:
    candidates = [(tensor.name, tensor) for tensor in graph.initializer]
    candidates += [
        (node.output[0], attribute.t)
        for node in graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    ]
    for name, tensor in candidates:
        if tensor.data_type == TensorProto.FLOAT and name not in kept:
            yield tensor


def _half_tensor(tensor: TensorProto) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    largest = float(np.abs(values).max(initial=0.0))
    if not largest <= _LARGEST:
        raise EngineError(
            f"The graph's constant '{tensor.name}' reaches {largest:g}, beyond fp16's {_LARGEST:g}; use precision fp32."
        )
    return numpy_helper.from_array(values.astype(np.float16), tensor.name)


def _constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """The integer constants by name: reductions take their axes from them."""
    tensors = [(tensor.name, tensor) for tensor in graph.initializer]
    tensors += [(node.output[0], node.attribute[0].t) for node in graph.node if node.op_type == "Constant"]
    return {name: numpy_helper.to_array(tensor) for name, tensor in tensors if tensor.data_type == TensorProto.INT64}


def _is_delicate(node: NodeProto, constants: dict[str, np.ndarray]) -> bool:
    if node.op_type == "Softmax":
        return True
    if node.op_type != "ReduceMean":
        return False
    axes = {int(axis) for attribute in node.attribute if attribute.name == "axes" for axis in attribute.ints}
    if len(node.input) > 1:  # from opset 18 on an input
        axes = {int(axis) for axis in constants.get(node.input[1], np.array([]))}
    return axes >= _SPATIAL_AXES


def _in_fp32(node: NodeProto) -> list[NodeProto]:
    """`node` between a cast to fp32 and one back; its first input and its output are the floating-point ones."""
    wide_input, wide_output = f"{node.output[0]}_fp32_input", f"{node.output[0]}_fp32"
    wide = NodeProto()
    wide.CopyFrom(node)
    wide.input[0], wide.output[0] = wide_input, wide_output
    return [
        helper.make_node("Cast", [node.input[0]], [wide_input], f"{node.name}_to_fp32", to=TensorProto.FLOAT),
        wide,
        helper.make_node("Cast", [wide_output], [node.output[0]], f"{node.name}_to_fp16", to=TensorProto.FLOAT16),
    ]
