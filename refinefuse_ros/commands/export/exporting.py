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

"""Makes a model in the form that another machine runs, and measures how far its pictures are from torch's."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from refinefuse_ros import __version__
from refinefuse_ros.commands.export import FORMATS, PRECISIONS
from refinefuse_ros.commands.options import UsageError
from refinefuse_ros.engine.artifacts import ModelFiles, find_model
from refinefuse_ros.engine.base import Engine, EngineError, check_size, padded_shape
from refinefuse_ros.engine.cache import BuiltEngine, EngineCache, cache_folder
from refinefuse_ros.engine.cuda import Gpu, has_gpu
from refinefuse_ros.engine.ir import IR_BACKEND, ir_files, ir_sha256
from refinefuse_ros.engine.manifest import ANY, Comparison, EngineKey, Manifest, utc_now
from refinefuse_ros.engine.proof import References, prove
from refinefuse_ros.errors import UserError, one_line
from refinefuse_ros.evaluation.comparing import Sample, compare, sample_pairs
from refinefuse_ros.evaluation.scorecard import LOWER_IS_BETTER
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.resources import sha256_of
from refinefuse_ros.writing import prepare_to_write, write_together, writing_to

if TYPE_CHECKING:
    from refinefuse_ros.engine.tensorrt_library import TensorRtLibrary

DEFAULT_SIZE = ImageSize(640, 480)
_SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}
_COMPARED_PAIRS = 4
_CALIBRATION_PAIRS = 40
_NOTED_FALL_PERCENT = 1.0


@dataclass(frozen=True)
class ExportReport:
    """What `export_model` made.

    Attributes:
        files: what was written, the manifest last.
        format: one of `FORMATS`.
        precision: "fp32", "fp16" or "int8".
        size: of the images, "any" for a graph of any size.
        comparison: with torch, as it stands in the manifest.
        note: what else there is to say, or empty.
    """

    files: list[str]
    format: str
    precision: str
    size: str
    comparison: Comparison
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        found = self.comparison
        size = "any size" if self.size == ANY else self.size
        lines = [
            f"wrote {', '.join(self.files)} in {self.precision} for images of {size}",
            f"differs from {found.reference} by {found.mean_difference:.3f} grey levels on average,"
            f" {found.max_difference} at most ({found.pairs}, {found.ran_on})",
        ]
        if found.metrics:
            changes = ", ".join(f"{name.upper()} {change:+.2f} %" for name, change in found.changes.items())
            lines.append(f"change of the metrics: {changes}")
        return "\n".join([*lines, *filter(None, [self.note])])


@dataclass(frozen=True)
class _Task:
    """What is to be made of which model, and the pairs that go with it; attributes as for `export_model`."""

    files: ModelFiles
    precision: str
    size: ImageSize | None
    pairs: Path | None
    calibration: Path | None

    @property
    def working_size(self) -> ImageSize:
        """The size to compare at, and to compile for."""
        return self.size or DEFAULT_SIZE

    def calibration_sample(self, graph: bytes) -> Sample:
        """Pairs of the size that the graph takes, without the engines' padding."""
        from refinefuse_ros.engine.graph import properties_of

        height, width = padded_shape(self.working_size, properties_of(graph).size_multiple)
        return sample_pairs(self.calibration, ImageSize(width, height), _CALIBRATION_PAIRS)

    def compare(self, start: Callable[[], Engine], calibrated: bool = False) -> tuple[Comparison, float | None]:
        """Hold the engine that `start` makes against torch; without torch or weights, against the graph in OpenVINO.

        Args:
            start: makes the engine.
            calibrated: whether this task has calibrated it.

        Returns:
            What came of it, and the `proof_mean_difference` of the engine.
        """
        sample = sample_pairs(self.pairs, self.working_size, _COMPARED_PAIRS)
        exported = start()
        try:
            reference = _reference(self.files, self.working_size)
            try:
                comparison = compare(exported, reference, sample, calibrated and self.calibration == self.pairs)
                return comparison, exported.info.proof_mean_difference
            finally:
                reference.close()
        finally:
            exported.close()


def export_model(
    model: str = "nano",
    format: str = "onnx",
    precision: str = "auto",
    size: ImageSize | None = None,
    output: Path | None = None,
    capability: str | None = None,
    *,
    calibration: Path | None = None,
    pairs: Path | None = None,
) -> ExportReport:
    """Export a model, compare it with torch in fp32, and store the comparison in its manifest.

    Args:
        model: "base", "nano" or a path.
        format: "onnx" (one graph for all machines), "openvino" (.xml and .bin), "tensorrt" (a plan) or
            "torch-tensorrt" (a program).
        precision: "fp32", "fp16" or "int8"; "auto" is fp32 for onnx and openvino, for the other two fp16, and int8
            for the plan of an int8 graph.
        size: of the images; None is any size for onnx and openvino, else 640x480.
        output: a file for onnx and openvino (None: the model's name in the current folder), a folder for compiled
            engines (None: the cache, where the node looks).
        capability: compute capability of the GPU to build a plan for, such as "8.6"; None is the GPU that is here.
            Only TensorRT for RTX builds for a GPU that is not here.
        calibration: holds thermal/ and rgb/: the pairs that the ranges of int8 are taken from; None is the synthetic
            street. Never those on which the result is judged.
        pairs: holds thermal/ and rgb/: the pairs to compare on; None is the synthetic street.

    Raises:
        UsageError: an argument is none of the above, or means nothing for this format.
        UserError: what came out is not what torch computes, or the output cannot be
            written.
        EngineError: there is no such model, or a library, a driver or a GPU is missing.
    """
    if format not in FORMATS:
        raise UsageError(f"'{format}' is no format to export to; use one of {', '.join(FORMATS)}.")
    if precision not in PRECISIONS:
        raise UsageError(f"'{precision}' is no precision to export in; use one of {', '.join(PRECISIONS)}.")
    if capability is not None and format != "tensorrt":
        raise UsageError(f"A compute capability has no meaning for {format}; leave it out.")
    if calibration is not None and (precision != "int8" or format not in ("onnx", "openvino")):
        raise UsageError("Only an int8 export to onnx or openvino is calibrated; leave the calibration pairs out.")
    task = _Task(find_model(model), precision, size, pairs, calibration)
    check_size(task.working_size)
    try:
        if format == "tensorrt":
            return _export_plan(task, output, capability)
        if format == "torch-tensorrt":
            return _export_program(task, output)
        task = replace(task, precision="fp32" if precision == "auto" else precision)
        output = output or Path(_file_name(task, format))
        _check_output(output, format)
        return _export_graph(task, output) if format == "onnx" else _export_openvino(task, output)
    except ImportError as error:
        missing = error.name or one_line(error)
        raise EngineError(f"This export needs {missing}, which does not load; install the extra export.") from error


def _file_name(task: _Task, format: str) -> str:
    precision = "" if task.precision == "fp32" else f"_{task.precision}"
    return f"{_stem(task.files)}{precision}{_SUFFIXES[format]}"


def _check_output(output: Path, format: str) -> None:
    """Refuse a file that could not be written after all the work, or whose name no `--model` could be."""
    suffix = _SUFFIXES[format]
    if output.suffix != suffix:
        raise UserError(f"{output} is not a name for an export to {format}; use one that ends in {suffix}.")
    prepare_to_write(output)


def _export_graph(task: _Task, output: Path) -> ExportReport:
    started = time.monotonic()
    options = ""
    with _graph(task.files, task.size) as graph:
        content = _fp32(graph)
        if task.precision == "fp16":
            content = _in_half(content)
        elif task.precision == "int8":
            quantize, calibration = _quantization(), task.calibration_sample(content)
            options = _calibrated_on(calibration)
            content = quantize.quantize_onnx(content, calibration.planes)
        graph.write_bytes(content)
        exported = ModelFiles(task.files.name, graph, None)
        comparison, proof = task.compare(lambda: _on_openvino(exported, task), calibrated=task.precision == "int8")
        manifest = _manifest(task, graph, "onnx", options, sha256_of(graph), started)
    manifest = replace(manifest, comparison=comparison, proof_mean_difference=proof)
    return _written("onnx", manifest, {output: content}, output.with_name(f"{output.name}.json"))


def _export_openvino(task: _Task, output: Path) -> ExportReport:
    import openvino as ov

    from refinefuse_ros.engine.openvino import shared_core

    started = time.monotonic()
    options = ""
    with _graph(task.files, task.size) as graph:
        content = _fp32(graph)
        model = shared_core().read_model(content)
        if task.precision == "int8":
            quantize, calibration = _quantization(), task.calibration_sample(content)
            options = _calibrated_on(calibration)
            model = quantize.quantize_ir(model, calibration.planes)
        structure, weights, manifest_path = ir_files(graph)
        ov.save_model(model, structure, compress_to_fp16=task.precision == "fp16")
        manifest = _manifest(task, graph, IR_BACKEND, options, ir_sha256(structure), started)
        manifest_path.write_text(manifest.to_json())
        ir = ModelFiles(task.files.name, None, None, ir=structure)
        comparison, proof = task.compare(lambda: _on_openvino(ir, task), calibrated=task.precision == "int8")
        made = [weights.read_bytes(), structure.read_bytes()]
    manifest = replace(manifest, comparison=comparison, proof_mean_difference=proof)
    structure, weights, manifest_path = ir_files(output)
    return _written("openvino", manifest, dict(zip([weights, structure], made, strict=True)), manifest_path)


def _written(format: str, manifest: Manifest, contents: dict[Path, bytes], manifest_path: Path) -> ExportReport:
    """Write a compared model and its manifest."""
    assert manifest.comparison is not None
    contents = {**contents, manifest_path: manifest.to_json().encode()}
    with writing_to(next(iter(contents))):
        write_together(contents)
    return _report(list(contents), format, manifest.key, manifest.comparison)


def _export_plan(task: _Task, output: Path | None, capability: str | None) -> ExportReport:
    from refinefuse_ros.engine.plan import build_plan, plan_key
    from refinefuse_ros.engine.tensorrt_library import find_library

    files, size = task.files, task.working_size
    graph = files.required_graph()
    library = find_library()
    name, target = _gpu_here(library) if capability is None else ("", _capability(capability, library))
    key = plan_key(library, files.name, graph, size, task.precision, name, target)
    task = replace(task, precision=key.precision)
    cache = EngineCache(output)
    note = "the plan was not run, since its GPU is not here; the graph it was built from was compared"
    with _graph(replace(files, weights=None), None) as typed:
        if key.precision != "fp32":
            typed.write_bytes(_in_half(typed.read_bytes()))
        comparison, _ = task.compare(lambda: _on_openvino(ModelFiles(files.name, typed, None), task))
    built = cache.obtain(key, lambda: build_plan(library, graph, key))
    if capability is None:
        from refinefuse_ros.engine.tensorrt import TensorRtEngine

        comparison = _compare_built(
            task, cache, key, "graph", lambda: TensorRtEngine(files, size, key.precision, cache=cache)
        )
        note = ""
    return _built_report("tensorrt", built, output, comparison, note)


def _export_program(task: _Task, output: Path | None) -> ExportReport:
    if not has_gpu():
        raise EngineError("torch-tensorrt compiles only on the GPU that is to run it, and there is none here.")
    try:
        from refinefuse_ros.engine.torch_tensorrt import TorchTensorRtEngine, obtain_program
    except ImportError as error:
        raise EngineError(f"torch_tensorrt does not load ({error}); install it as docs/deploy.md says.") from error
    cache, size = EngineCache(output), task.working_size
    built = obtain_program(task.files, size, task.precision, "auto", cache)
    key = built.manifest.key
    comparison = _compare_built(
        task, cache, key, "weights", lambda: TorchTensorRtEngine(task.files, size, key.precision, cache=cache)
    )
    return _built_report("torch-tensorrt", built, output, comparison, "")


def _compare_built(
    task: _Task, cache: EngineCache, key: EngineKey, runs: str, start: Callable[[], Engine]
) -> Comparison:
    """As `_Task.compare`; an engine that does not stand it, or the proof, does not stay where a node would find it."""
    files, size = task.files, task.working_size
    try:
        comparison, _ = task.compare(lambda: _proven(start(), References(files, size), runs))
    except UserError:
        cache.discard(key)
        raise
    return comparison


def _built_report(
    format: str, built: BuiltEngine, output: Path | None, comparison: Comparison, note: str
) -> ExportReport:
    key = built.manifest.key
    folder = output if output is not None else cache_folder()
    files = [folder / f"{key.name}{suffix}" for suffix in (".engine", ".json")]
    if not all(path.is_file() for path in files):
        raise UserError(f"The engine was built, but {built.not_kept}.")
    EngineCache(output).amend(key, comparison=comparison)
    return _report(files, format, key, comparison, note)


def _report(files: Sequence[Path], format: str, key: EngineKey, comparison: Comparison, note: str = "") -> ExportReport:
    fallen = [
        name
        for name, change in comparison.changes.items()
        if change < -_NOTED_FALL_PERCENT and name not in LOWER_IS_BETTER
    ]
    if key.precision == "int8" and fallen:
        advice = (
            f"{', '.join(fallen).upper()} fell by more than {_NOTED_FALL_PERCENT:g} % on these pairs;"
            " calibrate with pairs like those that are to be fused"
        )
        note = "; ".join(filter(None, (note, advice)))
    return ExportReport([str(path) for path in files], format, key.precision, key.size, comparison, note)


def _manifest(task: _Task, graph: Path, backend: str, options: str, artifact_sha256: str, started: float) -> Manifest:
    """The manifest of a graph, which runs on any machine; `started` is of the monotonic clock."""
    import openvino as ov

    from refinefuse_ros.engine.graph import opset_of, properties_of

    content = graph.read_bytes()
    properties = properties_of(content)
    key = EngineKey(
        model=task.files.name,
        source_sha256=sha256_of(task.files.weights or task.files.required_graph()),
        size=str(task.size or ANY),
        precision=task.precision,
        backend=backend,
        backend_version=f"opset {opset_of(content)}" if backend == "onnx" else ov.get_version(),
        gpu=ANY,
        compute_capability=ANY,
        options=options,
        code_version=__version__,
    )
    seconds = round(time.monotonic() - started, 3)
    return Manifest(key, properties.weights_sha256, properties.size_multiple, artifact_sha256, utc_now(), seconds)


@contextmanager
def _graph(files: ModelFiles, size: ImageSize | None) -> Iterator[Path]:
    """The model's ONNX graph in a folder of its own: from the weights where there are some, else the graph there is."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{_stem(files)}.onnx"
        if files.weights is not None:
            from refinefuse_ros.engine.export import export_weights

            export_weights(files.weights, path, size)
        else:
            graph = files.required_graph()
            if size is not None:
                raise EngineError(
                    f"The model '{files.name}' has no weights to make a graph of one size from; leave the size out."
                )
            path.write_bytes(graph.read_bytes())
        yield path


def _fp32(graph: Path) -> bytes:
    """The content of a graph that other precisions are made from.

    Raises:
        EngineError: it is in another precision already.
    """
    from refinefuse_ros.engine.graph import properties_of

    content = graph.read_bytes()
    precision = properties_of(content).precision
    if precision != "fp32":
        raise EngineError(f"The graph {graph.name} is {precision} already; export from the fp32 model it was made of.")
    return content


def _in_half(content: bytes) -> bytes:
    from refinefuse_ros.engine.graph import to_half

    return to_half(content)


def _quantization() -> ModuleType:
    try:
        import onnxruntime  # noqa: F401 (nncf runs ONNX graphs by it, and fails late without)

        from refinefuse_ros.engine import quantize
    except ImportError as error:
        raise EngineError(f"int8 needs the package {error.name}; install the extra int8.") from error
    return quantize


def _calibrated_on(sample: Sample) -> str:
    import nncf

    return f"nncf {nncf.__version__}, calibrated on {sample.description}"


def _on_openvino(files: ModelFiles, task: _Task) -> Engine:
    """A graph on this CPU, proven; it runs fp16 in fp32 where it cannot compute in fp16."""
    from refinefuse_ros.engine.openvino import OpenVinoEngine

    references = References(files, task.working_size)
    try:
        return _proven(OpenVinoEngine(files, task.working_size, task.precision), references)
    except EngineError:
        if task.precision != "fp16":
            raise
        return _proven(OpenVinoEngine(files, task.working_size, "fp32"), references)


def _proven(engine: Engine, references: References, runs: str = "graph") -> Engine:
    """The engine, closed if it does not stand the proof."""
    try:
        prove(engine, runs, references)
    except BaseException:
        engine.close()
        raise
    return engine


def _reference(files: ModelFiles, size: ImageSize) -> Engine:
    if files.weights is not None:
        with suppress(ImportError):  # a vehicle has no torch
            from refinefuse_ros.engine.torch import TorchEngine

            return TorchEngine(files, size)
    from refinefuse_ros.engine.openvino import OpenVinoEngine

    try:
        return OpenVinoEngine(files, size, "fp32")
    except EngineError:  # a quantised graph of which nothing else is here
        return OpenVinoEngine(files, size)


def _gpu_here(library: TensorRtLibrary) -> tuple[str, tuple[int, int]]:
    """Name and compute capability of the GPU that is here."""
    try:
        gpu = Gpu()
    except EngineError as error:
        if not library.serves_any_gpu_of_a_capability:
            raise
        raise EngineError(
            f"There is no GPU here to build a plan for ({one_line(error)});"
            " give another one's compute capability, such as 8.6."
        ) from error
    gpu.close()
    return gpu.name, gpu.capability


def _capability(text: str, library: TensorRtLibrary) -> tuple[int, int]:
    if not library.serves_any_gpu_of_a_capability:
        raise UserError(f"{library.title} builds only for the GPU that is here; leave the compute capability out.")
    if not re.fullmatch(r"[0-9]+\.[0-9]+", text):
        raise UsageError(f"'{text}' is no compute capability; write it as 8.6.")
    major, minor = map(int, text.split("."))
    library.check_capability((major, minor))
    return major, minor


def _stem(files: ModelFiles) -> str:
    return files.paths[-1].stem
