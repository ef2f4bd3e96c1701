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

"""Tiny detectors, which find what they are told to find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

Write = Callable[..., Path]


@pytest.fixture
def write_detector(tmp_path: Path) -> Write:
    """Writes an ONNX file whose outputs are given, plus `seen` times the mean of the input's first channel."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    def write(
        *outputs: np.ndarray,
        size: tuple[int | str, int | str] = (64, 64),
        channels: int = 3,
        seen: np.ndarray | None = None,
        names: str | None = None,
        inputs: Sequence[str] = ("images",),
        through_exp: bool = False,
        kind: str = "FLOAT",
        **metadata: str,
    ) -> Path:
        ends = [numpy_helper.from_array(np.array([end]), name) for end, name in ((0, "zero"), (1, "one"))]
        nodes = [
            helper.make_node("Slice", [inputs[0], "zero", "one", "one"], ["channel"]),
            helper.make_node("Cast", ["channel"], ["levels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["levels"], ["mean"], keepdims=0),
        ]
        constants = ends
        for index, output in enumerate(outputs):
            weights = np.zeros_like(output) if seen is None or index else seen
            constants += [
                numpy_helper.from_array(output.astype(np.float32), f"found{index}"),
                numpy_helper.from_array(weights.astype(np.float32), f"seen{index}"),
            ]
            nodes += [
                helper.make_node("Mul", [f"seen{index}", "mean"], [f"part{index}"]),
                helper.make_node("Add", [f"found{index}", f"part{index}"], [f"output{index}"]),
            ]
        if through_exp:  # as a YOLOX model has it that computes its boxes itself: here exp(0) - 1, which adds nothing
            nodes[-1].output[0] = "sum"
            nodes += [
                helper.make_node("Sub", ["mean", "mean"], ["nothing"]),
                helper.make_node("Exp", ["nothing"], ["unity"]),
                helper.make_node("Mul", ["sum", "unity"], ["output0"]),
            ]
        graph = helper.make_graph(
            nodes,
            "detector",
            [
                helper.make_tensor_value_info(name, getattr(TensorProto, kind), ["batch", channels, *size])
                for name in inputs
            ],
            [helper.make_tensor_value_info(f"output{index}", TensorProto.FLOAT, None) for index in range(len(outputs))],
            constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        model.ir_version = 8
        helper.set_model_props(model, {**metadata, **({"names": names} if names else {})})
        path = tmp_path / "detector.onnx"
        onnx.save(model, path)
        return path

    return write
