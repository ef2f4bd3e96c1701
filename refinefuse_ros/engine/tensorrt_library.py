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

"""TensorRT and TensorRT for RTX as one library: finding it, building a plan from a graph, loading a plan.

Everything in which the two differ, and in which their versions differ, is in this file.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, TypeVar

from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.engine.building import BuildTicket
from refinefuse_ros.engine.cuda import in_this_context
from refinefuse_ros.errors import one_line

_T = TypeVar("_T")

INPUTS, OUTPUT = ("thermal", "visible"), "fused"

_MODULES = {"tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt_rtx_bindings"}
_TOLD_TYPES = {"INT8": "int8", "FP16": "fp16", "HALF": "fp16", "BFLOAT": "bf16", "FP32": "fp32", "FLOAT": "fp32"}
_OLDEST_TENSORRT = 10  # the first whose networks are strongly typed throughout; JetPack 6.0 has 8.6
_TITLES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT for RTX"}


class PlanRefusedError(EngineError):
    """The library does not take a plan: it is of another version or GPU, or truncated."""


@dataclass(frozen=True)
class TensorRtLibrary:
    """One of the two libraries.

    Attributes:
        backend: "tensorrt" or "tensorrt_rtx".
        api: its Python module; both have the same names.
    """

    backend: str
    api: ModuleType

    @property
    def version(self) -> str:
        return str(self.api.__version__)

    @property
    def title(self) -> str:
        return f"{_TITLES[self.backend]} {self.version}"

    @property
    def serves_any_gpu_of_a_capability(self) -> bool:
        """TensorRT for RTX builds for a compute capability, without a GPU; TensorRT tunes on the GPU that is there."""
        return self.backend == "tensorrt_rtx"

    def build(
        self,
        graph: bytes,
        shape: tuple[int, int],
        precision: str,
        capability: tuple[int, int],
        ticket: BuildTicket | None = None,
    ) -> bytes:
        """Build the plan of a deployable graph.

        Args:
            graph: a serialised ONNX graph in this precision.
            shape: (H, W) of the planes in pixels, multiples of the graph's size multiple.
            precision: "fp32", "fp16" or "int8": what the network must come out in.
            capability: compute capability to build for; TensorRT proper builds for the GPU that is there.
            ticket: stops the build at the library's next step, and is told its phases.

        Returns:
            The serialised plan, for planes (1, 1, H, W) uint8.

        Raises:
            BuildStoppedError: the ticket was stopped.
            EngineError: the library cannot build for this GPU, the graph is not a deployable one, or the network came
                out in another precision.
        """
        log = _error_log(self.api)
        ticket = ticket or BuildTicket()
        try:
            plan = _stoppable(lambda ticket: self._build(graph, shape, precision, capability, log, ticket), ticket)
        except (TypeError, RuntimeError) as error:  # pybind11's way to say that the library gave nothing
            reason = log.last or one_line(error)
            raise EngineError(f"{self.title} cannot build here: {reason}; check the NVIDIA driver.") from error
        if plan is None:
            ticket.check()
            reason = log.last or "no reason given"
            raise EngineError(f"{self.title} cannot build the graph at {shape[1]}x{shape[0]}: {reason}.")
        return bytes(plan)

    def load(self, plan: bytes, shape: tuple[int, int], precision: str) -> Any:
        """Deserialise a plan into the library's engine, on the current CUDA context; check that it is the one wanted.

        Args:
            plan: as `build` gave it.
            shape: (H, W) of the planes in pixels.
            precision: as the manifest says.

        Raises:
            PlanRefusedError: the plan is truncated, of another version or GPU, or has other planes.
            EngineError: its convolutions compute in more than `precision`.
        """
        log = _error_log(self.api)
        try:
            engine = self.api.Runtime(log).deserialize_cuda_engine(plan)
        except (TypeError, RuntimeError) as error:
            log.last = log.last or one_line(error)
            engine = None
        if engine is None:
            reason = log.last or "no reason given"
            raise PlanRefusedError(f"{self.title} cannot load the plan: {reason}; check that the driver is new enough.")
        self._check_planes(engine, shape)
        wide = [layer for layer, kind in convolution_types(self._inspect(engine)) if kind == "fp32"]
        if wide and precision != "fp32":
            raise EngineError(
                f"{self.title} runs {len(wide)} convolution(s) of the plan in fp32 ({wide[0]}) although it is to be"
                f" {precision}; use precision fp32 or another backend."
            )
        return engine

    def can_capture(self, context: Any, stream: int) -> bool:
        """Whether an execution context may be recorded into a CUDA graph; only TensorRT for RTX tells."""
        ask = getattr(context, "is_stream_capturable", None)
        return ask is None or bool(ask(stream))

    def precision_of(self, network: Any) -> str:
        """The type in which all convolutions of a strongly typed network compute; "mixed" where they disagree.

        It is "int8" where some take dequantised input, which is fused into them, and the others agree on a type.
        """
        names = {self.api.DataType.FLOAT: "fp32", self.api.DataType.HALF: "fp16"}
        layers = [network.get_layer(index) for index in range(network.num_layers)]
        dequantized = {layer.get_output(0).name for layer in layers if layer.type == self.api.LayerType.DEQUANTIZE}
        convolutions = [layer for layer in layers if layer.type == self.api.LayerType.CONVOLUTION]
        found = {
            names.get(tensor.dtype, str(tensor.dtype))
            for layer in convolutions
            for tensor in (layer.get_input(0), layer.get_output(0))
        }
        if len(found) != 1:
            return "mixed"
        return "int8" if any(layer.get_input(0).name in dequantized for layer in convolutions) else found.pop()

    def _build(
        self,
        graph: bytes,
        shape: tuple[int, int],
        precision: str,
        capability: tuple[int, int],
        log: Any,
        ticket: BuildTicket,
    ) -> Any | None:
        builder = self.api.Builder(log)
        network = builder.create_network(self._creation_flags())
        self._parse(graph, network, log)
        self._fix_shape(network, shape)
        built = self.precision_of(network)
        if built != precision:
            raise EngineError(
                f"{self.title} made the network {built} although {precision} was asked for; export the graph again."
            )
        config = builder.create_builder_config()
        config.clear_flag(self.api.BuilderFlag.TF32)  # on by default, and fp32 with a mantissa of fp16
        config.profiling_verbosity = self.api.ProfilingVerbosity.DETAILED  # else the inspector tells only names
        # TensorRT for RTX: without it, running may allocate memory, which a CUDA graph cannot record.
        if (flag := getattr(self.api.BuilderFlag, "REQUIRE_USER_ALLOCATION", None)) is not None:
            config.set_flag(flag)
        config.progress_monitor = _progress_monitor(self.api, ticket)
        self._set_target(config, capability)
        return builder.build_serialized_network(network, config)

    def _creation_flags(self) -> int:
        """Strongly typed: asked for by a flag where there is one; a version without it knows nothing else."""
        flag = getattr(self.api.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        return 0 if flag is None else 1 << int(flag)

    def _parse(self, graph: bytes, network: Any, log: Any) -> None:
        parser = self.api.OnnxParser(network, log)
        if not parser.parse(graph):
            reason = parser.get_error(0).desc() if parser.num_errors else log.last
            raise EngineError(f"{self.title} cannot read the graph ({one_line(reason)}); export or download it again.")
        found = {tensor.name: tensor.dtype for tensor in _planes(network)}
        if found != dict.fromkeys((*INPUTS, OUTPUT), self.api.DataType.UINT8):
            described = ", ".join(f"{name} {kind}" for name, kind in found.items())
            raise EngineError(
                f"The graph has {described}, not the uint8 planes thermal, visible and fused;"
                " export it with 'refinefuse export'."
            )

    def _fix_shape(self, network: Any, shape: tuple[int, int]) -> None:
        """Make the network static: a plan serves one size, and is faster for it than one with a range of sizes."""
        wanted = (1, 1, *shape)
        for index in range(network.num_inputs):
            tensor = network.get_input(index)
            found = tuple(tensor.shape)
            if len(found) != len(wanted) or any(
                side not in (-1, other) for side, other in zip(found, wanted, strict=True)
            ):
                raise EngineError(
                    f"The graph's plane {tensor.name} is {found} and cannot be {wanted};"
                    " export the graph without --size."
                )
            tensor.shape = wanted

    def _check_planes(self, engine: Any, shape: tuple[int, int]) -> None:
        """A plan with other planes would write beyond the buffers that are made for these."""
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        found = {name: (tuple(engine.get_tensor_shape(name)), engine.get_tensor_dtype(name)) for name in names}
        if found != dict.fromkeys((*INPUTS, OUTPUT), ((1, 1, *shape), self.api.DataType.UINT8)):
            described = ", ".join(f"{name} {kind} {sides}" for name, (sides, kind) in found.items())
            raise PlanRefusedError(
                f"The plan has {described}, not uint8 planes of {shape[1]}x{shape[0]}; build it again."
            )

    def _inspect(self, engine: Any) -> str:
        """What the engine inspector tells as JSON."""
        return str(engine.create_engine_inspector().get_engine_information(self.api.LayerInformationFormat.JSON))

    def check_capability(self, capability: tuple[int, int]) -> None:
        """Refuse a compute capability that the library cannot build for.

        Raises:
            EngineError: TensorRT for RTX does not know it.
        """
        if self.serves_any_gpu_of_a_capability:
            self._target(capability)

    def _set_target(self, config: Any, capability: tuple[int, int]) -> None:
        if not self.serves_any_gpu_of_a_capability:
            return
        config.num_compute_capabilities = 1
        config.set_compute_capability(self._target(capability), 0)

    def _target(self, capability: tuple[int, int]) -> Any:
        """What TensorRT for RTX calls a compute capability."""
        known = self.api.ComputeCapability.__members__
        name = "SM{}{}".format(*capability)
        if name not in known:
            every = ", ".join(member for member in known if member.startswith("SM"))
            raise EngineError(
                f"{self.title} builds for {every}, not for a GPU of {name}, which needs TensorRT proper;"
                " install tensorrt or use another backend."
            )
        return known[name]


def convolution_types(inspected: str) -> list[tuple[str, str]]:
    """Name and type of input of each convolution that an engine inspector's JSON names as one.

    The names of the types differ from version to version ("Half", "FP16 NHWC"). Layers that the compiler fused beyond
    recognition, and types that are none of these, are left out.
    """
    try:
        layers = json.loads(inspected)["Layers"]
    except (ValueError, KeyError, TypeError):
        return []
    found = []
    for layer in layers:
        if not (isinstance(layer, dict) and "conv" in str(layer.get("LayerType", "")).lower() and layer.get("Inputs")):
            continue
        told = str(layer["Inputs"][0].get("Format/Datatype", "")).upper()
        kind = next((kind for name, kind in _TOLD_TYPES.items() if name in told), None)
        if kind is not None:
            found.append((str(layer.get("Name", "unnamed")), kind))
    return found


def find_library() -> TensorRtLibrary:
    """TensorRT if it is installed, loads and is recent enough, else TensorRT for RTX.

    Raises:
        EngineError: neither is there, or none loads or is recent enough.
    """
    problems = []
    for backend, module in _MODULES.items():
        if find_spec(module) is None:
            continue
        try:
            library = TensorRtLibrary(backend, import_module(module))
        except (ImportError, OSError, RuntimeError) as error:
            problems.append(f"{_TITLES[backend]} does not load ({one_line(error)})")
            continue
        if backend == "tensorrt" and int(library.version.partition(".")[0]) < _OLDEST_TENSORRT:
            problems.append(f"{library.title} is older than {_OLDEST_TENSORRT}")
            continue
        return library
    raise EngineError(
        f"{' and '.join(problems) or 'Neither TensorRT nor TensorRT for RTX is installed'};"
        " install one as docs/deploy.md says, or use another backend."
    )


def _planes(network: Any) -> Iterator[Any]:
    yield from (network.get_input(index) for index in range(network.num_inputs))
    yield from (network.get_output(index) for index in range(network.num_outputs))


def _stoppable(build: Callable[[BuildTicket], _T], ticket: BuildTicket) -> _T:
    """Run a build of minutes in a thread, and wait for it where Ctrl-C is heard.

    The library calls back into Python from its build (log, progress) and swallows what is raised there, the
    KeyboardInterrupt of a main thread included. Where a process handles Ctrl-C itself, its handler stops the ticket.

    Args:
        build: gives up soon after the ticket was stopped.
    """
    outcome = Future[_T]()
    in_context = in_this_context(build)

    def work() -> None:
        try:
            outcome.set_result(in_context(ticket))
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=work, name="plan build")
    thread.start()
    try:
        return outcome.result()
    except KeyboardInterrupt:
        ticket.stop()
        thread.join()
        raise


def _progress_monitor(api: ModuleType, ticket: BuildTicket) -> Any:
    """A progress monitor that tells the ticket the phases, and stops the build once it is unwanted."""

    class Monitor(api.IProgressMonitor):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            api.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            ticket.enter(phase_name)

        def phase_finish(self, phase_name: str) -> None: ...

        def step_complete(self, phase_name: str, step: int) -> bool:
            return not ticket.stopped

    return Monitor()


def _error_log(api: ModuleType) -> Any:
    """A logger that keeps the library's last error for our own sentence, instead of printing everything."""

    class ErrorLog(api.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            api.ILogger.__init__(self)
            self.last = ""

        def log(self, severity: Any, message: str) -> None:
            if severity in (api.ILogger.Severity.ERROR, api.ILogger.Severity.INTERNAL_ERROR):
                self.last = one_line(message)

    return ErrorLog()
