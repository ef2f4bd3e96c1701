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

"""Quantised graphs as OpenVINO reads them, in the one form that it computes rightly on every CPU."""

from __future__ import annotations

import numpy as np
import openvino as ov
from openvino import opset13

_INTEGERS = (ov.Type.i8, ov.Type.u8)


def is_quantized(graph: ov.Model) -> bool:
    """Whether it holds quantised tensors, which OpenVINO reads as this operation from ONNX and IR alike."""
    return any(operation.get_type_name() == "FakeQuantize" for operation in graph.get_ops())


def join_dequantization(graph: ov.Model) -> None:
    """Let each FakeQuantize that gives integers and is followed by their dequantisation give the real numbers itself.

    QuantizeLinear and DequantizeLinear are read as FakeQuantize to -128..127, Convert to int8, Convert to fp32,
    Subtract the zero point, Multiply by the scale; what nncf writes into an IR is one FakeQuantize. Both mean the same,
    but OpenVINO 2026.4 computes the chain wrongly around a Concat (into one, or out of one, whose branches it then
    quantises), unless the CPU has AMX or AVX-VNNI-INT8. On all others it gives convolutions unsigned activations only:
    it joins the chain itself, to shift it by 128. By then it has noted -128..127 as the range that the branches share,
    takes the joined range, s times as large, for a part of that one, and leaves the tensor about 255 s steps instead
    of 255: two at a scale s of 0.01. Joined before it looks, the ranges agree.
    """
    for operation in graph.get_ops():
        if operation.get_type_name() == "FakeQuantize":
            _join(operation)


def _join(quantize: ov.Node) -> None:
    data, input_low, input_high, *bounds = quantize.input_values()
    to_integer = _only_consumer(quantize, "Convert")
    to_real = to_integer and _only_consumer(to_integer, "Convert")
    if not to_real or to_integer.get_element_type() not in _INTEGERS or to_real.get_element_type() != data.element_type:
        return
    shift = _only_consumer(to_real, "Subtract")
    scale = _only_consumer(shift or to_real, "Multiply")
    zero = _constant(shift.input_value(1)) if shift else np.zeros((), data.element_type.to_dtype())
    step = _constant(scale.input_value(1)) if scale else None
    integers = [_constant(bound) for bound in bounds]
    if zero is None or step is None or any(bound is None for bound in integers):
        return
    low, high = (opset13.constant((bound - zero) * step, data.element_type) for bound in integers)
    joined = opset13.fake_quantize(data, input_low, input_high, low, high, quantize.get_attributes()["levels"])
    joined.set_friendly_name(quantize.get_friendly_name())
    scale.output(0).replace(joined.output(0))


def _constant(port: ov.Output) -> np.ndarray | None:
    """The value of a constant that was perhaps widened and reshaped, None of anything else."""
    node = port.get_node()
    while node.get_type_name() in ("Convert", "Reshape"):
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant":
        return None
    return node.get_data().reshape(port.shape).astype(port.element_type.to_dtype())


def _only_consumer(node: ov.Node, kind: str) -> ov.Node | None:
    """The one operation that takes the first output of `node` as its first input, if it is of that kind."""
    consumers = node.output(0).get_target_inputs()
    if len(consumers) != 1:
        return None
    (port,) = consumers
    consumer = port.get_node()
    return consumer if port.get_index() == 0 and consumer.get_type_name() == kind else None
