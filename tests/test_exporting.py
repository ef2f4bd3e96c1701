# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Every format that can be made here is made, runs, and gives torch's picture; the rest is refused in a sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path

import onnx
import openvino as ov
import pytest

from refinefuse_ros import exporting
from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.engine.cuda import has_gpu
from refinefuse_ros.engine.manifest import Manifest
from refinefuse_ros.errors import UserError
from refinefuse_ros.exporting import export_model
from refinefuse_ros.image.frame import ImageSize

SIZE = ImageSize(97, 64)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_onnx(precision: str, tmp_path: Path) -> None:
    report = export_model("nano", "onnx", precision, SIZE, tmp_path / "m.onnx")
    graph = onnx.load(tmp_path / "m.onnx")
    weights = {tensor.data_type for tensor in graph.graph.initializer if len(tensor.dims) == 4}
    assert weights == {onnx.TensorProto.FLOAT16 if precision == "fp16" else onnx.TensorProto.FLOAT}
    assert [side.dim_value for side in graph.graph.input[0].type.tensor_type.shape.dim] == [1, 1, 64, 104]
    assert (report.precision, report.size, report.comparison.pairs) == (precision, "97x64", 4)
    assert report.comparison.max_difference <= (1 if precision == "fp32" else 2)
    for before, after in report.comparison.metrics.values():
        assert after == pytest.approx(before, rel=0.01, abs=0.01)
    stored = json.loads((tmp_path / "m.export.json").read_text())
    assert stored["comparison"]["mean_difference"] == report.comparison.mean_difference


def test_a_graph_of_any_size_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(exporting, "DEFAULT_SIZE", SIZE)
    assert export_model().files == ["refinefuse_nano.onnx"]
    shape = onnx.load("refinefuse_nano.onnx").graph.input[0].type.tensor_type.shape
    assert [side.dim_param for side in shape.dim[2:]] == ["height", "width"]


def test_openvino(tmp_path: Path) -> None:
    report = export_model("nano", "openvino", "fp16", SIZE, tmp_path / "m.xml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.bin", "m.export.json", "m.xml"]
    assert list(ov.Core().read_model(tmp_path / "m.xml").input(0).shape) == [1, 1, 64, 104]
    assert report.comparison.max_difference <= 2


def test_a_plan_for_another_machine(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    report = export_model("nano", "tensorrt", size=SIZE, output=tmp_path / "plans", capability="8.9")
    engine, manifest = map(Path, report.files)
    key = Manifest.from_json(manifest.read_text()).key
    assert (key.precision, key.compute_capability, key.size, key.gpu) == ("fp16", "8.9", "97x64", "any")
    assert engine.stat().st_size > 100_000
    assert report.comparison.max_difference <= 2
    assert "was not run" in report.note


def test_a_plan_that_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="built and could not be kept"):
        export_model("nano", "tensorrt", size=SIZE, output=tmp_path / "file" / "plans", capability="8.9")


@pytest.mark.skipif(has_gpu(), reason="a GPU is here")
@pytest.mark.parametrize("format", ["tensorrt", "torch-tensorrt"])
def test_without_a_gpu_it_says_so(format: str, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"no NVIDIA driver|there is none here|is installed"):
        export_model("nano", format, size=SIZE, output=tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"format": "caffe"}, "'caffe' is no format"),
        ({"precision": "int3"}, "'int3' is no precision"),
        ({"capability": "8.9"}, "no meaning for onnx"),
        ({"format": "tensorrt", "capability": "ada"}, "'ada' is no compute capability"),
        ({"model": "giant"}, "'giant' is not a model"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, str], sentence: str) -> None:
    if arguments.get("format") == "tensorrt":
        pytest.importorskip("tensorrt_rtx_bindings")
    with pytest.raises(UserError, match=sentence):
        export_model(**arguments)


def test_pictures_that_are_not_torchs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "_ALLOWED_MEAN_DIFFERENCE", -1.0)
    with pytest.raises(UserError, match="differs from torch by"):
        export_model("nano", "onnx", size=SIZE, output=tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []
