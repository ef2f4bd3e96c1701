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

"""The reference computes what torch and onnxruntime compute, and knows what it does not know."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset13

from refinefuse_ros.engine.artifacts import find_model
from refinefuse_ros.engine.proof import built_in_scene
from refinefuse_ros.engine.reference import UnknownOperationError, compute
from refinefuse_ros.engine.torch import TorchEngine
from refinefuse_ros.evaluation.comparing import sample_pairs
from refinefuse_ros.image.frame import ImageSize

SIZE = ImageSize(80, 48)
SHAPE = [1, 1, SIZE.height, SIZE.width]


def picture(graph: ov.Model, planes: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    graph.reshape({"thermal": SHAPE, "visible": SHAPE})
    return compute(graph, *planes)


@pytest.mark.parametrize("model", ["nano", "base"])
@pytest.mark.parametrize("kind", ["built-in", "noise"])
def test_the_shipped_graphs_give_the_picture_of_torch(model: str, kind: str) -> None:
    files = find_model(model)
    noise = np.random.default_rng(1).integers(0, 256, (2, *SHAPE[2:]), dtype=np.uint8)
    planes = built_in_scene(SIZE) if kind == "built-in" else tuple(noise)
    found = picture(ov.Core().read_model(files.graph), planes)
    difference = np.abs(found - TorchEngine(files, SIZE).fuse(*planes))
    assert difference.max() <= 1
    assert difference.mean() < 0.01


def test_quantised_tensors_are_rounded_as_the_graph_says() -> None:
    pytest.importorskip("nncf")
    from refinefuse_ros.engine import quantize

    onnxruntime = pytest.importorskip("onnxruntime")
    pairs = sample_pairs(None, SIZE, 3).planes
    content = quantize.quantize_onnx(find_model("nano").graph.read_bytes(), pairs)
    feed = dict(zip(("thermal", "visible"), (plane[None, None] for plane in pairs[0]), strict=True))
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    difference = np.abs(picture(ov.Core().read_model(content), pairs[0]) - session.run(None, feed)[0][0, 0])
    assert difference.mean() < 0.1  # 8 to 17 where the same file is computed wrongly


def graph_of(kind: str) -> ov.Model:
    """A graph whose planes go through one operation on their way."""
    thermal, visible = (opset13.parameter(SHAPE, ov.Type.u8, name) for name in ("thermal", "visible"))
    for plane, name in ((thermal, "thermal"), (visible, "visible")):
        plane.output(0).set_names({name})
    wide = opset13.convert(thermal, "f32")
    kernel = np.ones((1, 1, 3, 3), np.float32)
    made = {
        "erf": lambda: opset13.erf(wide),
        "dilated": lambda: opset13.convolution(wide, kernel, [1, 1], [2, 2], [2, 2], [2, 2]),
        "nearest": lambda: opset13.interpolate(wide, SHAPE, "nearest", "sizes"),
        "not a number": lambda: opset13.divide(opset13.subtract(wide, wide), opset13.subtract(wide, wide)),
    }[kind]()
    sum_ = opset13.add(made, opset13.convert(visible, "f32"))
    return ov.Model([opset13.convert(sum_, "u8")], [thermal, visible], "graph")


@pytest.mark.parametrize(("kind", "named"), [("erf", "Erf"), ("dilated", "convolutions"), ("nearest", "interpolation")])
def test_what_it_does_not_know_is_said(kind: str, named: str) -> None:
    with pytest.raises(UnknownOperationError, match=named):
        compute(graph_of(kind), *built_in_scene(SIZE))


def test_what_is_no_number_stays_none() -> None:
    assert np.isnan(compute(graph_of("not a number"), *built_in_scene(SIZE))).all()
