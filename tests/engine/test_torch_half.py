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

"""The half network computes in fp16 and gives the fp32 picture; what a GPU engine cannot have is one sentence."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch.export import ExportedProgram, export

from refinefuse_ros.engine.artifacts import ModelFiles, find_model
from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.engine.torch_half import WideReductions, cuda_device, load_deployable
from refinefuse_ros.network.blocks import FIM

CPU = torch.device("cpu")


def test_half_is_close_to_full_precision() -> None:
    torch.manual_seed(0)
    planes = [
        torch.nn.functional.interpolate(torch.rand(1, 1, 8, 8) * 255, scale_factor=8, mode="bicubic")
        .clamp(0, 255)
        .to(torch.uint8)
        for _ in range(2)
    ]
    with torch.inference_mode():
        full, half = (
            load_deployable(find_model("nano"), precision, CPU)[0](*planes).int() for precision in ("fp32", "fp16")
        )
    assert (full - half).abs().max() <= 2


def test_half_weights_are_half() -> None:
    network, multiple = load_deployable(find_model("nano"), "fp16", CPU)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float16}
    assert multiple == 16


def exported(network: torch.nn.Module, *planes: torch.Tensor) -> ExportedProgram:
    with torch.inference_mode():
        return export(network, planes, strict=False)  # as torch_tensorrt does


def test_the_exported_program_reduces_maps_in_fp32_and_computes_the_rest_in_fp16() -> None:
    network = load_deployable(find_model("nano"), "fp16", CPU)[0].model.network
    psims = len(network.config.grids)
    plane = torch.rand(1, 1, 64, 96).half()
    operators: Counter[tuple[str, tuple[str, ...], str]] = Counter()
    for node in exported(WideReductions(network), plane, plane).graph.nodes:
        if node.op == "call_function" and isinstance(node.meta["val"], torch.Tensor):
            taken = [source.meta["val"] for source in node.all_input_nodes]
            kinds = (str(value.dtype) for value in taken if isinstance(value, torch.Tensor))
            operators[str(node.target), tuple(kinds), str(node.meta["val"].dtype)] += 1
    wide, half = "torch.float32", "torch.float16"
    assert {operator: count for operator, count in operators.items() if wide in operator[1] or operator[2] == wide} == {
        ("aten.to.dtype", (half,), wide): 2 + 2 * psims,
        ("aten.mean.dim", (wide,), wide): 2,
        ("aten.softmax.int", (wide,), wide): 2 * psims,
        ("aten.to.dtype", (wide,), half): 2 + 2 * psims,
    }
    assert {kind for _, kinds, given in operators for kind in (*kinds, given)} == {wide, half}


def test_wide_reductions_change_nothing_else() -> None:
    network = load_deployable(find_model("nano"), "fp16", CPU)[0].model.network
    planes = torch.rand(2, 1, 1, 64, 96).half()
    with torch.inference_mode():
        torch.testing.assert_close(WideReductions(network)(*planes), network(*planes), rtol=0, atol=2e-3)


@pytest.mark.parametrize("wide", [True, False])
def test_bright_maps_overflow_where_a_compiler_adds_in_fp16(wide: bool) -> None:
    """A mean as a compiler makes it: a sum in the tensor's own type, divided. torch's own adds in fp32."""
    shallow, deep = (torch.rand(1, 4, 160, 160) + offset for offset in (3.0, 2.5))  # sum up to 90 000 and 77 000
    half = FIM().half()
    program = exported(WideReductions(half) if wide else half, shallow.half(), deep.half())
    summed = program.run_decompositions(
        {
            torch.ops.aten.mean.dim: lambda maps, dim, keepdim=False: (
                torch.ops.aten.sum.dim_IntList(maps, dim, keepdim) / (160 * 160)
            )
        }
    )
    with torch.inference_mode():
        found = summed.module()(shallow.half(), deep.half()).float()
    difference = float((found - FIM()(shallow, deep)).abs().mean())
    assert difference < 0.01 if wide else difference > 0.1


def test_precisions_and_models_that_cannot_be_had_are_sentences() -> None:
    with pytest.raises(EngineError, match="cannot run precision 'bf16'; use auto, fp32, fp16"):
        load_deployable(find_model("nano"), "bf16", CPU)
    with pytest.raises(EngineError, match="no safetensors weights beside"):
        load_deployable(ModelFiles("mine", Path("mine.onnx"), None), "fp16", CPU)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_it_says_so() -> None:
    with pytest.raises(EngineError, match="sees no GPU"):
        cuda_device("auto")


@pytest.mark.parametrize(
    ("cuda", "advice"), [(None, "install a CUDA build of it"), ("13.0", "its CUDA 13.0 may need a newer driver")]
)
def test_a_torch_that_sees_no_gpu_says_what_it_needs(
    cuda: str | None, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    with pytest.raises(EngineError, match=advice):
        cuda_device("auto")
