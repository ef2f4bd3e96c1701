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

"""From a trained network to its deployable ONNX graph, held against torch before the file gets its name."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch

from refinefuse_ros import __version__
from refinefuse_ros.engine.openvino import shared_core
from refinefuse_ros.errors import UserError
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.network.deployable import Deployable
from refinefuse_ros.network.model import RefineFuse
from refinefuse_ros.network.weights import load_weights
from refinefuse_ros.resources import sha256_of
from refinefuse_ros.writing import write_whole

__all__ = ["ExportError", "export_onnx", "export_weights", "largest_difference"]

_OPSET = 18
_INPUTS, _OUTPUT = ("thermal", "visible"), "fused"
_ALLOWED_DIFFERENCE = 1  # grey level: what a last bit of float arithmetic does to a rounding


class ExportError(UserError):
    """An exported graph is not what torch computes, or cannot be made; the message is one sentence."""


def export_weights(weights: Path, output: Path, size: ImageSize | None = None) -> None:
    """Make the deployable graph of a weight file.

    Args:
        weights: a .safetensors file.
        output: path of the graph.
        size: of the images, for a graph of one size, which is the size rounded up to what the network divides
            (the engines pad); None leaves height and width dynamic.

    Raises:
        ExportError: the graph differs from torch.
        WeightsError: the weight file is missing or damaged.
        OSError: the graph cannot be written.
    """
    network, name = load_weights(weights)
    if size is not None:
        multiple = network.config.size_multiple
        size = ImageSize(*(side + -side % multiple for side in size))
    export_onnx(network, output, size, name, sha256_of(weights))


def export_onnx(
    model: RefineFuse, path: Path, size: ImageSize | None = None, name: str = "", weights_sha256: str = ""
) -> None:
    """Write the deployable ONNX graph of `model`, whole or not at all.

    The graph takes the uint8 planes `thermal` and `visible` (1, 1, H, W) and gives `fused` of the same kind.
    Its metadata properties say `size_multiple` (pixels), `model`, `weights_sha256` and `code_version`.

    Args:
        model: a network in eval mode.
        path: of the .onnx file.
        size: for a graph of one static size; None leaves height and width dynamic.
        name: the model's name.
        weights_sha256: hash of the weight file that `model` was loaded from.

    Raises:
        ExportError: `size` is not a multiple of the network's size multiple, or the graph differs from torch.
        OSError: the file cannot be written.
    """
    multiple = model.config.size_multiple
    if size is not None and any(side % multiple for side in size):
        raise ExportError(f"The size {size} is not a multiple of {multiple}; round it up, the engine pads.")
    example_size = size or ImageSize(12 * multiple, 10 * multiple)
    graph = _trace(model, example_size, dynamic=size is None)
    onnx.helper.set_model_props(
        graph,
        {
            "size_multiple": str(multiple),
            "model": name,
            "weights_sha256": weights_sha256,
            "code_version": __version__,
        },
    )
    content = graph.SerializeToString()
    checked = [example_size] if size else [example_size, ImageSize(9 * multiple, 16 * multiple)]
    difference = largest_difference(model, content, checked)
    if difference > _ALLOWED_DIFFERENCE:
        raise ExportError(
            f"The exported graph differs from torch by {difference} grey levels, where {_ALLOWED_DIFFERENCE}"
            f" is allowed; nothing was written to {path}."
        )
    write_whole(path, content)


def largest_difference(model: RefineFuse, graph: bytes, sizes: Sequence[ImageSize], seed: int = 0) -> int:
    """Largest difference in grey levels between an ONNX graph, run in fp32 by OpenVINO, and torch, on random
    planes.
    """
    core = shared_core()
    reference = Deployable(model).eval()
    random = np.random.default_rng(seed)
    largest = 0
    for size in sizes:
        planes = [random.integers(0, 256, (1, 1, size.height, size.width), dtype=np.uint8) for _ in _INPUTS]
        network = core.read_model(graph)
        network.reshape({name: list(planes[0].shape) for name in _INPUTS})
        compiled = core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = compiled(planes)[_OUTPUT].astype(np.int16)
        with torch.inference_mode():
            expected = reference(*map(torch.from_numpy, planes)).numpy()
        largest = max(largest, int(np.abs(found - expected).max()))
    return largest


def _trace(model: RefineFuse, size: ImageSize, dynamic: bool) -> onnx.ModelProto:
    example = torch.zeros(1, 1, size.height, size.width, dtype=torch.uint8)
    axes = {2: "height", 3: "width"}
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Deprecated but wanted: the exporter on torch.export takes seconds per graph, not tenths of one, and
        # writes the paths of this machine's source files into it.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            Deployable(model).eval(),
            (example, example.clone()),
            buffer,
            input_names=list(_INPUTS),
            output_names=[_OUTPUT],
            dynamic_axes=dict.fromkeys((*_INPUTS, _OUTPUT), axes) if dynamic else None,
            opset_version=_OPSET,
            dynamo=False,
        )
    graph = onnx.load_from_string(buffer.getvalue())
    onnx.checker.check_model(graph)
    return graph
