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

"""Which files stand behind a model name: the deployable graph (ONNX), the weights (safetensors), or an OpenVINO IR."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.resources import shared_path

SHIPPED_MODELS = ("base", "nano")
_GRAPH_SUFFIX = ".onnx"
_WEIGHTS_SUFFIX = ".safetensors"
_IR_SUFFIX = ".xml"


@dataclass(frozen=True)
class ModelFiles:
    """The files of one model: a graph, weights, or both; or an OpenVINO IR alone.

    Attributes:
        name: "base", "nano" or the stem of the user's own file.
        graph: deployable ONNX graph: what OpenVINO and TensorRT compile.
        weights: safetensors file: what the torch engines load.
        ir: the .xml of an exported OpenVINO IR, its .bin and its manifest (.xml.json) beside it: for OpenVINO only.
    """

    name: str
    graph: Path | None
    weights: Path | None
    ir: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file there is of it."""
        ir = (self.ir, self.ir.with_suffix(".bin")) if self.ir else ()
        return tuple(path for path in (self.graph, self.weights, *ir) if path is not None)

    def required_graph(self) -> Path:
        """The graph, for an engine that compiles it.

        Raises:
            EngineError: there are only weights, or only an IR.
        """
        self._refuse_ir()
        if self.graph is None:
            raise EngineError(
                f"The model '{self.name}' has no ONNX graph beside its weights; make one with"
                f" 'refinefuse export --model {self.weights} --format onnx'."
            )
        return self.graph

    def required_weights(self) -> Path:
        """The weights, for an engine of torch.

        Raises:
            EngineError: there is only a graph, or only an IR.
        """
        self._refuse_ir()
        if self.weights is None:
            raise EngineError(
                f"The model '{self.name}' has no safetensors weights beside {self.graph};"
                " use the tensorrt or openvino backend, or give the weights' path."
            )
        return self.weights

    def _refuse_ir(self) -> None:
        if self.ir is not None:
            raise EngineError(
                f"{self.ir} is an OpenVINO IR, which only the openvino backend runs;"
                " use that backend, or the model's .onnx or .safetensors file."
            )


def find_model(model: str) -> ModelFiles:
    """The files behind `--model`: "base", "nano", or a path to a .onnx or .safetensors file (its sibling is used too)
    or to the .xml of an exported OpenVINO IR (which stands alone).

    Raises:
        EngineError: there is no such shipped model, or no such file, or a file of another kind.
    """
    if model in SHIPPED_MODELS:
        stem = shared_path("models") / f"refinefuse_{model}"
    else:
        stem = Path(os.path.expanduser(model))  # unlike Path's own, it leaves what it cannot expand as it is
        if stem.suffix not in (_GRAPH_SUFFIX, _WEIGHTS_SUFFIX, _IR_SUFFIX):
            raise EngineError(
                f"'{model}' is not a model; use one of {', '.join(SHIPPED_MODELS)}"
                f" or the path of a {_GRAPH_SUFFIX}, {_WEIGHTS_SUFFIX} or {_IR_SUFFIX} file."
            )
        if not stem.is_file():
            raise EngineError(f"The model file {stem} does not exist; check the path.")
        if not os.access(stem, os.R_OK):
            raise EngineError(f"The model file {stem} may not be read; check its permissions.")
        if stem.suffix == _IR_SUFFIX:
            return ModelFiles(stem.stem, None, None, ir=stem)
        stem = stem.with_suffix("")
    graph, weights = (
        path if path.is_file() else None
        for path in (stem.with_name(stem.name + _GRAPH_SUFFIX), stem.with_name(stem.name + _WEIGHTS_SUFFIX))
    )
    if graph is None and weights is None:
        available = [name for name in SHIPPED_MODELS if (shared_path("models") / f"refinefuse_{name}.onnx").is_file()]
        raise EngineError(
            f"The model '{model}' is not shipped with this version; available: {', '.join(available) or 'none'}."
        )
    return ModelFiles(model if model in SHIPPED_MODELS else stem.name, graph, weights)
