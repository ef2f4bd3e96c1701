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

"""A deployable graph in int8, by nncf after training: which layers are quantised, and how the ranges are found.

Quantised are the convolutions of the encoders after their first, those that join the modalities, and the head of a
network that blends its sources. The first ones, which see the planes themselves, stay in floating point: they are
little work, and 127 steps cannot hold a plane of 8 bits. So do the decoders: their deep features may be silent in all
pairs of a calibration, and a range that was found empty stays empty when others come. So does what interacts (SFIM,
PSIM, FIM: attention maps, products and sums of features), the last convolution and all that follows it, and the whole
head of a network that paints the image by itself (Tanh): there, a step of 1 / 255 of the range shows in the picture.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

import nncf
import numpy as np
import onnx
import openvino as ov
from onnx import numpy_helper, version_converter

Planes = tuple[np.ndarray, np.ndarray]

_OPSET = 19  # the first in which quantised tensors may stand between fp16 ones; JetPack's TensorRT 10.3 reads it
_KEPT_IN_FLOAT = (
    r".*/encoder_(ir|vis)/levels\.0/.*",
    r".*/decoders\..*",
    r".*/interactions\.\d+/(?!fuse/).*",
    r".*/fim/.*",
    r"/model/[^/]*$",
    r"/[^/]*$",
)
_HEAD = r".*/head/.*"
_HEAD_CONVOLUTION = re.compile(r".*/head/head\.(\d+)/")
_PAINTS = "/model/Tanh"
_UNSIGNED_STEPS, _SIGNED_STEPS = 255, 127


def quantize_ir(model: ov.Model, pairs: Sequence[Planes]) -> ov.Model:
    """Quantise an OpenVINO model.

    Args:
        model: a deployable graph in fp32.
        pairs: thermal and visible, each (H, W) uint8, as the graph takes them: real ones, of the kind that will come.

    Returns:
        Another model; it keeps the runtime information of the first.
    """
    names = [operation.get_friendly_name() for operation in model.get_ops()]
    return _quantize(model, names, pairs)


def quantize_onnx(content: bytes, pairs: Sequence[Planes]) -> bytes:
    """Quantise an ONNX graph by QuantizeLinear and DequantizeLinear nodes, signed and symmetric as TensorRT wants them.

    OpenVINO's own reading of it is computed wrongly on most CPUs; `openvino_quantized.join_dequantization` mends that.

    Args:
        content: a serialised deployable graph in fp32.
        pairs: as for `quantize_ir`.

    Returns:
        The serialised graph, with the same metadata properties and `precision`.
    """
    model = onnx.load_from_string(content)
    names = [node.name for node in model.graph.node]
    quantized = _quantize(model, names, pairs)
    _make_signed(quantized.graph)
    del quantized.graph.value_info[:]  # they tell the old types
    quantized = version_converter.convert_version(quantized, _OPSET)
    quantized.metadata_props.add(key="precision", value="int8")
    onnx.checker.check_model(quantized, full_check=True)
    return bytes(quantized.SerializeToString())


def _quantize(model: Any, names: Sequence[str], pairs: Sequence[Planes]) -> Any:
    nncf.set_log_level(logging.ERROR)
    kept = [*_KEPT_IN_FLOAT, _kept_of_head(names)]
    feeds = [{"thermal": thermal[None, None], "visible": visible[None, None]} for thermal, visible in pairs]
    with redirect_stdout(sys.stderr):  # where progress belongs
        return nncf.quantize(
            model,
            nncf.Dataset(feeds),
            preset=nncf.QuantizationPreset.PERFORMANCE,  # symmetric: the only kind that TensorRT knows
            subset_size=len(feeds),
            ignored_scope=nncf.IgnoredScope(patterns=kept, validate=False),
        )


def _kept_of_head(names: Sequence[str]) -> str:
    """A pattern for what stays in floating point of the head whose graph has nodes of these names."""
    if any(name.startswith(_PAINTS) for name in names):
        return _HEAD
    matches = (_HEAD_CONVOLUTION.match(name) for name in names)
    last = max(int(match[1]) for match in matches if match)
    return rf".*/head/head\.{last}/.*"


def _make_signed(graph: onnx.GraphProto) -> None:
    """Turn the unsigned steps of activations that are never negative into signed ones of the same range."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    unsigned = {
        (node.input[1], node.input[2])
        for node in graph.node
        if node.op_type == "QuantizeLinear" and constants[node.input[2]].data_type == onnx.TensorProto.UINT8
    }
    for scale_name, zero_name in unsigned:
        scale, zero = (numpy_helper.to_array(constants[name]) for name in (scale_name, zero_name))
        widened = (scale * (_UNSIGNED_STEPS / _SIGNED_STEPS)).astype(scale.dtype)
        constants[scale_name].CopyFrom(numpy_helper.from_array(widened, scale_name))
        constants[zero_name].CopyFrom(numpy_helper.from_array(zero.astype(np.int8), zero_name))
