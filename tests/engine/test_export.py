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

"""The exported graph is what torch computes, at sizes it was not traced with, on random and real planes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import openvino as ov
import pytest
import torch

from refinefuse_ros.engine.export import ExportError, export_onnx, export_weights, largest_difference
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.network.deployable import Deployable
from refinefuse_ros.network.model import RefineFuse, RefineFuseConfig
from refinefuse_ros.network.variants import build
from refinefuse_ros.network.weights import save_weights
from refinefuse_ros.resources import sha256_of

MSRS = Path(__file__).parents[3] / "shared" / "data" / "msrs_val"
CONFIGS = {
    "image": RefineFuseConfig(encoder=(4, 4, 6, 8), head=(4,), grids=(4, 2)),
    "blend": RefineFuseConfig(encoder=(4, 6, 8), head=(4,), grids=(4,), unshuffle=2, output="blend"),
}


@pytest.fixture(params=CONFIGS, ids=list(CONFIGS))
def model(request: pytest.FixtureRequest) -> RefineFuse:
    torch.manual_seed(0)
    return build(CONFIGS[request.param]).eval()


def test_one_dynamic_graph_serves_other_sizes(model: RefineFuse, tmp_path: Path):
    path = tmp_path / "m.onnx"
    export_onnx(model, path)
    sizes = [ImageSize(640, 480), ImageSize(40, 32), ImageSize(32, 120)]
    assert largest_difference(model, path.read_bytes(), sizes) <= 1
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"]


def test_real_planes(model: RefineFuse, tmp_path: Path):
    if not MSRS.is_dir():
        pytest.skip("the data folder is not here")
    name = min(path.name for path in (MSRS / "thermal").iterdir())
    thermal, visible = (
        cv2.imread(str(MSRS / kind / name), cv2.IMREAD_GRAYSCALE)[None, None] for kind in ("thermal", "rgb")
    )
    export_onnx(model, tmp_path / "m.onnx")
    graph = ov.Core().read_model(tmp_path / "m.onnx")
    graph.reshape({plane: list(thermal.shape) for plane in ("thermal", "visible")})
    compiled = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled({"thermal": thermal, "visible": visible})["fused"]
    with torch.inference_mode():
        expected = Deployable(model)(torch.from_numpy(thermal), torch.from_numpy(visible)).numpy()
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_metadata_says_what_the_graph_is(model: RefineFuse, tmp_path: Path):
    export_onnx(model, tmp_path / "m.onnx", name="mine", weights_sha256="ab12")
    graph = onnx.load(tmp_path / "m.onnx")
    properties = {entry.key: entry.value for entry in graph.metadata_props}
    assert properties.pop("code_version")
    assert properties == {"size_multiple": "8", "model": "mine", "weights_sha256": "ab12"}
    assert [plane.name for plane in graph.graph.input] == ["thermal", "visible"]
    assert {plane.type.tensor_type.elem_type for plane in (*graph.graph.input, *graph.graph.output)} == {
        onnx.TensorProto.UINT8
    }


def test_a_static_graph_has_its_size(model: RefineFuse, tmp_path: Path):
    export_onnx(model, tmp_path / "m.onnx", size=ImageSize(64, 40))
    shape = onnx.load(tmp_path / "m.onnx").graph.input[0].type.tensor_type.shape
    assert [dimension.dim_value for dimension in shape.dim] == [1, 1, 40, 64]


def test_a_static_size_must_fit_the_network(model: RefineFuse, tmp_path: Path):
    with pytest.raises(ExportError, match="100x40 is not a multiple of 8"):
        export_onnx(model, tmp_path / "m.onnx", size=ImageSize(100, 40))
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_differs_is_not_written(model: RefineFuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("refinefuse_ros.engine.export.largest_difference", lambda *arguments: 2)
    with pytest.raises(ExportError, match="by 2 grey levels"):
        export_onnx(model, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_weight_file_becomes_a_graph_that_names_it(model: RefineFuse, tmp_path: Path):
    weights = tmp_path / "mine.safetensors"
    save_weights(model, weights, "mine")
    export_weights(weights, tmp_path / "g.onnx", size=ImageSize(61, 40))
    graph = onnx.load(tmp_path / "g.onnx")
    properties = {entry.key: entry.value for entry in graph.metadata_props}
    assert (properties["model"], properties["weights_sha256"]) == ("mine", sha256_of(weights))
    shape = graph.graph.input[0].type.tensor_type.shape
    assert [dimension.dim_value for dimension in shape.dim] == [1, 1, 40, 64]
