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

"""An exported IR runs as a model on OpenVINO alone, and only as what its manifest says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from refinefuse_ros.commands.export.exporting import export_model
from refinefuse_ros.engine.artifacts import find_model
from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.engine.factory import EngineRequest, create_engine
from refinefuse_ros.image.frame import ImageSize

pytest.importorskip("torch", reason="the extra export is not installed")

pytestmark = pytest.mark.instructions

SIZE = ImageSize(97, 64)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ir")
    export_model("nano", "openvino", size=SIZE, output=folder / "mine.xml")
    return folder


@pytest.fixture
def ir(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "ir")) / "mine.xml"


def test_it_fuses_as_the_graph_it_was_made_of(ir: Path) -> None:
    planes = np.random.default_rng(0).integers(0, 256, (2, SIZE.height, SIZE.width), np.uint8)
    requests = [EngineRequest(model=model, precision="fp32") for model in (str(ir), "nano")]
    found, expected = (create_engine(request, SIZE).fuse(*planes).astype(int) for request in requests)
    assert np.abs(found - expected).max() <= 1


def test_it_says_what_runs(ir: Path) -> None:
    info = create_engine(EngineRequest(model=str(ir)), SIZE).info
    manifest = json.loads(ir.with_suffix(".xml.json").read_text())
    assert (info.backend, info.model, info.size) == ("openvino", "mine", SIZE)
    assert info.artifact_sha256 == manifest["artifact_sha256"]


@pytest.mark.parametrize("backend", ["torch", "tensorrt", "torch_cuda"])
def test_other_backends_refuse_it(ir: Path, backend: str) -> None:
    files = find_model(str(ir))
    demand = files.required_graph if backend == "tensorrt" else files.required_weights
    with pytest.raises(EngineError, match="is an OpenVINO IR, which only the openvino backend runs"):
        demand()


def test_another_size_is_refused(ir: Path) -> None:
    with pytest.raises(EngineError, match="was exported for images of 97x64 and cannot fuse 96x64"):
        create_engine(EngineRequest(model=str(ir), backend="openvino"), ImageSize(96, 64))


def test_a_precision_it_was_not_made_for_is_refused(ir: Path) -> None:
    with pytest.raises(EngineError, match=r"'int8' from mine\.xml; .*--precision int8"):
        create_engine(EngineRequest(model=str(ir), backend="openvino", precision="int8"), SIZE)


@pytest.mark.parametrize("suffix", [".bin", ".xml.json"])
def test_a_missing_part_is_named(ir: Path, suffix: str) -> None:
    ir.with_suffix(suffix).unlink()
    with pytest.raises(EngineError, match=f"is not complete without mine{suffix}"):
        create_engine(EngineRequest(model=str(ir), backend="openvino"), SIZE)


@pytest.mark.parametrize("suffix", [".xml", ".bin"])
def test_a_part_cut_short_or_of_another_model_is_refused(ir: Path, suffix: str) -> None:
    path = ir.with_suffix(suffix)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(EngineError, match=r"is not the one that mine\.xml\.json describes"):
        create_engine(EngineRequest(model=str(ir), backend="openvino"), SIZE)


def test_a_damaged_manifest_is_refused(ir: Path) -> None:
    ir.with_suffix(".xml.json").write_text("{")
    with pytest.raises(EngineError, match="cannot be trusted"):
        create_engine(EngineRequest(model=str(ir), backend="openvino"), SIZE)


def test_a_manifest_that_promises_another_precision_is_refused(ir: Path) -> None:
    path = ir.with_suffix(".xml.json")
    path.write_text(path.read_text().replace('"precision": "fp32"', '"precision": "int8"'))
    with pytest.raises(EngineError, match="its manifest says int8 but it is not quantised"):
        create_engine(EngineRequest(model=str(ir), backend="openvino"), SIZE)
