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

"""What a plan is held against when it is loaded: a stand-in library, since loading a real plan needs a driver."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.engine.tensorrt_library import PlanRefusedError, TensorRtLibrary, convolution_types

SHAPE = (48, 56)


def inspected(*types: str) -> str:
    """As the inspector of TensorRT 10 tells of convolutions, a fused layer and one that only has a name."""
    convolutions = [
        {"Name": f"conv{index}", "LayerType": "CaskConvolution", "Inputs": [{"Format/Datatype": told}]}
        for index, told in enumerate(types)
    ]
    return json.dumps({"Layers": [*convolutions, {"Name": "myl", "LayerType": "kgen", "Inputs": []}, "a name"]})


class Engine:
    """A deserialised plan."""

    num_io_tensors = 3

    def __init__(self, told: str, shape: tuple[int, int] = SHAPE) -> None:
        self.told, self.shape = told, shape

    def get_tensor_name(self, index: int) -> str:
        return ("thermal", "visible", "fused")[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (1, 1, *self.shape)

    def get_tensor_dtype(self, name: str) -> str:
        return "uint8"

    def create_engine_inspector(self) -> SimpleNamespace:
        return SimpleNamespace(get_engine_information=lambda form: self.told)


def library(engine: Any) -> TensorRtLibrary:
    class Logger:
        Severity = SimpleNamespace(ERROR=1, INTERNAL_ERROR=0)

        def __init__(self) -> None: ...

    def deserialize(plan: bytes) -> Any:
        if isinstance(engine, Exception):
            raise engine
        return engine

    api = SimpleNamespace(
        __version__="10.3.0",
        ILogger=Logger,
        Runtime=lambda log: SimpleNamespace(deserialize_cuda_engine=deserialize),
        DataType=SimpleNamespace(UINT8="uint8"),
        LayerInformationFormat=SimpleNamespace(JSON="json"),
    )
    return TensorRtLibrary("tensorrt", api)


@pytest.mark.parametrize(
    ("told", "precision"),
    [
        (inspected("Half", "Channel major FP16 format where channel % 8 == 0"), "fp16"),
        (inspected("Int8 NHWC", "Half"), "int8"),
        (inspected("Float"), "fp32"),
        ("", "fp16"),
    ],
)
def test_a_plan_of_its_precision_is_loaded(told: str, precision: str) -> None:
    engine = Engine(told)
    assert library(engine).load(b"plan", SHAPE, precision) is engine


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_plan_that_computes_in_fp32_is_no_fp16_plan(precision: str) -> None:
    with pytest.raises(EngineError, match=rf"runs 1 convolution\(s\) of the plan in fp32 \(conv1\) .* {precision}"):
        library(Engine(inspected("Half", "Row major linear FP32"))).load(b"plan", SHAPE, precision)


def test_a_plan_with_other_planes_is_refused() -> None:
    with pytest.raises(PlanRefusedError, match="not uint8 planes of 56x48; build it again"):
        library(Engine(inspected("Half"), shape=(480, 640))).load(b"plan", SHAPE, "fp16")


@pytest.mark.parametrize("engine", [None, TypeError("pybind11::init(): factory function returned nullptr")])
def test_a_plan_that_is_not_taken_is_refused_in_one_sentence(engine: Any) -> None:
    with pytest.raises(PlanRefusedError, match=r"TensorRT 10\.3\.0 cannot load the plan: ") as caught:
        library(engine).load(b"plan", SHAPE, "fp16")
    assert "\n" not in str(caught.value)


def test_layers_that_are_no_convolutions_and_unknown_types_are_left_out() -> None:
    assert convolution_types(inspected("BF16", "N/A", "Int8", "BFloat16")) == [("conv2", "int8"), ("conv3", "bf16")]
    assert convolution_types("no JSON") == convolution_types("[]") == []
