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

"""The one place that chooses a backend and builds its engine. Backends are imported only when they are tried."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from refinefuse_ros.engine.artifacts import ModelFiles, find_model
from refinefuse_ros.engine.base import Engine, EngineError, check_size
from refinefuse_ros.engine.building import BuildStoppedError, BuildTicket
from refinefuse_ros.engine.cache import EngineNotBuiltError
from refinefuse_ros.engine.cuda import has_gpu, load_driver
from refinefuse_ros.engine.proof import References, prove
from refinefuse_ros.errors import UserError, one_line
from refinefuse_ros.image.frame import ImageSize


@dataclass(frozen=True)
class Backend:
    """How to import a backend, and when it can be used.

    Attributes:
        module: where its engine is.
        engine_class: the engine's name there.
        requires: packages of which one must be installed.
        needs_gpu: an NVIDIA GPU; without one, `auto` does not even look at the backend.
        builds: its engines are built on this machine and kept in the cache.
        automatic: `auto` considers it.
        counts_threads: its engine can be told how many CPU threads to use.
        runs: what of a model it runs, "graph", "weights" or "nothing"; `prove` holds its engine against that.
    """

    module: str
    engine_class: str
    requires: tuple[str, ...]
    needs_gpu: bool = False
    builds: bool = False
    automatic: bool = True
    counts_threads: bool = False
    runs: str = "graph"


BACKENDS = {
    "tensorrt": Backend(
        "refinefuse_ros.engine.tensorrt",
        "TensorRtEngine",
        ("tensorrt", "tensorrt_rtx_bindings"),
        needs_gpu=True,
        builds=True,
    ),
    "torch_tensorrt": Backend(
        "refinefuse_ros.engine.torch_tensorrt",
        "TorchTensorRtEngine",
        ("torch_tensorrt",),
        needs_gpu=True,
        builds=True,
        automatic=False,
        runs="weights",
    ),
    "torch_cuda": Backend(
        "refinefuse_ros.engine.torch_cuda", "TorchCudaEngine", ("torch",), needs_gpu=True, runs="weights"
    ),
    "openvino": Backend("refinefuse_ros.engine.openvino", "OpenVinoEngine", ("openvino",), counts_threads=True),
    "torch": Backend("refinefuse_ros.engine.torch", "TorchEngine", ("torch",), runs="weights"),
    "laplacian": Backend(
        "refinefuse_ros.engine.laplacian", "LaplacianEngine", ("cv2",), automatic=False, runs="nothing"
    ),
}
"""In the order in which `auto` tries them."""

PRECISIONS = ("auto", "fp32", "fp16", "bf16", "int8")
REBUILD = ("auto", "never")
LAST_RESORT = "laplacian"
"""Not RefineFuse: what a host that runs out of backends falls back to, and never what `auto` starts with."""


@dataclass(frozen=True)
class EngineRequest:
    """What somebody wants to run: a model name or path, and "auto" or a choice for the rest.

    `rebuild` is "auto" or "never": whether a compiled engine that is missing or does not fit is built. `threads` is how
    many CPU threads the engine uses, for those that share the CPU with engines of other processes; None is all.
    """

    model: str = "nano"
    backend: str = "auto"
    precision: str = "auto"
    device: str = "auto"
    rebuild: str = "auto"
    threads: int | None = None


def create_engine(
    request: EngineRequest,
    size: ImageSize,
    exclude: Collection[str] = (),
    not_built: dict[str, str] | None = None,
    why: str = "",
    ticket: BuildTicket | None = None,
) -> Engine:
    """Build, warm up and prove (`proof.py`) the engine that `request` asks for.

    Args:
        request: what to run; `backend="auto"` takes the first of `BACKENDS` that works, and `precision="auto"` the
            first of a backend's own that does.
        size: of the images; one engine serves one size.
        exclude: backends not to use, because they failed before.
        not_built: takes the backends that were passed over because their engine has to be built first and
            `request.rebuild` forbids that; to each, why none that is cached will do.
        why: what to say of how this backend was chosen, instead of that it was asked for or is the first usable one.
        ticket: stops what is being built, and is told of it.

    Returns:
        A warm and proven engine whose `info.reason` says why it was chosen, and what was passed over.

    Raises:
        BuildStoppedError: the ticket was stopped while an engine was being built.
        EngineError: no backend can run the model; the sentence says what each one lacks.
    """
    check_size(size)
    if request.backend not in ("auto", *BACKENDS):
        raise EngineError(f"There is no backend '{request.backend}'; use auto, {', '.join(BACKENDS)}.")
    files = find_model(request.model)
    chosen = automatic_backends() if request.backend == "auto" else [request.backend]
    passed_over = [f"{name} failed before" for name in chosen if name in exclude]
    references = References(files, size)
    for name in chosen:
        if name in exclude:
            continue
        try:
            engine, refused = _build(name, files, size, request, references, ticket)
        except BuildStoppedError:
            raise
        except EngineError as error:
            if request.backend != "auto":
                raise
            passed_over.append(f"{name}: {one_line(error)}")
            if not_built is not None and isinstance(error, EngineNotBuiltError):
                not_built[name] = error.why
            continue
        passed_over += [f"{name} in {refusal}" for refusal in refused]
        chosen_as = why or ("asked for" if request.backend != "auto" else "first usable backend")
        passed = f"passed over {'; '.join(passed_over)}" if passed_over else ""
        engine.info = replace(engine.info, reason="; ".join(filter(None, (chosen_as, engine.info.reason, passed))))
        return engine
    raise EngineError(f"No backend can run the model '{request.model}': {'; '.join(passed_over)}.")


def automatic_backends() -> list[str]:
    """The backends that `auto` tries on this machine, best first; nothing is imported."""
    gpu = has_gpu()
    return [name for name, backend in BACKENDS.items() if backend.automatic and (gpu or not backend.needs_gpu)]


def _build(
    name: str,
    files: ModelFiles,
    size: ImageSize,
    request: EngineRequest,
    references: References,
    ticket: BuildTicket | None,
) -> tuple[Engine, list[str]]:
    """A backend's warm and proven engine in the precision asked for, or the best of its own that works.

    Returns:
        The engine; and to each precision that does not work its name and why, as a part of a sentence.

    Raises:
        EngineError: it works in none.
    """
    engine_class = _load(name)
    precisions: Sequence[str] = (request.precision,)
    if request.precision == "auto":
        with _naming_failures(name):
            precisions = engine_class.automatic_precisions(files, request.device)
    refused: list[str] = []
    sentences: dict[str, EngineError] = {}
    for precision in precisions:
        asked = replace(request, precision=precision)
        try:
            return _start(name, engine_class, files, size, asked, references, ticket), refused
        except (EngineNotBuiltError, BuildStoppedError):
            raise
        except EngineError as error:
            refused.append(f"{precision}: {one_line(error)}")
            sentences[str(error)] = error
    if len(sentences) == 1:  # it is not for the precision's sake
        raise next(iter(sentences.values()))
    raise EngineError(f"{name} runs {files.name} in no precision: {'; '.join(refused)}.")


def _load(name: str) -> type[Engine]:
    backend = BACKENDS[name]
    if backend.needs_gpu:
        load_driver()  # says what is missing before anything heavy is imported
    if all(find_spec(package) is None for package in backend.requires):
        raise EngineError(
            f"The package {' or '.join(backend.requires)} is not installed;"
            " install it as docs/deploy.md says, or use another backend."
        )
    try:
        engine_class: type[Engine] = getattr(import_module(backend.module), backend.engine_class)
    except Exception as error:  # the package is there, something that it needs is not, or it is of another version
        raise EngineError(
            f"The backend {name} does not load ({_named(error)}); install what is missing, or use another backend."
        ) from error
    return engine_class


def _start(
    name: str,
    engine_class: type[Engine],
    files: ModelFiles,
    size: ImageSize,
    request: EngineRequest,
    references: References,
    ticket: BuildTicket | None,
) -> Engine:
    """Construct, warm up and prove.

    Raises:
        EngineError: that failed, by whatever a library raises.
    """
    backend = BACKENDS[name]
    options: dict[str, Any] = {"rebuild": request.rebuild, "ticket": ticket} if backend.builds else {}
    if backend.counts_threads:
        options["threads"] = request.threads
    with _naming_failures(name):
        engine = engine_class(files, size, request.precision, request.device, **options)
        try:
            engine.warm_up()
            prove(engine, backend.runs, references)
        except BaseException:
            engine.close()
            raise
    return engine


@contextmanager
def _naming_failures(name: str) -> Iterator[None]:
    """Has whatever a backend's library raises in the block pass `auto` over that backend.

    Raises:
        EngineError: instead.
    """
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise EngineError(f"The backend {name} cannot read the model ({one_line(error)}); check its files.") from error
    except Exception as error:
        raise EngineError(
            f"The backend {name} does not start ({_named(error)}); install another version of its library, or use"
            " another backend."
        ) from error


def _named(error: Exception) -> str:
    """What an error says, with its kind where that alone does not tell what it is about."""
    said = one_line(error)
    if said and isinstance(error, (ImportError, OSError)):
        return said
    return ": ".join(filter(None, (type(error).__name__, said)))
