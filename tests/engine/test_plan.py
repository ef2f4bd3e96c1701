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

"""Real TensorRT plans: TensorRT for RTX builds them for three GPU generations without a GPU."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from refinefuse_ros.engine import tensorrt_library
from refinefuse_ros.engine.artifacts import find_model
from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.engine.building import BuildStoppedError, BuildTicket
from refinefuse_ros.engine.cache import EngineCache
from refinefuse_ros.engine.cuda import has_gpu
from refinefuse_ros.engine.export import export_onnx
from refinefuse_ros.engine.graph import properties_of, to_half
from refinefuse_ros.engine.manifest import EngineKey
from refinefuse_ros.engine.plan import build_plan, plan_key
from refinefuse_ros.engine.tensorrt_library import TensorRtLibrary, find_library
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.network.variants import build

SIZE = ImageSize(640, 480)
GENERATIONS = {"Ampere": (8, 6), "Ada": (8, 9), "Blackwell": (12, 0)}


@pytest.fixture(scope="module")
def library() -> TensorRtLibrary:
    rtx = pytest.importorskip("tensorrt_rtx_bindings")
    return TensorRtLibrary("tensorrt_rtx", rtx)


@pytest.fixture(scope="module", params=["nano", "base"])
def graph(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped graph, or for a model that is not shipped yet, one of fresh weights: the types are the same."""
    try:
        shipped = find_model(request.param).graph
        assert shipped is not None
        return shipped
    except EngineError:
        torch.manual_seed(0)
        path = tmp_path_factory.mktemp("graph") / f"{request.param}.onnx"
        export_onnx(build(request.param).eval(), path, name=request.param)
        return path


@pytest.fixture
def nano(tmp_path: Path) -> Path:
    return Path(shutil.copy(find_model("nano").graph, tmp_path))


@pytest.mark.parametrize("capability", GENERATIONS.values(), ids=list(GENERATIONS))
def test_plans_for_three_generations_are_built_in_fp16(
    library: TensorRtLibrary, graph: Path, capability: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    precision_of = TensorRtLibrary.precision_of

    def spy(self: TensorRtLibrary, network: object) -> str:
        seen.append(precision_of(self, network))
        return seen[-1]

    monkeypatch.setattr(TensorRtLibrary, "precision_of", spy)
    key = plan_key(library, "a model", graph, SIZE, "auto", "a GPU", capability)
    built = build_plan(library, graph, key)
    assert seen == ["fp16"]  # by the tensors of the strongly typed network
    assert len(built.content) > graph.stat().st_size / 2  # the weights in half precision, and the code
    assert built.manifest.key == key
    assert (key.precision, key.gpu, key.backend) == ("fp16", "any", "tensorrt_rtx")
    assert built.manifest.artifact_sha256 == hashlib.sha256(built.content).hexdigest()
    assert built.manifest.size_multiple == {"nano": 16, "base": 8}[graph.stem.removeprefix("refinefuse_")]
    assert built.manifest.weights_sha256 == properties_of(graph.read_bytes()).weights_sha256


def test_fp32_is_built_when_asked_for_and_weighs_more(library: TensorRtLibrary, nano: Path) -> None:
    sizes = {}
    for precision in ("fp16", "fp32"):
        key = plan_key(library, "nano", nano, ImageSize(64, 64), precision, "", (8, 6))
        sizes[precision] = len(build_plan(library, nano, key).content)
    assert sizes["fp32"] > sizes["fp16"] + 400_000


def test_running_a_plan_can_be_recorded_into_a_cuda_graph(
    library: TensorRtLibrary, nano: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs: list[Any] = []
    monkeypatch.setattr(TensorRtLibrary, "_set_target", lambda self, config, capability: configs.append(config))
    library.build(nano.read_bytes(), (64, 64), "fp32", (8, 6))
    assert configs[0].get_flag(library.api.BuilderFlag.REQUIRE_USER_ALLOCATION)
    assert not configs[0].get_flag(library.api.BuilderFlag.TF32)


@pytest.mark.usefixtures("library")
def test_a_process_that_ends_while_a_plan_is_built_ends_well(nano: Path) -> None:
    code = f"""
import threading, tensorrt_rtx_bindings
from pathlib import Path
from refinefuse_ros.engine import tensorrt_library
from refinefuse_ros.engine.background import BackgroundBuild
from refinefuse_ros.engine.building import BuildTicket

building = threading.Event()
library = tensorrt_library.TensorRtLibrary("tensorrt_rtx", tensorrt_rtx_bindings)
fix_shape = tensorrt_library.TensorRtLibrary._fix_shape
tensorrt_library.TensorRtLibrary._fix_shape = lambda *arguments: (fix_shape(*arguments), building.set())
graph = Path({str(nano)!r}).read_bytes()
ticket = BuildTicket()
BackgroundBuild("tensorrt", ticket, lambda: library.build(graph, (480, 640), "fp32", (8, 6), ticket))
assert building.wait(60)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.usefixtures("library")
def test_ctrl_c_stops_a_build(nano: Path) -> None:
    code = f"""
import os, signal, tensorrt_rtx_bindings
from pathlib import Path
from refinefuse_ros.engine import tensorrt_library

library = tensorrt_library.TensorRtLibrary("tensorrt_rtx", tensorrt_rtx_bindings)
fix_shape = tensorrt_library.TensorRtLibrary._fix_shape
def press_ctrl_c(*arguments):
    fix_shape(*arguments)
    os.kill(os.getpid(), signal.SIGINT)
tensorrt_library.TensorRtLibrary._fix_shape = press_ctrl_c
try:
    library.build(Path({str(nano)!r}).read_bytes(), (480, 640), "fp32", (8, 6))
except KeyboardInterrupt:
    print("stopped")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "stopped\n", "")


def test_a_build_that_nobody_wants_is_stopped_in_its_midst(library: TensorRtLibrary, nano: Path) -> None:
    class Ticket(BuildTicket):
        def enter(self, phase: str) -> None:
            super().enter(phase)
            if phase == "Optimizing graph":
                self.stop()

    ticket = Ticket()
    key = plan_key(library, "nano", nano, SIZE, "fp16", "", (8, 6))
    with pytest.raises(BuildStoppedError):
        build_plan(library, nano, key, ticket)
    assert ticket.progress.phase == "Optimizing graph"  # and no later one


def test_of_five_sizes_in_a_row_one_is_built_at_a_time_and_the_last_to_its_end(
    library: TensorRtLibrary, nano: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, building, most_at_once = threading.Event(), [], [0]
    build = TensorRtLibrary._build

    def counted(self: TensorRtLibrary, *arguments: Any) -> Any:
        building.append(arguments)
        most_at_once.append(len(building))
        began.set()
        try:
            return build(self, *arguments)
        finally:
            building.remove(arguments)

    def obtain(key: EngineKey, ticket: BuildTicket) -> None:
        with suppress(BuildStoppedError):
            cache.obtain(key, lambda: build_plan(library, nano, key, ticket), ticket=ticket)

    monkeypatch.setattr(TensorRtLibrary, "_build", counted)
    cache = EngineCache(tmp_path / "cache")
    tickets, threads = [], []
    for width in (640, 648, 656, 664, 672):
        if tickets:
            assert began.wait(60)
            began.clear()
            tickets[-1].stop()  # nobody waits for it to end
        key = plan_key(library, "nano", nano, ImageSize(width, 480), "fp16", "", (8, 6))
        tickets.append(BuildTicket())
        threads.append(threading.Thread(target=obtain, args=(key, tickets[-1])))
        threads[-1].start()
    for thread in threads:
        thread.join(60)
    assert max(most_at_once) == 1
    assert [ticket.progress.state for ticket in tickets] == ["stopped"] * 4 + ["built"]
    assert [path.name.split("-")[1] for path in (tmp_path / "cache").glob("*.engine")] == ["672x480"]


def test_odd_sizes_are_padded(library: TensorRtLibrary, nano: Path) -> None:
    key = plan_key(library, "nano", nano, ImageSize(161, 121), "fp16", "", (8, 6))
    assert build_plan(library, nano, key).manifest.key.size == "161x121"


def test_another_precision_than_asked_for_is_an_error(library: TensorRtLibrary, nano: Path) -> None:
    with pytest.raises(EngineError, match="made the network fp32 although fp16 was asked for"):
        library.build(nano.read_bytes(), (64, 64), "fp16", (8, 6))


def test_gpus_that_the_library_does_not_know_are_refused(library: TensorRtLibrary, nano: Path) -> None:
    with pytest.raises(EngineError, match=r"builds for .*SM86.*, not for a GPU of SM90, .*; install tensorrt"):
        library.build(nano.read_bytes(), (64, 64), "fp32", (9, 0))


def test_precisions_that_there_are_no_plans_of_are_refused(library: TensorRtLibrary, nano: Path) -> None:
    with pytest.raises(EngineError, match=r"cannot run precision 'bf16' from \S+; use auto, fp16, fp32"):
        plan_key(library, "nano", nano, SIZE, "bf16", "", (8, 6))
    with pytest.raises(EngineError, match=r"'int8' from \S+; .* 'refinefuse export --format onnx --precision int8'"):
        plan_key(library, "nano", nano, SIZE, "int8", "", (8, 6))


def test_an_fp16_graph_makes_no_fp32_plan(library: TensorRtLibrary, nano: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.onnx"
    half.write_bytes(to_half(nano.read_bytes()))
    key = plan_key(library, "half", half, SIZE, "fp32", "", (8, 6))
    with pytest.raises(EngineError, match=r"cannot run precision 'fp32' from half\.onnx; use auto, fp16\."):
        build_plan(library, half, key)


def test_a_quantised_graph_becomes_an_int8_plan(library: TensorRtLibrary, nano: Path, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    from refinefuse_ros.engine import quantize

    planes = np.random.default_rng(0).integers(0, 256, (2, 2, 64, 64), np.uint8)
    graph = tmp_path / "int8.onnx"
    graph.write_bytes(quantize.quantize_onnx(nano.read_bytes(), [tuple(pair) for pair in planes]))
    key = plan_key(library, "int8", graph, ImageSize(64, 64), "auto", "", (8, 9))
    assert key.precision == "int8"
    assert build_plan(library, graph, key).content  # refused unless the typed network is int8
    with pytest.raises(EngineError, match=r"cannot run precision 'fp16' from int8\.onnx; use auto, int8"):
        plan_key(library, "int8", graph, SIZE, "fp16", "", (8, 9))


def test_damaged_and_foreign_graphs_are_refused(library: TensorRtLibrary, nano: Path) -> None:
    content = nano.read_bytes()
    with pytest.raises(EngineError, match="cannot read the graph"):
        library.build(content[: len(content) // 2], (64, 64), "fp32", (8, 6))
    model = onnx.load_from_string(content)
    for node in model.graph.node:
        node.input[:] = ["left" if name == "thermal" else name for name in node.input]
    model.graph.input[0].name = "left"
    with pytest.raises(EngineError, match="not the uint8 planes thermal, visible and fused"):
        library.build(model.SerializeToString(), (64, 64), "fp32", (8, 6))


def test_a_static_graph_of_another_size_is_refused(library: TensorRtLibrary, tmp_path: Path) -> None:
    path = tmp_path / "static.onnx"
    export_onnx(build("nano").eval(), path, ImageSize(64, 64))
    assert library.build(path.read_bytes(), (64, 64), "fp32", (8, 6))
    with pytest.raises(EngineError, match="export the graph without --size"):
        library.build(path.read_bytes(), (128, 64), "fp32", (8, 6))


@pytest.mark.skipif(has_gpu(), reason="with a GPU plans can be loaded")
def test_loading_without_a_driver_is_one_sentence(library: TensorRtLibrary) -> None:
    with pytest.raises(EngineError, match="cannot load the plan") as caught:
        library.load(b"not a plan", (64, 64), "fp16")
    assert "\n" not in str(caught.value)


def test_without_either_library_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_library, "find_spec", lambda module: None)
    with pytest.raises(EngineError, match="Neither TensorRT nor TensorRT for RTX is installed; install one"):
        find_library()


def test_a_library_that_does_not_load_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(module: str) -> None:
        raise OSError("libnvinfer.so.10: cannot open shared object file")

    monkeypatch.setattr(tensorrt_library, "find_spec", lambda module: object())
    monkeypatch.setattr(tensorrt_library, "import_module", fail)
    with pytest.raises(EngineError, match=r"TensorRT does not load \(libnvinfer.* and TensorRT for RTX does not load"):
        find_library()


def test_a_library_that_is_too_old_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {"tensorrt": SimpleNamespace(__version__="8.6.2.3"), "tensorrt_rtx_bindings": None}
    monkeypatch.setattr(tensorrt_library, "find_spec", modules.get)
    monkeypatch.setattr(tensorrt_library, "import_module", modules.get)
    with pytest.raises(EngineError, match=r"^TensorRT 8\.6\.2\.3 is older than 10; install one as"):
        find_library()
