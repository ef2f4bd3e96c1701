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

"""Every format that can be made here is made, runs, and gives torch's picture; the rest is refused in a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import onnx
import openvino as ov
import pytest

from refinefuse_ros import engine as engine_room
from refinefuse_ros.commands.export import exporting
from refinefuse_ros.commands.export.exporting import export_model
from refinefuse_ros.engine.artifacts import ModelFiles, find_model
from refinefuse_ros.engine.base import Engine, EngineError
from refinefuse_ros.engine.cache import EngineCache
from refinefuse_ros.engine.cuda import has_gpu
from refinefuse_ros.engine.factory import EngineRequest, create_engine
from refinefuse_ros.engine.manifest import Manifest
from refinefuse_ros.engine.openvino import OpenVinoEngine
from refinefuse_ros.errors import UserError
from refinefuse_ros.evaluation import comparing
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.synthetic import SyntheticScene
from refinefuse_ros.resources import sha256_of

pytest.importorskip("torch", reason="the extra export is not installed")

pytestmark = pytest.mark.instructions

SIZE = ImageSize(97, 64)


def write_pairs(folder: Path, count: int) -> None:
    scene = SyntheticScene(*SIZE)
    for index in range(count):
        for kind, image in zip(("thermal", "rgb"), scene.render(index), strict=True):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / kind / f"{index}.png"), image)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_onnx(precision: str, tmp_path: Path) -> None:
    report = export_model("nano", "onnx", precision, SIZE, tmp_path / "m.onnx")
    graph = onnx.load(tmp_path / "m.onnx")
    weights = {tensor.data_type for tensor in graph.graph.initializer if len(tensor.dims) == 4}
    assert weights == {onnx.TensorProto.FLOAT16 if precision == "fp16" else onnx.TensorProto.FLOAT}
    assert [side.dim_value for side in graph.graph.input[0].type.tensor_type.shape.dim] == [1, 1, 64, 112]
    assert (report.precision, report.size) == (precision, "97x64")
    assert report.comparison.max_difference <= (1 if precision == "fp32" else 2)
    for before, after in report.comparison.metrics.values():
        assert after == pytest.approx(before, rel=0.01, abs=0.01)
    assert report.comparison.pairs == "4 pairs of the synthetic street"
    assert report.comparison.reference == "torch in fp32"
    manifest = Manifest.from_json((tmp_path / "m.onnx.json").read_text())
    assert manifest.comparison == report.comparison
    assert manifest.proof_mean_difference < 0.1
    assert set(manifest.comparison.metrics) >= {"vif", "ag", "scd", "qabf", "sf", "en", "ssim"}
    assert (manifest.key.backend, manifest.key.precision, manifest.key.size) == ("onnx", precision, "97x64")
    assert manifest.artifact_sha256 == sha256_of(tmp_path / "m.onnx")


def test_a_graph_of_one_size_serves_no_other(tmp_path: Path) -> None:
    export_model("nano", "onnx", size=SIZE, output=tmp_path / "m.onnx")
    request = EngineRequest(model=str(tmp_path / "m.onnx"), backend="openvino")
    assert create_engine(request, ImageSize(98, 60)).size == ImageSize(98, 60)  # the same when padded
    with pytest.raises(EngineError, match=r"takes planes of 112x64 and cannot fuse 194x128; export it with"):
        create_engine(request, ImageSize(194, 128))  # OpenVINO would give a picture of 112x64


def test_a_graph_of_any_size_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(exporting, "DEFAULT_SIZE", SIZE)
    assert export_model().files == ["refinefuse_nano.onnx", "refinefuse_nano.onnx.json"]
    shape = onnx.load("refinefuse_nano.onnx").graph.input[0].type.tensor_type.shape
    assert [side.dim_param for side in shape.dim[2:]] == ["height", "width"]


def test_openvino(tmp_path: Path) -> None:
    report = export_model("nano", "openvino", "fp16", SIZE, tmp_path / "m.xml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.bin", "m.xml", "m.xml.json"]
    assert list(ov.Core().read_model(tmp_path / "m.xml").input(0).shape) == [1, 1, 64, 112]
    assert report.comparison.max_difference <= 2


def test_without_torch_the_graph_itself_is_the_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "refinefuse_ros.engine.torch", None)  # an import of it fails
    report = export_model("nano", "openvino", "fp16", SIZE, tmp_path / "m.xml")
    assert report.comparison.reference == "openvino in fp32"
    assert report.comparison.max_difference <= 2


def test_pairs_of_ones_own_are_compared_on(tmp_path: Path) -> None:
    write_pairs(tmp_path / "mine", 3)
    report = export_model("nano", "onnx", size=SIZE, output=tmp_path / "m.onnx", pairs=tmp_path / "mine")
    assert report.comparison.pairs == "3 pairs of mine"
    assert "change of the metrics: VIF" in str(report)
    assert "3 pairs of mine" in str(report)


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_int8_is_quantised_close_to_torch_and_runs_as_such(format: str, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    write_pairs(tmp_path / "mine", 3)
    suffix = "onnx" if format == "onnx" else "xml"
    model = tmp_path / f"m.{suffix}"
    report = export_model("nano", format, "int8", SIZE, model, calibration=tmp_path / "mine")
    assert report.comparison.mean_difference < 0.5
    assert "int8" in report.comparison.ran_on
    manifest = Manifest.from_json((tmp_path / f"m.{suffix}.json").read_text())
    assert manifest.key.precision == "int8"
    assert "calibrated on 3 pairs of mine" in manifest.key.options
    engine = create_engine(EngineRequest(model=str(model)), SIZE)
    assert (engine.info.backend, engine.info.precision) == ("openvino", "int8")
    with pytest.raises(EngineError, match=r"cannot run precision 'fp32' from m\.\w+; use auto, int8\.$"):
        create_engine(EngineRequest(model=str(model), backend="openvino", precision="fp32"), SIZE)


@pytest.mark.parametrize(("alike", "advice"), [(False, "calibrate with pairs like"), (True, "does not stand int8")])
def test_a_calibration_on_the_pairs_of_the_comparison_is_not_blamed(
    alike: bool, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nncf")
    monkeypatch.setattr(comparing, "_ALLOWED_MEAN_DIFFERENCE_INT8", -1.0)
    mine = tmp_path / "mine"
    write_pairs(mine, 1)
    with pytest.raises(UserError, match=advice):
        export_model(
            "nano", "openvino", "int8", SIZE, tmp_path / "m.xml", calibration=mine, pairs=mine if alike else None
        )


def test_the_most_sensitive_of_the_shipped_models_stands_int8(tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    report = export_model("base", "openvino", "int8", SIZE, tmp_path / "m.xml")
    assert report.comparison.mean_difference < 0.6  # 1.6 with quantised first convolutions


def test_an_int8_graph_is_no_source_for_other_precisions(tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    export_model("nano", "onnx", "int8", SIZE, tmp_path / "m.onnx")
    with pytest.raises(EngineError, match="is int8 already; export from the fp32 model"):
        export_model(str(tmp_path / "m.onnx"), "onnx", "fp16", output=tmp_path / "half.onnx")


def test_onnxruntime_reports_nothing_to_its_makers(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    code = "import refinefuse_ros.commands.export.exporting, onnxruntime"
    subprocess.run([sys.executable, "-c", code], env=environment | {"TMPDIR": str(tmp_path)}, check=True, timeout=60)
    assert os.listdir(tmp_path) == []  # else it keeps its session's number there


def test_what_makes_no_graph_says_why(tmp_path: Path) -> None:
    export_model("nano", "openvino", size=SIZE, output=tmp_path / "m.xml")
    with pytest.raises(EngineError, match="is an OpenVINO IR"):
        export_model(str(tmp_path / "m.xml"), size=SIZE, output=tmp_path / "m.onnx")


def test_without_nncf_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "refinefuse_ros.engine.quantize", raising=False)
    monkeypatch.delattr(engine_room, "quantize", raising=False)
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(EngineError, match="int8 needs the package nncf; install the extra int8"):
        export_model("nano", "onnx", "int8", SIZE, tmp_path / "m.onnx")


def test_a_plan_for_another_machine(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    report = export_model("nano", "tensorrt", size=SIZE, output=tmp_path / "plans", capability="8.9")
    engine, manifest = map(Path, report.files)
    key = Manifest.from_json(manifest.read_text()).key
    assert (key.precision, key.compute_capability, key.size, key.gpu) == ("fp16", "8.9", "97x64", "any")
    assert engine.stat().st_size > 100_000
    assert report.comparison.max_difference <= 2
    assert "was not run" in report.note
    assert Manifest.from_json(manifest.read_text()).comparison == report.comparison


def test_a_plan_that_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"was built, but it was not kept in .*file.plans \(Not a directory\)\.$"):
        export_model("nano", "tensorrt", size=SIZE, output=tmp_path / "file" / "plans", capability="8.9")


@pytest.mark.parametrize(("format", "name"), [("onnx", "m.onnx"), ("openvino", "m.xml")])
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    format: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_graph", None)  # it would fail
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=rf"{name} cannot be written: Is a directory\.$"):
        export_model("nano", format, size=SIZE, output=tmp_path / name)


def test_the_folder_of_the_output_is_made(tmp_path: Path) -> None:
    export_model("nano", size=SIZE, output=tmp_path / "new" / "m.onnx")
    assert sorted(os.listdir(tmp_path / "new")) == ["m.onnx", "m.onnx.json"]


@pytest.mark.parametrize("package", ["torch", "onnx"])
def test_what_is_not_installed_is_said(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("export", "graph"):
        monkeypatch.delitem(sys.modules, f"refinefuse_ros.engine.{module}", raising=False)
        monkeypatch.delattr(engine_room, module, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        EngineError, match=f"This export needs {package}, which does not load; install the extra export"
    ):
        export_model("nano", size=SIZE, output=tmp_path / "m.onnx")


@pytest.mark.skipif(has_gpu(), reason="a GPU is here")
def test_without_a_gpu_another_ones_capability_helps(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    with pytest.raises(
        EngineError, match=r"no GPU here to build .*; give another one's compute capability, such as 8\.6"
    ):
        export_model("nano", "tensorrt", size=SIZE, output=tmp_path)


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
        ({"format": "tensorrt", "capability": "8.²"}, "'8.²' is no compute capability"),
        ({"format": "tensorrt", "capability": "9.0"}, "builds for SM75, .*, not for a GPU of SM90"),
        ({"calibration": Path("pairs")}, "Only an int8 export to onnx or openvino is calibrated"),
        ({"size": ImageSize(31, 40)}, "Images of 31x40 are too small"),
        ({"format": "tensorrt", "size": ImageSize(40, 31)}, "Images of 40x31 are too small"),
        ({"output": Path("m.xml")}, "m.xml is not a name for an export to onnx; use one that ends in .onnx"),
        ({"format": "openvino", "output": Path("m.v2")}, "m.v2 is not a name .* ends in .xml"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, str], sentence: str) -> None:
    if arguments.get("format") == "tensorrt":
        pytest.importorskip("tensorrt_rtx_bindings")
    with pytest.raises(UserError, match=sentence):
        export_model(**arguments)


def test_pictures_that_are_not_torchs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "_ALLOWED_MEAN_DIFFERENCE", -1.0)
    with pytest.raises(UserError, match="differs from torch by"):
        export_model("nano", "onnx", size=SIZE, output=tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("allowed", [0.1, -1.0])
def test_only_an_engine_that_stands_the_comparison_stays_in_the_cache(
    allowed: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU the plan itself is run; here a stand-in for it, which is the graph on the CPU."""
    pytest.importorskip("tensorrt_rtx_bindings")
    gpu = SimpleNamespace(name="Stand-in GPU", capability=(8, 9), close=lambda: None)
    monkeypatch.setattr(exporting, "Gpu", lambda: gpu)
    compared = []

    def plan(files: ModelFiles, size: ImageSize, precision: str, cache: EngineCache) -> Engine:
        compared.append(precision)
        monkeypatch.setattr(comparing, "_ALLOWED_MEAN_DIFFERENCE", allowed)
        return OpenVinoEngine(files, size, "fp32")

    monkeypatch.setattr("refinefuse_ros.engine.tensorrt.TensorRtEngine", plan)
    folder = tmp_path / "plans"
    if allowed < 0:
        with pytest.raises(UserError, match="differs from torch"):
            export_model("nano", "tensorrt", size=SIZE, output=folder)
        assert os.listdir(folder) == []
        return
    report = export_model("nano", "tensorrt", size=SIZE, output=folder)
    assert compared == ["fp16"]
    assert report.note == ""
    assert Manifest.from_json(Path(report.files[1]).read_text()).comparison == report.comparison


def test_an_export_that_this_machine_computes_wrongly_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = OpenVinoEngine._run
    monkeypatch.setattr(OpenVinoEngine, "_run", lambda engine, thermal, visible: 255 - run(engine, thermal, visible))
    with pytest.raises(EngineError, match=r"openvino in fp32 on .* computes nano wrongly"):
        export_model("nano", "onnx", size=SIZE, output=tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_plan_that_does_not_stand_the_proof_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU the plan itself is run; here a stand-in for it, which is another model's graph on the CPU."""
    pytest.importorskip("tensorrt_rtx_bindings")
    monkeypatch.setattr(exporting, "Gpu", lambda: SimpleNamespace(name="GPU", capability=(8, 9), close=lambda: None))

    def plan(files: ModelFiles, size: ImageSize, precision: str, cache: EngineCache) -> Engine:
        return OpenVinoEngine(find_model("base"), size, "fp32")

    monkeypatch.setattr("refinefuse_ros.engine.tensorrt.TensorRtEngine", plan)
    with pytest.raises(EngineError, match="computes base wrongly"):
        export_model("nano", "tensorrt", size=SIZE, output=tmp_path / "plans")
    assert os.listdir(tmp_path / "plans") == []
