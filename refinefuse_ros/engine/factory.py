# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The one place that chooses a backend and builds its engine. Backends are imported only when they are tried."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec

from refinefuse_ros.engine.artifacts import ModelFiles, find_model
from refinefuse_ros.engine.base import MINIMUM_SIDE_PX, Engine, EngineError
from refinefuse_ros.image.frame import ImageSize


@dataclass(frozen=True)
class Backend:
    """How to import a backend, and which distribution brings it."""

    module: str
    engine_class: str
    requires: str


BACKENDS = {
    "openvino": Backend("refinefuse_ros.engine.openvino", "OpenVinoEngine", "openvino"),
    "torch": Backend("refinefuse_ros.engine.torch", "TorchEngine", "torch"),
}
"""In the order in which `auto` tries them."""

PRECISIONS = ("auto", "fp32", "fp16", "bf16")


@dataclass(frozen=True)
class EngineRequest:
    """What somebody wants to run: a model name or path, and "auto" or a choice for the rest."""

    model: str = "nano"
    backend: str = "auto"
    precision: str = "auto"
    device: str = "auto"


def installed_backends() -> list[str]:
    """The backends whose library is installed, best first; nothing is imported."""
    return [name for name, backend in BACKENDS.items() if find_spec(backend.requires) is not None]


def create_engine(request: EngineRequest, size: ImageSize, exclude: Collection[str] = ()) -> Engine:
    """Build and warm up the engine that `request` asks for.

    Args:
        request: what to run; `backend="auto"` takes the first of `BACKENDS` that can be built.
        size: of the images; one engine serves one size.
        exclude: backends not to use, because they failed before.

    Returns:
        A warm engine whose `info.reason` says why it was chosen.

    Raises:
        EngineError: no backend can run the model; the sentence says what each one lacks.
    """
    if min(size.width, size.height) < MINIMUM_SIDE_PX:
        raise EngineError(f"Images of {size} are too small; RefineFuse needs at least {MINIMUM_SIDE_PX} pixels a side.")
    if request.backend not in ("auto", *BACKENDS):
        raise EngineError(f"There is no backend '{request.backend}'; use auto, {', '.join(BACKENDS)}.")
    files = find_model(request.model)
    chosen = list(BACKENDS) if request.backend == "auto" else [request.backend]
    passed_over = [f"{name} failed before" for name in chosen if name in exclude]
    for name in chosen:
        if name in exclude:
            continue
        try:
            engine = _build(name, files, size, request)
        except EngineError as error:
            if request.backend != "auto":
                raise
            passed_over.append(f"{name}: {error}")
            continue
        asked = "asked for" if request.backend != "auto" else "first usable backend"
        reason = f"{asked}{'; passed over ' + '; '.join(passed_over) if passed_over else ''}"
        engine.info = replace(engine.info, reason=reason)
        return engine
    raise EngineError(f"No backend can run the model '{request.model}': {'; '.join(passed_over)}.")


def _build(name: str, files: ModelFiles, size: ImageSize, request: EngineRequest) -> Engine:
    backend = BACKENDS[name]
    if find_spec(backend.requires) is None:
        raise EngineError(
            f"The package {backend.requires} is not installed; install it with pip, or use another backend."
        )
    engine_class = getattr(import_module(backend.module), backend.engine_class)
    engine: Engine = engine_class(files, size, request.precision, request.device)
    engine.warm_up()
    return engine
