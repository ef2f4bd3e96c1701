# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Which files stand behind a model name: the deployable graph (ONNX) and the weights (safetensors)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.resources import shared_path

SHIPPED_MODELS = ("base", "nano")
_GRAPH_SUFFIX = ".onnx"
_WEIGHTS_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class ModelFiles:
    """The files of one model; either may be missing, never both.

    Attributes:
        name: "base", "nano" or the stem of the user's own file.
        graph: deployable ONNX graph: what OpenVINO and TensorRT compile.
        weights: safetensors file: what the torch engines load.
    """

    name: str
    graph: Path | None
    weights: Path | None

    def required_graph(self) -> Path:
        """The graph, for an engine that compiles it.

        Raises:
            EngineError: there are only weights.
        """
        if self.graph is None:
            raise EngineError(
                f"The model '{self.name}' has no ONNX graph beside its weights; make one with"
                f" 'refinefuse export --model {self.weights} --format onnx'."
            )
        return self.graph


def find_model(model: str) -> ModelFiles:
    """The files behind `--model`: "base", "nano", or a path to a .onnx or .safetensors file (its sibling is used too).

    Raises:
        EngineError: there is no such shipped model, or no such file, or a file of another kind.
    """
    if model in SHIPPED_MODELS:
        stem = shared_path("models") / f"refinefuse_{model}"
    else:
        stem = Path(model).expanduser()
        if stem.suffix not in (_GRAPH_SUFFIX, _WEIGHTS_SUFFIX):
            raise EngineError(
                f"'{model}' is not a model; use one of {', '.join(SHIPPED_MODELS)}"
                f" or the path of a {_GRAPH_SUFFIX} or {_WEIGHTS_SUFFIX} file."
            )
        if not stem.is_file():
            raise EngineError(f"The model file {stem} does not exist; check the path.")
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
