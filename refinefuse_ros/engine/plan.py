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

"""Building a TensorRT plan from a model's ONNX graph, with the manifest that says what it is."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from refinefuse_ros import __version__
from refinefuse_ros.engine.base import EngineError, check_precision, padded_shape
from refinefuse_ros.engine.building import BuildTicket
from refinefuse_ros.engine.cache import BuiltEngine
from refinefuse_ros.engine.manifest import ANY, EngineKey, Manifest, utc_now
from refinefuse_ros.engine.tensorrt_library import TensorRtLibrary
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.resources import sha256_of

_OPTIONS = "strongly typed, one static size, no TF32, capturable"
_QUANTIZED = b"QuantizeLinear"


def plan_precisions(graph: Path) -> tuple[str, ...]:
    """What plans of a graph can be built in, fastest first."""
    # An operator's name stands in the file as it is: reading a cached plan must not need the package onnx.
    return ("int8",) if _QUANTIZED in graph.read_bytes() else ("fp16", "fp32")


def plan_key(
    library: TensorRtLibrary,
    model: str,
    graph: Path,
    size: ImageSize,
    precision: str,
    gpu: str,
    capability: tuple[int, int],
) -> EngineKey:
    """What a plan of a model depends on.

    Args:
        library: what builds and runs it.
        model: the model's name.
        graph: its ONNX graph.
        size: of the images.
        precision: "fp16" (which "auto" is) or, of an fp32 graph, "fp32"; "int8" (which "auto" is) of an int8 one,
            whose other layers then compute in fp16.
        gpu: the GPU's name.
        capability: the GPU's compute capability, such as (8, 6).

    Raises:
        EngineError: the graph cannot be had in this precision.
    """
    available = plan_precisions(graph)
    check_precision("TensorRT", graph.name, precision, available)
    return EngineKey(
        model=model,
        source_sha256=sha256_of(graph),
        size=str(size),
        precision=available[0] if precision == "auto" else precision,
        backend=library.backend,
        backend_version=library.version,
        gpu=ANY if library.serves_any_gpu_of_a_capability else gpu,
        compute_capability="{}.{}".format(*capability),
        options=_OPTIONS,
        code_version=__version__,
    )


def build_plan(library: TensorRtLibrary, graph: Path, key: EngineKey, ticket: BuildTicket | None = None) -> BuiltEngine:
    """Build the plan of `key` from its graph, for planes padded to what the graph divides; `ticket` stops it.

    Raises:
        BuildStoppedError: it was stopped.
        EngineError: as `TensorRtLibrary.build`; or onnx is not installed, or an fp32 plan is wanted of an fp16 graph.
    """
    try:
        from refinefuse_ros.engine.graph import properties_of, to_half
    except ImportError as error:
        raise EngineError("Building a TensorRT plan needs the package onnx; install it with pip.") from error
    content = graph.read_bytes()
    properties = properties_of(content)
    if properties.precision == "fp16":
        check_precision("TensorRT", graph.name, key.precision, ("fp16",))
    multiple = properties.size_multiple
    major, minor = map(int, key.compute_capability.split("."))
    start = time.monotonic()
    typed = content if key.precision == "fp32" else to_half(content)
    shape = padded_shape(ImageSize.parse(key.size), multiple)
    plan = library.build(typed, shape, key.precision, (major, minor), ticket)
    manifest = Manifest(
        key=key,
        weights_sha256=properties.weights_sha256,
        size_multiple=multiple,
        artifact_sha256=hashlib.sha256(plan).hexdigest(),
        built_at=utc_now(),
        build_seconds=round(time.monotonic() - start, 3),
    )
    return BuiltEngine(plan, manifest)
