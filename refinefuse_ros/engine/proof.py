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

"""Proof at load: an engine is used only after it has shown, at its own size, that it computes the network.

It fuses a built-in scene, and its picture is held against the reference: the same graph computed by `reference.py`, in
NumPy and float32. A mean difference over 1 grey level, for int8 over 2, means that the engine is not used, whatever is
wrong: a library, a driver, a processor, a plan of another network.

Why this reference. It must not come from what is to be proven, so fp32 of OpenVINO, which is on every machine, cannot
be it: its errors would pass for the truth. torch and onnxruntime are not on a vehicle. The graph itself is what "right"
means, and there is always one: an ONNX file, or an exported IR. Its quantised tensors are rounded as it says, so a
quantised graph needs no fp32 twin, and one that was exported badly is not this check's business (`refinefuse export`
compares with torch). Engines of torch run weights: they are held against the graph that was exported from just these,
or without one against torch in fp32 on the CPU, which alone then has nothing to be held against.

Why this scene. It is whole-number arithmetic, so that it is the same everywhere. Sixteen fields hold every combination
of four brightnesses of both cameras, from black to white, under stripes and chequers whose periods are no multiple of a
stride. It shows (`tests/engine/test_proof.py`) what is scaled by 2 %, saturates, swaps its inputs, is shifted by a
pixel or holds what is no number, which a plane of 8 bits shows as black or white.

What it costs: one picture of the engine, and the reference. That is stored beside the shipped models for 640x480
(`python -m refinefuse_ros.engine.proof` makes them), and else computed once and kept in the folder of built engines.
At 640x480 the proof of a shipped model may take 0.3 s for nano and 3 s for base on two cores. Measured on two cores of
an EPYC (AVX2) with other work beside (load average 1.7), medians of OpenVINO in fp32: 0.06 and 1.0 s; computing the
reference first, once for each graph and size, 0.5 and 4.6 s (0.24 and 3.8 at best).
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from refinefuse_ros.engine.artifacts import SHIPPED_MODELS, ModelFiles, find_model
from refinefuse_ros.engine.base import Engine, EngineError, padded, padded_shape
from refinefuse_ros.engine.cache import cache_folder, make_private, not_private
from refinefuse_ros.engine.ir import ir_sha256
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.resources import sha256_of
from refinefuse_ros.writing import write_whole

ALLOWED_MEAN_DIFFERENCE, ALLOWED_MEAN_DIFFERENCE_INT8 = 1.0, 2.0
STORED_SIZE = ImageSize(640, 480)
_SCENE = "scene 1"  # another one needs other references
_DIGEST_BYTES = 32


def built_in_scene(size: ImageSize) -> tuple[np.ndarray, np.ndarray]:
    """Thermal and visible, each (H, W) uint8, the same on every machine."""
    x, y = np.arange(size.width)[None, :], np.arange(size.height)[:, None]
    levels = np.array([0, 85, 170, 255])
    stripes = np.where((x + y // 3) % 7 < 3, 40, -25)
    chequers = np.where((x // 5 + y // 9) % 2, 30, -30)
    thermal = levels[4 * x // size.width] + chequers
    visible = levels[4 * y // size.height] + stripes
    return tuple(np.clip(plane, 0, 255).astype(np.uint8) for plane in (thermal, visible))


class References:
    """The pictures of the built-in scene that a model's engines must give, made when they are first asked for."""

    def __init__(self, files: ModelFiles, size: ImageSize) -> None:
        self._files = files
        self._size = size

    @cached_property
    def of_graph(self) -> np.ndarray:
        """(H, W) uint8: stored, kept from an earlier start, or computed now.

        Raises:
            EngineError: the graph cannot be read or computed, or gives no picture.
        """
        path = self._files.ir or self._files.required_graph()
        key = f"{ir_sha256(path) if self._files.ir else sha256_of(path)} {self._size} {_SCENE}"
        kept_path = _kept_path(key)
        for candidate in (_stored_path(path, self._size), kept_path):
            with suppress(OSError):
                if candidate and (picture := _unpacked(candidate.read_bytes(), key, self._size)) is not None:
                    return picture
        picture = _compute(path, self._size)
        if kept_path:
            _keep(kept_path, _packed(picture, key))
        return picture

    @cached_property
    def of_weights(self) -> np.ndarray:
        """(H, W) uint8, by torch in fp32 on the CPU."""
        from refinefuse_ros.engine.torch import TorchEngine

        engine = TorchEngine(self._files, self._size)
        try:
            return engine.fuse(*built_in_scene(self._size)).copy()
        finally:
            engine.close()

    @property
    def graph_is_of_weights(self) -> bool:
        """Whether there is a graph that says that it was exported from the very weights."""
        graph = self._files.graph
        if graph is None:
            return False
        # a property stands in the file as it is: reading it must not need the package onnx
        return sha256_of(self._files.required_weights()).encode() in graph.read_bytes()


def prove(engine: Engine, runs: str, references: References) -> None:
    """Hold an engine against the reference; its `info` then says how near it came, or why there is no proof.

    Args:
        engine: ready to run.
        runs: what of the model it runs: "graph" (or an IR), "weights" or "nothing".
        references: of the engine's model and size.

    Raises:
        EngineError: its picture is not the network's, or there is no reference for it.
    """
    info = engine.info
    if runs == "nothing":
        return engine.proven(None, f"{info.backend} computes no network")
    if runs == "graph" or references.graph_is_of_weights:
        expected = references.of_graph
    elif info.backend == "torch" and info.device.startswith("CPU"):
        return engine.proven(None, "there is no graph of these weights to hold torch against")
    else:
        expected = references.of_weights
    found = engine.fuse(*built_in_scene(engine.size))
    mean = float(np.abs(expected.astype(np.int16) - found).mean())
    allowed = ALLOWED_MEAN_DIFFERENCE_INT8 if info.precision == "int8" else ALLOWED_MEAN_DIFFERENCE
    if mean > allowed:
        raise EngineError(
            f"{info.backend} in {info.precision} on {info.device} computes {info.model} wrongly: its picture of the"
            f" built-in scene is {mean:.2f} grey levels off on average, where {allowed:g} is allowed; use another"
            " precision or backend, or another version of its library."
        )
    return engine.proven(mean)


def store_shipped_references() -> list[Path]:
    """Compute and write what lies beside the shipped models; for whoever ships other graphs or another scene."""
    written = []
    for model in SHIPPED_MODELS:
        graph = find_model(model).required_graph()
        path = _stored_path(graph, STORED_SIZE)
        write_whole(path, _packed(_compute(graph, STORED_SIZE), f"{sha256_of(graph)} {STORED_SIZE} {_SCENE}"))
        written.append(path)
    return written


def _compute(path: Path, size: ImageSize) -> np.ndarray:
    from refinefuse_ros.engine.openvino import read_graph, size_multiple  # not where the reference is stored
    from refinefuse_ros.engine.reference import UnknownOperationError, compute

    graph = read_graph(path)
    shape = padded_shape(size, size_multiple(graph, path))
    graph.reshape({name: [1, 1, *shape] for name in ("thermal", "visible")})
    try:
        picture = compute(graph, *(padded(plane, shape) for plane in built_in_scene(size)))
    except UnknownOperationError as error:
        raise EngineError(f"No engine can be proven to compute {path}: {error}; export it again.") from error
    picture = picture[: size.height, : size.width]
    if strange := np.count_nonzero(~np.isfinite(picture)):
        raise EngineError(
            f"The model {path} gives no picture: {strange} of {picture.size} pixels are no numbers; train or export it"
            " again."
        )
    return picture.astype(np.uint8)


def _stored_path(graph: Path, size: ImageSize) -> Path:
    return graph.with_name(f"{graph.stem}_{size}.png")


def _kept_path(key: str) -> Path | None:
    """Where a reference is kept in the user's cache; None where there is no cache to trust."""
    with suppress(EngineError):
        folder = cache_folder()
        if not not_private(folder):
            return folder / f"reference-{hashlib.sha256(key.encode()).hexdigest()[:16]}.png"
    return None


def _keep(path: Path, content: bytes) -> None:
    """Write a reference to the cache, or not: without it the next start computes it again."""
    with suppress(OSError):
        make_private(path.parent)
        write_whole(path, content)


def _packed(picture: np.ndarray, key: str) -> bytes:
    """A PNG, and behind its end, where viewers do not look, what ties it to its key and shows damage."""
    done, image = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert done, "OpenCV writes any uint8 plane as PNG"
    return image.tobytes() + _digest(image.tobytes(), key)


def _unpacked(content: bytes, key: str, size: ImageSize) -> np.ndarray | None:
    """The picture; None if it is of another key or damaged."""
    image, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if digest != _digest(image, key):
        return None
    picture = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_GRAYSCALE)
    return picture if picture is not None and picture.shape == (size.height, size.width) else None


def _digest(image: bytes, key: str) -> bytes:
    return hashlib.sha256(key.encode() + image).digest()


if __name__ == "__main__":
    for stored in store_shipped_references():
        print(stored)
