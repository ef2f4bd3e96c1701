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

"""The choice of a backend: why it was made, what is said when nothing fits, and what takes over when one breaks."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from refinefuse_ros.engine import factory as factory_module
from refinefuse_ros.engine.artifacts import ModelFiles, find_model
from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.engine.building import BuildStoppedError
from refinefuse_ros.engine.cuda import has_gpu
from refinefuse_ros.engine.factory import EngineRequest, automatic_backends, create_engine
from refinefuse_ros.engine.host import EngineHost
from refinefuse_ros.engine.openvino import OpenVinoEngine
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.resources import sha256_of

pytest.importorskip("torch", reason="the extra export is not installed")

pytestmark = pytest.mark.instructions

SIZE = ImageSize(50, 41)


def planes(size: ImageSize = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """A smooth scene with a warm blob in the thermal plane, so that rounding differences stay small."""
    y, x = np.mgrid[: size.height, : size.width].astype(np.float32)
    visible = 90 + 60 * np.sin(x / 9) * np.cos(y / 7)
    thermal = 60 + 180 * np.exp(-((x - size.width / 2) ** 2 + (y - size.height / 2) ** 2) / 60)
    return thermal.astype(np.uint8), visible.astype(np.uint8)


def test_auto_takes_the_compiled_graph_and_says_so() -> None:
    engine = create_engine(EngineRequest(), SIZE)
    assert (engine.info.backend, engine.info.model, engine.info.size) == ("openvino", "nano", SIZE)
    assert engine.info.reason == "first usable backend"
    assert engine.info.artifact_sha256 == sha256_of(find_model("nano").graph)


def test_every_backend_gives_the_same_picture() -> None:
    reference = create_engine(EngineRequest(backend="torch"), SIZE)
    compiled = create_engine(EngineRequest(backend="openvino", precision="fp32"), SIZE)
    fused = [engine.fuse(*planes()).astype(int) for engine in (reference, compiled)]
    assert np.abs(fused[0] - fused[1]).max() <= 1
    assert (reference.info.precision, compiled.info.precision) == ("fp32", "fp32")


def test_reduced_precision_stays_close() -> None:
    exact = create_engine(EngineRequest(precision="fp32"), SIZE).fuse(*planes()).astype(int)
    fast = create_engine(EngineRequest(), SIZE).fuse(*planes()).astype(int)
    assert np.abs(exact - fast).mean() < 1.0


def test_the_running_node_does_not_import_torch() -> None:
    code = (
        "import sys; from refinefuse_ros.engine.factory import *; from refinefuse_ros.image.frame import ImageSize;"
        "import refinefuse_ros.pipeline; "
        "create_engine(EngineRequest(), ImageSize(64, 64)); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_gpu_backends_come_first_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factory_module, "has_gpu", lambda: True)
    assert automatic_backends() == ["tensorrt", "torch_cuda", "openvino", "torch"]
    monkeypatch.setattr(factory_module, "has_gpu", lambda: False)
    assert automatic_backends() == ["openvino", "torch"]


def test_a_gpu_whose_backends_do_not_work_is_passed_over_with_the_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise EngineError("The driver is too old.")

    monkeypatch.setattr(factory_module, "has_gpu", lambda: True)
    monkeypatch.setattr(factory_module, "load_driver", refuse)
    engine = create_engine(EngineRequest(), SIZE)
    assert engine.info.backend == "openvino"
    assert engine.info.reason == (
        "first usable backend; passed over tensorrt: The driver is too old; torch_cuda: The driver is too old"
    )


@pytest.mark.parametrize(
    "error", [ImportError("No module named 'safetensors'"), OSError("libcudnn.so.9:\ncannot open shared object file")]
)
def test_a_backend_that_does_not_load_is_passed_over(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(module: str) -> ModuleType:
        if module.endswith(".torch_cuda"):
            raise error
        return import_module(module)

    monkeypatch.setattr(factory_module, "has_gpu", lambda: True)
    monkeypatch.setattr(factory_module, "load_driver", lambda: None)
    monkeypatch.setattr(factory_module, "import_module", load)
    engine = create_engine(EngineRequest(), SIZE, exclude=["tensorrt"])
    assert engine.info.backend == "openvino"
    reason = " ".join(str(error).split())
    assert f"torch_cuda: The backend torch_cuda does not load ({reason}); install what is" in engine.info.reason


class WrongEngine(OpenVinoEngine):
    """An engine that computes wrongly in the precisions of `wrong`."""

    wrong: tuple[str, ...] = ()

    @classmethod
    def automatic_precisions(cls, files: ModelFiles, device: str) -> tuple[str, ...]:
        return ("bf16", "fp32")

    def __init__(
        self, files: ModelFiles, size: ImageSize, precision: str, *arguments: object, **options: object
    ) -> None:
        super().__init__(files, size, "fp32")
        self.info = replace(self.info, precision=precision)

    def _run(self, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
        fused = super()._run(thermal, visible)
        return 255 - fused if self.info.precision in self.wrong else fused


@pytest.mark.parametrize(("backend", "reason"), [("auto", "first usable backend"), ("openvino", "asked for")])
def test_a_wrong_precision_is_followed_by_the_next(backend: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refinefuse_ros.engine.openvino.OpenVinoEngine", WrongEngine)
    monkeypatch.setattr(WrongEngine, "wrong", ("bf16",))
    closed = []
    monkeypatch.setattr(WrongEngine, "close", lambda engine: closed.append(engine.info.precision))
    info = create_engine(EngineRequest(backend=backend), SIZE).info
    assert (info.backend, info.precision, closed) == ("openvino", "fp32", ["bf16"])
    assert info.proof_mean_difference < 0.01
    assert info.reason.startswith(f"{reason}; passed over openvino in bf16: openvino in bf16 on ")
    assert "computes nano wrongly: its picture of the built-in scene is" in info.reason
    with pytest.raises(EngineError, match=r"computes nano wrongly: .* use another precision or backend"):
        create_engine(EngineRequest(backend=backend, precision="bf16"), SIZE)


def test_a_wrong_backend_is_followed_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refinefuse_ros.engine.openvino.OpenVinoEngine", WrongEngine)
    monkeypatch.setattr(WrongEngine, "wrong", ("bf16", "fp32"))
    info = create_engine(EngineRequest(), SIZE).info
    assert (info.backend, info.proof_mean_difference) == ("torch", pytest.approx(0, abs=0.01))
    for precision in ("bf16", "fp32"):
        assert f"{precision}: openvino in {precision} on" in info.reason
    with pytest.raises(EngineError, match=r"openvino runs nano in no precision: bf16: .* wrongly.*; fp32: .* wrongly"):
        create_engine(EngineRequest(backend="openvino"), SIZE)


@pytest.mark.parametrize("when", ["loads", "starts", "runs", "chooses"])
def test_whatever_a_library_raises_passes_auto_over_it(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error = AttributeError("module 'tensorrt' has no attribute 'NetworkDefinitionCreationFlag'")

    def fail(*arguments: object, **options: object) -> None:
        raise error

    if when == "loads":
        load = import_module
        monkeypatch.setattr(factory_module, "import_module", lambda name: fail() if "openvino" in name else load(name))
    else:
        method = {"starts": "__init__", "runs": "_run", "chooses": "automatic_precisions"}[when]
        monkeypatch.setattr(OpenVinoEngine, method, fail)
    info = create_engine(EngineRequest(), SIZE).info
    assert info.backend == "torch"
    how = "does not load" if when == "loads" else "does not start"
    assert f"passed over openvino: The backend openvino {how} (AttributeError: module 'tensorrt' has no" in info.reason
    with pytest.raises(EngineError, match=rf"The backend openvino {how} \(AttributeError"):
        create_engine(EngineRequest(backend="openvino"), SIZE)


def test_an_error_that_says_nothing_is_named_by_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(OpenVinoEngine, "__init__", fail)
    with pytest.raises(EngineError, match=r"The backend openvino does not start \(MemoryError\); install"):
        create_engine(EngineRequest(backend="openvino"), SIZE)


@pytest.mark.skipif(has_gpu(), reason="a GPU is here")
@pytest.mark.parametrize("backend", ["tensorrt", "torch_tensorrt", "torch_cuda"])
def test_gpu_backends_say_that_the_driver_is_missing(backend: str) -> None:
    with pytest.raises(EngineError, match="There is no NVIDIA driver on this machine"):
        create_engine(EngineRequest(backend=backend), SIZE)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (EngineRequest(backend="cuda"), "There is no backend 'cuda'"),
        (EngineRequest(model="giant"), "'giant' is not a model"),
        (EngineRequest(model="missing.onnx"), "The model file missing.onnx does not exist"),
        (EngineRequest(model="~nobody known/m.onnx"), "The model file ~nobody known/m.onnx does not exist"),
        (EngineRequest(backend="openvino", precision="int3"), "cannot run precision 'int3'"),
        (EngineRequest(backend="openvino", device="NPU9"), "cannot build"),
        (EngineRequest(backend="torch", precision="fp16"), "runs fp32, not 'fp16'"),
    ],
)
def test_what_cannot_be_had_is_said_in_one_sentence(request_: EngineRequest, sentence: str) -> None:
    with pytest.raises(EngineError, match=sentence) as caught:
        create_engine(request_, SIZE)
    assert "\n" not in str(caught.value)


def test_an_engine_that_does_not_warm_up_gives_back_what_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    def fail(engine: OpenVinoEngine, frames: int = 3) -> None:
        raise EngineError("There is not enough memory.")

    monkeypatch.setattr(OpenVinoEngine, "warm_up", fail)
    monkeypatch.setattr(OpenVinoEngine, "close", lambda engine: closed.append(engine))
    with pytest.raises(EngineError, match="not enough memory"):
        create_engine(EngineRequest(backend="openvino", precision="fp32"), SIZE)
    assert len(closed) == 1


def test_images_too_small_for_the_network_are_refused() -> None:
    with pytest.raises(EngineError, match="31x40 are too small"):
        create_engine(EngineRequest(), ImageSize(31, 40))


def copy_model(folder: Path) -> Path:
    """Both files of nano under another name; the path of its graph."""
    files = find_model("nano")
    for file in (files.graph, files.weights):
        shutil.copy(file, folder / f"mine{file.suffix}")
    return folder / "mine.onnx"


def test_a_model_of_ones_own_is_found_by_either_file(tmp_path: Path) -> None:
    graph = copy_model(tmp_path)
    assert find_model(str(graph)) == find_model(str(graph.with_suffix(".safetensors")))
    assert create_engine(EngineRequest(model=str(graph)), SIZE).info.model == "mine"


def test_a_damaged_graph_is_passed_over_with_the_reason(tmp_path: Path) -> None:
    graph = copy_model(tmp_path)
    graph.write_bytes(graph.read_bytes()[:2000])
    engine = create_engine(EngineRequest(model=str(graph)), SIZE)
    assert engine.info.backend == "torch"
    assert "is not a readable ONNX file" in engine.info.reason


def test_a_model_with_nothing_usable_says_what_each_backend_lacks(tmp_path: Path) -> None:
    graph = copy_model(tmp_path)
    graph.write_bytes(b"")
    graph.with_suffix(".safetensors").unlink()
    with pytest.raises(EngineError, match=r"openvino: .* torch: "):
        create_engine(EngineRequest(model=str(graph)), SIZE)


def test_a_graph_with_other_inputs_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(find_model("nano").graph)
    graph.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    path = tmp_path / "floats.onnx"
    path.write_bytes(graph.SerializeToString())
    with pytest.raises(EngineError):
        create_engine(EngineRequest(model=str(path), backend="openvino"), SIZE)


@pytest.mark.parametrize("multiple", [None, "0", "-8", "eight"])
def test_a_graph_that_does_not_say_its_size_multiple_is_passed_over(multiple: str | None, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    path = copy_model(tmp_path)
    graph = onnx.load(path)
    onnx.helper.set_model_props(graph, {} if multiple is None else {"size_multiple": multiple})
    path.write_bytes(graph.SerializeToString())
    engine = create_engine(EngineRequest(model=str(path)), SIZE)
    assert engine.info.backend == "torch"
    assert "does not say its size_multiple; export it with 'refinefuse export'" in engine.info.reason


def test_a_file_that_may_not_be_read_is_said_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = copy_model(tmp_path)
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may read everything
    with pytest.raises(EngineError, match=r"mine\.onnx may not be read; check its permissions\.$"):
        create_engine(EngineRequest(model=str(graph)), SIZE)


def test_a_file_that_fails_while_it_is_read_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> str:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr("refinefuse_ros.engine.openvino.sha256_of", fail)
    engine = create_engine(EngineRequest(), SIZE)
    assert engine.info.backend == "torch"
    assert "openvino: The backend openvino cannot read the model ([Errno 5]" in engine.info.reason


def test_a_backend_whose_build_was_stopped_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*arguments: object, **options: object) -> None:
        raise BuildStoppedError

    monkeypatch.setattr("refinefuse_ros.engine.openvino.OpenVinoEngine.__init__", stopped)
    with pytest.raises(BuildStoppedError):
        create_engine(EngineRequest(), SIZE)


def test_the_host_builds_for_the_size_that_comes() -> None:
    host = EngineHost(EngineRequest(), SIZE)
    other = ImageSize(64, 35)
    assert host.fuse(*planes(other)).shape == (35, 64)
    assert host.info.size == other


def test_the_host_falls_back_after_enough_failures_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    host = EngineHost(EngineRequest(), SIZE, max_failures=3)

    def fail(*planes: np.ndarray) -> np.ndarray:
        raise EngineError("The device fell off the bus.")

    monkeypatch.setattr(host._engine, "_run", fail)
    for failures in (1, 2):
        with pytest.raises(EngineError, match=r"bus\.$"):
            host.fuse(*planes())
        assert host.failures_in_a_row == failures
    with pytest.raises(EngineError, match="After 3 failures in a row of openvino, torch takes over"):
        host.fuse(*planes())
    assert host.fuse(*planes()).shape == (SIZE.height, SIZE.width)
    assert (host.info.backend, host.fell_back_from, host.failures_in_a_row) == ("torch", "openvino", 0)


def test_the_last_resort_is_classical_fusion(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    graph = copy_model(tmp_path)
    graph.with_suffix(".safetensors").unlink()
    host = EngineHost(EngineRequest(model=str(graph)), SIZE, max_failures=1)

    def fail(*planes: np.ndarray) -> np.ndarray:
        raise EngineError("The device is busy.")

    monkeypatch.setattr(host._engine, "_run", fail)
    with pytest.raises(EngineError, match="After 1 failures in a row of openvino, laplacian takes over"):
        host.fuse(*planes())
    assert host.fuse(*planes()).shape == (SIZE.height, SIZE.width)
    assert (host.info.backend, host.fell_back_from) == ("laplacian", "openvino")
    monkeypatch.setattr(host._engine, "_run", fail)
    with pytest.raises(EngineError, match="nothing left to fall back to"):
        host.fuse(*planes())
    assert host.info.backend == "laplacian"
