# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""`refinefuse export`: a model in the form that another machine runs, and how far its pictures are from torch's."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from refinefuse_ros.engine.artifacts import ModelFiles, find_model
from refinefuse_ros.engine.base import Engine, EngineError
from refinefuse_ros.engine.cache import BuiltEngine, EngineCache, cache_folder
from refinefuse_ros.engine.cuda import Gpu, has_gpu
from refinefuse_ros.errors import UserError
from refinefuse_ros.evaluation.metrics import MIN_SIDE, evaluate_pair, summarize
from refinefuse_ros.image.colour import split_luma
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.normalization import ThermalNormalizer
from refinefuse_ros.image.synthetic import SyntheticScene
from refinefuse_ros.writing import write_whole

FORMATS = ("onnx", "openvino", "tensorrt", "torch-tensorrt")
EXPORT_PRECISIONS = ("auto", "fp32", "fp16")
DEFAULT_SIZE = ImageSize(640, 480)
_PAIRS = 4
_ALLOWED_MEAN_DIFFERENCE = 0.1  # grey levels; fp16 stays well under it, a wrong graph does not


@dataclass(frozen=True)
class Comparison:
    """How an exported model's pictures differ from those of torch in fp32.

    Attributes:
        ran_on: what ran the exported model.
        pairs: of the synthetic street.
        max_difference: largest difference of a pixel, in grey levels.
        mean_difference: mean difference, in grey levels.
        metrics: name to (torch fp32, exported): the means over the pairs; empty for images too small for them.
    """

    ran_on: str
    pairs: int
    max_difference: int
    mean_difference: float
    metrics: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class ExportReport:
    """What `export_model` made.

    Attributes:
        files: what was written; for compiled engines the engine and its manifest.
        format: one of `FORMATS`.
        precision: "fp32" or "fp16".
        size: of the images, "dynamic" for a graph of any size.
        comparison: with torch; None where this machine cannot run what it made.
        note: what else there is to say, one sentence or empty.
    """

    files: list[str]
    format: str
    precision: str
    size: str
    comparison: Comparison | None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def export_model(
    model: str = "nano",
    format: str = "onnx",
    precision: str = "auto",
    size: ImageSize | None = None,
    output: Path | None = None,
    capability: str | None = None,
) -> ExportReport:
    """Export a model and compare it with torch in fp32 on pairs of the synthetic street.

    Args:
        model: "base", "nano" or a path.
        format: "onnx" (one graph for all machines), "openvino" (.xml and .bin), "tensorrt" (a plan) or
            "torch-tensorrt" (a program).
        precision: "fp32" or "fp16"; "auto" is fp32 for onnx and openvino, and fp16 for the other two.
        size: of the images; None is any size for onnx and openvino, else 640x480.
        output: a file for onnx and openvino (None: the model's name in the current folder), a folder for compiled
            engines (None: the cache, where the node looks).
        capability: compute capability of the GPU to build a plan for, such as "8.6"; None is the GPU that is here.
            Only TensorRT for RTX builds for a GPU that is not here.

    Raises:
        UserError: an argument is none of the above, or what came out is not what torch computes.
        EngineError: there is no such model, or a library, a driver or a GPU is missing.
        OSError: the output cannot be written.
    """
    if format not in FORMATS:
        raise UserError(f"'{format}' is no format to export to; use one of {', '.join(FORMATS)}.")
    if precision not in EXPORT_PRECISIONS:
        raise UserError(f"'{precision}' is no precision to export in; use one of {', '.join(EXPORT_PRECISIONS)}.")
    if capability is not None and format != "tensorrt":
        raise UserError(f"A compute capability has no meaning for {format}; leave it out.")
    files = find_model(model)
    if format == "tensorrt":
        return _export_plan(files, precision, size or DEFAULT_SIZE, output, capability)
    if format == "torch-tensorrt":
        return _export_program(files, precision, size or DEFAULT_SIZE, output)
    precision = "fp32" if precision == "auto" else precision
    if format == "onnx":
        return _export_graph(files, precision, size, output or Path(f"{_stem(files)}.onnx"))
    return _export_openvino(files, precision, size, output or Path(f"{_stem(files)}.xml"))


def _export_graph(files: ModelFiles, precision: str, size: ImageSize | None, output: Path) -> ExportReport:
    with _graph(files, precision, size) as graph:
        comparison = _compare(files, lambda: _on_openvino(files.name, graph, size or DEFAULT_SIZE, precision))
        write_whole(output, graph.read_bytes())
    return _with_report(output, ExportReport([str(output)], "onnx", precision, str(size or "dynamic"), comparison))


def _export_openvino(files: ModelFiles, precision: str, size: ImageSize | None, output: Path) -> ExportReport:
    import openvino as ov

    output = output.with_suffix(".xml")
    with _graph(files, precision, size) as graph:
        model = ov.Core().read_model(graph)
        converted = graph.with_name("converted.xml")
        ov.save_model(model, converted, compress_to_fp16=precision == "fp16")
        comparison = _compare(files, lambda: _on_openvino(files.name, converted, size or DEFAULT_SIZE, precision))
        weights = output.with_suffix(".bin")
        write_whole(weights, converted.with_suffix(".bin").read_bytes())
        write_whole(output, converted.read_bytes())
    report = ExportReport([str(output), str(weights)], "openvino", precision, str(size or "dynamic"), comparison)
    return _with_report(output, report)


def _export_plan(
    files: ModelFiles, precision: str, size: ImageSize, output: Path | None, capability: str | None
) -> ExportReport:
    from refinefuse_ros.engine.plan import build_plan, plan_key
    from refinefuse_ros.engine.tensorrt_library import find_library

    graph = files.required_graph()
    library = find_library()
    if capability is None:
        gpu = Gpu()
        name, target = gpu.name, gpu.capability
        gpu.close()
    elif not library.serves_any_gpu_of_a_capability:
        raise UserError(f"{library.title} builds only for the GPU that is here; leave the compute capability out.")
    else:
        name, target = "", _capability(capability)
    key = plan_key(library, files.name, graph, size, precision, name, target)
    cache = EngineCache(output)
    note = "the plan was not run, since its GPU is not here; the graph it was built from was compared"
    with _graph(replace(files, weights=None), key.precision, None) as typed:
        comparison = _compare(files, lambda: _on_openvino(files.name, typed, size, key.precision))
    built = cache.obtain(key, lambda: build_plan(library, graph, key))
    if capability is None:
        from refinefuse_ros.engine.tensorrt import TensorRtEngine

        comparison = _compare(files, lambda: TensorRtEngine(files, size, key.precision, cache=cache))
        note = ""
    return _built_report("tensorrt", built, output, comparison, note)


def _export_program(files: ModelFiles, precision: str, size: ImageSize, output: Path | None) -> ExportReport:
    if not has_gpu():
        raise EngineError("torch-tensorrt compiles only on the GPU that is to run it, and there is none here.")
    try:
        from refinefuse_ros.engine.torch_tensorrt import TorchTensorRtEngine, obtain_program
    except ImportError as error:
        raise EngineError(f"torch_tensorrt does not load ({error}); install it as docs/deploy.md says.") from error
    cache = EngineCache(output)
    built = obtain_program(files, size, precision, "auto", cache)
    engine_precision = built.manifest.key.precision
    comparison = _compare(files, lambda: TorchTensorRtEngine(files, size, engine_precision, cache=cache))
    return _built_report("torch-tensorrt", built, output, comparison, "")


def _built_report(
    format: str, built: BuiltEngine, output: Path | None, comparison: Comparison | None, note: str
) -> ExportReport:
    key = built.manifest.key
    folder = output if output is not None else cache_folder()
    files = [folder / f"{key.name}{suffix}" for suffix in (".engine", ".json")]
    if not all(path.is_file() for path in files):
        raise UserError(f"The engine was built and could not be kept: {built.note}.")
    return ExportReport([str(path) for path in files], format, key.precision, key.size, comparison, note)


def _with_report(output: Path, report: ExportReport) -> ExportReport:
    """Store the report beside the model."""
    write_whole(
        output.with_name(f"{output.stem}.export.json"), (json.dumps(report.to_dict(), indent=2) + "\n").encode()
    )
    return report


@contextmanager
def _graph(files: ModelFiles, precision: str, size: ImageSize | None) -> Iterator[Path]:
    """The model's ONNX graph in a folder of its own: from the weights where there are some, else the graph there is."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{_stem(files)}.onnx"
        if files.weights is not None:
            from refinefuse_ros.engine.export import export_weights

            export_weights(files.weights, path, size)
        elif size is not None:
            raise EngineError(
                f"The model '{files.name}' has no weights to make a graph of one size from; leave it out."
            )
        else:
            path.write_bytes(files.graph.read_bytes())
        if precision == "fp16":
            from refinefuse_ros.engine.graph import to_half

            path.write_bytes(to_half(path.read_bytes()))
        yield path


def _on_openvino(name: str, graph: Path, size: ImageSize, precision: str) -> Engine:
    """The graph on this CPU, which runs an fp16 graph in fp32 where it cannot compute in fp16."""
    from refinefuse_ros.engine.openvino import OpenVinoEngine

    try:
        return OpenVinoEngine(ModelFiles(name, graph, None), size, precision)
    except EngineError:
        return OpenVinoEngine(ModelFiles(name, graph, None), size, "fp32")


def _compare(files: ModelFiles, start: Callable[[], Engine]) -> Comparison:
    """Run the exported model and torch in fp32 (or the shipped graph, without weights) on the same pairs.

    Raises:
        UserError: the pictures differ by more than a precision explains.
    """
    exported = start()
    reference = _reference(files, exported.size)
    differences, scores = [], []
    for thermal, visible in _street(exported.size):
        expected = reference.fuse(thermal, visible).copy()
        found = exported.fuse(thermal, visible).copy()
        differences.append(np.abs(expected.astype(np.int16) - found))
        if min(exported.size) >= MIN_SIDE:
            scores.append([evaluate_pair(thermal, visible, fused) for fused in (expected, found)])
    info = exported.info
    exported.close()
    reference.close()
    mean = float(np.mean(differences))
    if mean > _ALLOWED_MEAN_DIFFERENCE:
        raise UserError(
            f"The exported model differs from torch by {mean:.3f} grey levels on average, where"
            f" {_ALLOWED_MEAN_DIFFERENCE} is allowed; export it in fp32, or train it again."
        )
    columns = [asdict(summarize(list(column))) for column in zip(*scores, strict=True)]
    metrics = {name: tuple(round(column[name], 5) for column in columns) for name in columns[0]} if columns else {}
    return Comparison(
        ran_on=f"{info.backend} in {info.precision} on {info.device}",
        pairs=len(differences),
        max_difference=int(np.max(differences)),
        mean_difference=round(mean, 5),
        metrics=metrics,
    )


def _reference(files: ModelFiles, size: ImageSize) -> Engine:
    if files.weights is None:
        return _on_openvino(files.name, files.graph, size, "fp32")
    from refinefuse_ros.engine.torch import TorchEngine

    return TorchEngine(files, size)


def _street(size: ImageSize) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of the synthetic street as the planes that engines take."""
    scene = SyntheticScene(*size)
    for index in range(_PAIRS):
        counts, bgr = scene.render(index * scene.PERIOD_S / _PAIRS)
        luma, _ = split_luma(bgr, "bgr8")
        yield ThermalNormalizer().normalize(counts, stamp_ns=0), np.ascontiguousarray(luma)


def _capability(text: str) -> tuple[int, int]:
    major, point, minor = text.partition(".")
    if not (point and major.isdigit() and minor.isdigit()):
        raise UserError(f"'{text}' is no compute capability; write it as 8.6.")
    return int(major), int(minor)


def _stem(files: ModelFiles) -> str:
    return (files.weights or files.graph).stem
