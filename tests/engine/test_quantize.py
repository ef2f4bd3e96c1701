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

"""An int8 model stays close to its fp32 one on scenes that its calibration did not show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from refinefuse_ros.engine import quantize
from refinefuse_ros.engine.artifacts import find_model
from refinefuse_ros.engine.openvino_quantized import join_dequantization
from refinefuse_ros.evaluation.comparing import sample_pairs
from refinefuse_ros.image.frame import ImageSize

pytestmark = pytest.mark.instructions

SIZE = ImageSize(128, 96)


def fuse(model: ov.Model, planes: list[np.ndarray]) -> np.ndarray:
    shape = [1, 1, SIZE.height, SIZE.width]
    model.reshape({"thermal": shape, "visible": shape})
    join_dequantization(model)
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled([plane[None, None] for plane in planes])["fused"].astype(int)


@pytest.mark.parametrize("format", ["openvino", "onnx"])
def test_scenes_unlike_the_calibrations_are_fused_too(format: str) -> None:
    graph = Path(find_model("nano").required_graph())
    pairs = sample_pairs(None, SIZE, 6).planes
    core = ov.Core()
    if format == "onnx":
        quantized = core.read_model(quantize.quantize_onnx(graph.read_bytes(), pairs))
    else:
        quantized = quantize.quantize_ir(core.read_model(graph), pairs)
    thermal, visible = pairs[0]
    negative = [255 - thermal, visible]
    difference = np.abs(fuse(quantized, negative) - fuse(core.read_model(graph), negative))
    assert difference.mean() < 1.5  # 15 with quantised decoders, whose deepest one is silent in the street
