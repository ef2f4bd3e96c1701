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

"""A right engine is proven at any size; one that computes wrongly in any of the known ways is not used."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from refinefuse_ros.engine import proof as proof_module
from refinefuse_ros.engine.artifacts import ModelFiles, find_model
from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.engine.factory import EngineRequest, create_engine
from refinefuse_ros.engine.openvino import OpenVinoEngine
from refinefuse_ros.engine.proof import STORED_SIZE, References, built_in_scene, prove
from refinefuse_ros.engine.torch import TorchEngine
from refinefuse_ros.image.frame import ImageSize

onnx = pytest.importorskip("onnx")

pytestmark = pytest.mark.instructions

SIZE = ImageSize(97, 64)  # padded to 104 x 64


def insert(model: onnx.ModelProto, before: str, kind: str, *constants: float) -> None:
    """Put an operation with constant inputs on the way into the last one of the kind `before`."""
    index, node = [(index, node) for index, node in enumerate(model.graph.node) if node.op_type == before][-1]
    names = [f"planted{number}" for number in range(len(constants))]
    for name, value in zip(names, constants, strict=True):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(value), name))
    model.graph.node.insert(index, onnx.helper.make_node(kind, [node.input[0], *names], ["planted"]))
    node.input[0] = "planted"


def swap_inputs(model: onnx.ModelProto) -> None:
    other = {"thermal": "visible", "visible": "thermal"}
    for node in model.graph.node:
        node.input[:] = [other.get(name, name) for name in node.input]


def lose_a_number(model: onnx.ModelProto) -> None:
    """In the last convolution: a ReLU may hide what is no number, and turn it into a nought."""
    name = [node for node in model.graph.node if node.op_type == "Conv"][-1].input[2]
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    values = onnx.numpy_helper.to_array(bias).copy()
    values[0] = np.nan
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))


class ShiftedEngine(OpenVinoEngine):
    def _run(self, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
        return np.roll(super()._run(thermal, visible), 1, self.axis)


WRONG = {
    "scaled output": lambda model: insert(model, "Round", "Mul", 0.98),
    "scaled output, up": lambda model: insert(model, "Round", "Mul", 1.03),
    "swapped inputs": swap_inputs,
    "saturating output": lambda model: insert(model, "Round", "Clip", 0, 240),
    "saturating layer": lambda model: insert(model, "Conv", "Clip", -0.1, 0.1),
    "a NaN": lose_a_number,
}


@pytest.mark.parametrize("model", ["nano", "base"])
@pytest.mark.parametrize("kind", [*WRONG, "shifted right", "shifted down"])
def test_a_wrong_engine_is_refused(kind: str, model: str, tmp_path: Path) -> None:
    files = find_model(model)
    wrong, engine_class = files, OpenVinoEngine
    if kind in WRONG:
        graph = onnx.load(files.graph)
        WRONG[kind](graph)
        onnx.save(graph, tmp_path / "wrong.onnx")
        wrong = ModelFiles(model, tmp_path / "wrong.onnx", None)
    else:
        engine_class = ShiftedEngine
    engine = engine_class(wrong, SIZE, "fp32")
    engine.axis = 1 if kind == "shifted right" else 0
    for precision in ("fp32", "int8"):  # which has the wider bound
        engine.info = replace(engine.info, precision=precision)
        with pytest.raises(EngineError, match=f"openvino in {precision} on .* computes {model} wrongly: .* levels off"):
            prove(engine, "graph", References(files, SIZE))
        assert engine.info.proof_mean_difference is None


@pytest.mark.parametrize("model", ["nano", "base"])
@pytest.mark.parametrize("size", [SIZE, ImageSize(32, 32), ImageSize(33, 75)])
def test_a_right_engine_is_proven_at_any_size(model: str, size: ImageSize) -> None:
    engine = create_engine(EngineRequest(model, "openvino", "fp32"), size)
    assert engine.info.proof_mean_difference < 0.01
    assert engine.info.to_dict()["proof_mean_difference"].startswith("0.00")
    assert "proven" not in engine.info.reason


def test_the_scene_is_the_same_everywhere() -> None:
    for plane, total, corner in zip(built_in_scene(ImageSize(640, 480)), (39168000, 39826470), (0, 40), strict=True):
        assert (plane.dtype, plane.shape, int(plane.sum()), plane[0, 0]) == (np.uint8, (480, 640), total, corner)


def must_not_compute(path: Path, size: ImageSize) -> np.ndarray:
    raise AssertionError(f"{path.name} is computed at {size}")


def test_the_stored_references_are_of_the_shipped_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else: python -m refinefuse_ros.engine.proof."""
    monkeypatch.setattr(proof_module, "_compute", must_not_compute)
    for model in ("nano", "base"):
        stored = References(find_model(model), STORED_SIZE).of_graph
        assert (stored.dtype, stored.shape) == (np.uint8, (480, 640))
    expected = TorchEngine(find_model("nano"), STORED_SIZE).fuse(*built_in_scene(STORED_SIZE))
    assert np.abs(References(find_model("nano"), STORED_SIZE).of_graph.astype(int) - expected).max() <= 1


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of built engines; not there yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/refinefuse_ros"


def test_a_reference_is_computed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    computed = References(find_model("nano"), SIZE).of_graph
    assert folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(proof_module, "_compute", must_not_compute)
    assert np.array_equal(References(find_model("nano"), SIZE).of_graph, computed)
    for files, size in ((find_model("nano"), ImageSize(98, 64)), (find_model("base"), SIZE)):
        with pytest.raises(AssertionError, match="is computed at"):
            References(files, size).of_graph  # noqa: B018 (a property that computes)


@pytest.mark.parametrize("part", [slice(None, 200), slice(0, 0), slice(1, None)])
def test_a_damaged_reference_is_computed_again(part: slice, folder: Path) -> None:
    computed = References(find_model("nano"), SIZE).of_graph
    (kept,) = folder.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[part])
    assert np.array_equal(References(find_model("nano"), SIZE).of_graph, computed)
    assert kept.read_bytes() == whole


def test_a_folder_that_others_may_write_to_is_not_trusted(folder: Path) -> None:
    References(find_model("nano"), SIZE).of_graph  # noqa: B018
    (kept,) = folder.iterdir()
    kept.write_bytes(b"of somebody else")
    folder.chmod(0o777)
    assert References(find_model("nano"), SIZE).of_graph.any()
    assert kept.read_bytes() == b"of somebody else"


def test_without_a_folder_references_are_computed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file/folder"))
    (tmp_path / "file").touch()
    assert References(find_model("nano"), SIZE).of_graph.any()


def test_classical_fusion_has_nothing_to_prove() -> None:
    info = create_engine(EngineRequest(backend="laplacian"), SIZE).info
    assert info.proof_mean_difference is None
    assert info.to_dict()["proof_mean_difference"] == ""
    assert info.reason == "asked for; not proven, since laplacian computes no network"


def test_torch_is_held_against_the_graph_of_its_weights(tmp_path: Path) -> None:
    assert create_engine(EngineRequest("nano", "torch"), SIZE).info.proof_mean_difference < 0.01
    shutil.copy(find_model("nano").weights, tmp_path / "mine.safetensors")
    shutil.copy(find_model("base").graph, tmp_path / "mine.onnx")  # an older one, of other weights
    for alone in (False, True):
        if alone:
            os.unlink(tmp_path / "mine.onnx")
        info = create_engine(EngineRequest(str(tmp_path / "mine.safetensors"), "torch"), SIZE).info
        assert info.proof_mean_difference is None
        assert "not proven, since there is no graph of these weights" in info.reason


def test_without_a_graph_torch_on_the_cpu_is_the_reference(tmp_path: Path) -> None:
    """As for an engine of torch on a GPU: here a stand-in that differs from it by its name."""
    shutil.copy(find_model("nano").weights, tmp_path / "mine.safetensors")
    files = ModelFiles("mine", None, tmp_path / "mine.safetensors")
    engine = OpenVinoEngine(find_model("nano"), SIZE, "fp32")
    engine.info = replace(engine.info, backend="torch_cuda")
    prove(engine, "weights", References(files, SIZE))
    assert engine.info.proof_mean_difference < 0.01
    engine = OpenVinoEngine(find_model("base"), SIZE, "fp32")
    with pytest.raises(EngineError, match="wrongly"):
        prove(engine, "weights", References(files, SIZE))


def test_a_model_that_gives_no_picture_is_refused_for_every_engine(tmp_path: Path) -> None:
    graph = onnx.load(find_model("nano").graph)
    lose_a_number(graph)
    onnx.save(graph, tmp_path / "broken.onnx")
    with pytest.raises(EngineError, match=r"broken\.onnx gives no picture: \d+ of 6208 pixels are no numbers; train"):
        create_engine(EngineRequest(str(tmp_path / "broken.onnx"), "openvino"), SIZE)


def test_a_graph_with_an_operation_of_others_is_refused(tmp_path: Path) -> None:
    graph = onnx.load(find_model("nano").graph)
    insert(graph, "Round", "Floor")
    onnx.save(graph, tmp_path / "strange.onnx")
    with pytest.raises(EngineError, match=r"No engine can be proven to compute \S+strange\.onnx: its operation Floor"):
        create_engine(EngineRequest(str(tmp_path / "strange.onnx"), "openvino"), SIZE)
