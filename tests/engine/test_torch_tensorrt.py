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

"""What is asked of torch_tensorrt, and what is kept of it: held with a stand-in, since the library needs a driver."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from refinefuse_ros.engine.artifacts import find_model
from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.engine.cache import EngineCache, EngineNotBuiltError
from refinefuse_ros.engine.torch_half import WideReductions
from refinefuse_ros.image.frame import ImageSize

NAME = "refinefuse_ros.engine.torch_tensorrt"
SIZE = ImageSize(50, 41)


class Compiler(ModuleType):
    """The two functions of torch_tensorrt that building calls."""

    def __init__(self) -> None:
        super().__init__("torch_tensorrt")
        self.__version__ = "2.13.0"
        self.tensorrt = "TensorRT 11.0"
        self.asked: list[tuple[torch.nn.Module, dict[str, Any]]] = []
        self.problem = ""

    def compile(self, network: torch.nn.Module, **options: Any) -> str:
        self.asked.append((network, options))
        if self.problem:
            raise ValueError(self.problem)
        return "compiled"

    def save(self, compiled: str, path: str, arg_inputs: list[torch.Tensor]) -> None:
        Path(path).write_bytes(compiled.encode())


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    compiler = Compiler()
    monkeypatch.setitem(sys.modules, "torch_tensorrt", compiler)
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    module = importlib.import_module(NAME)
    monkeypatch.setattr(module, "cuda_device", lambda device: torch.device("cpu"))
    monkeypatch.setattr(module, "find_library", lambda: SimpleNamespace(title=compiler.tensorrt))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Stand-in GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
    yield compiler
    sys.modules.pop(NAME, None)


def obtain(cache: EngineCache, may_build: bool = True) -> Any:
    return sys.modules[NAME].obtain_program(find_model("nano"), SIZE, "auto", "auto", cache, may_build)


def test_the_half_network_is_compiled_completely_and_statically(compiler: Compiler, tmp_path: Path) -> None:
    built = obtain(EngineCache(tmp_path / "cache"))
    ((network, options),) = compiler.asked
    planes = options.pop("arg_inputs")
    assert [(tuple(plane.shape), plane.dtype) for plane in planes] == [((1, 1, 48, 64), torch.float16)] * 2
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float16}
    assert isinstance(network, WideReductions)
    assert options == {
        "ir": "dynamo",
        "require_full_compilation": True,
        "min_block_size": 1,
        "disable_tf32": True,
        "device": torch.device("cpu"),  # the stand-in's
    }
    key = built.manifest.key
    assert built.content == b"compiled"
    assert (key.precision, key.gpu, key.compute_capability, key.size) == ("fp16", "Stand-in GPU", "8.6", "50x41")


def test_the_second_time_it_comes_from_the_cache(compiler: Compiler, tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "cache")
    with pytest.raises(EngineNotBuiltError):
        obtain(cache, may_build=False)
    obtain(cache)
    assert obtain(cache, may_build=False).content == b"compiled"
    compiler.__version__ = "2.14.0"
    assert "backend_version is 2.13.0" in obtain(cache).note
    compiler.tensorrt = "TensorRT 11.1"
    assert "and not 2.14.0, TensorRT 11.1, torch" in obtain(cache).note
    assert len(compiler.asked) == 3


def test_a_compiler_that_fails_is_an_engine_error(compiler: Compiler, tmp_path: Path) -> None:
    compiler.problem = "No converter for aten.nothing\nand a long trace"
    with pytest.raises(EngineError, match=r"cannot compile nano: No converter for aten\.nothing$"):
        obtain(EngineCache(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("version", "asked"), [("2.8.0", True), ("2.9.1", True), ("2.10.0", False), ("2.14.0a0", False)]
)
def test_old_versions_are_told_to_keep_the_types(compiler: Compiler, version: str, asked: bool) -> None:
    options = sys.modules[NAME].explicit_typing(version)
    assert options == ({"use_explicit_typing": True} if asked else {})


def test_a_program_that_does_not_load_is_forgotten_and_left_to_the_next_backend(
    compiler: Compiler, tmp_path: Path
) -> None:
    cache = EngineCache(tmp_path / "cache")
    engine = object.__new__(sys.modules[NAME].TorchTensorRtEngine)  # a whole one needs a GPU
    engine._built, engine._cache = obtain(cache), cache

    def fail(path: str) -> None:
        raise ValueError("not a valid ExportedProgram")

    compiler.load = fail
    with pytest.raises(EngineError, match=r"cannot load its program \(not a valid ExportedProgram\); the next start"):
        engine._load()
    with pytest.raises(EngineNotBuiltError):
        obtain(cache, may_build=False)
