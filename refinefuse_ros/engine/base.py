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

"""The one interface behind which every backend runs: two 8-bit planes in, one 8-bit plane out, at a fixed size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from refinefuse_ros.errors import UserError
from refinefuse_ros.image.frame import ImageSize

if TYPE_CHECKING:
    from refinefuse_ros.engine.artifacts import ModelFiles

MINIMUM_SIDE_PX = 32


class EngineError(UserError):
    """An engine cannot be built or cannot run; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class EngineInfo:
    """What runs: shown in /diagnostics and in every report.

    Attributes:
        backend: as in `factory.BACKENDS`.
        device: the device's full name as the backend gives it.
        precision: of the network's convolutions as BUILT, not as asked for: "fp32", "fp16", "bf16" or "int8" (some of
            a quantised network's stay in floating point).
        model: the model's name ("nano") or the stem of its file.
        artifact_sha256: hash of the file that was loaded (of an OpenVINO IR: of both its files).
        size: the image size that the engine was built for.
        reason: why this backend was chosen, one sentence; and where there is no proof, why.
        proof_mean_difference: how far its picture of the built-in scene is from the reference on average, in grey
            levels (`proof.py`); None where nothing was proven.
    """

    backend: str
    device: str
    precision: str
    model: str
    artifact_sha256: str
    size: ImageSize
    reason: str = ""
    proof_mean_difference: float | None = None

    def to_dict(self) -> dict[str, str]:
        return {
            "backend": self.backend,
            "device": self.device,
            "precision": self.precision,
            "model": self.model,
            "artifact_sha256": self.artifact_sha256,
            "size": str(self.size),
            "reason": self.reason,
            "proof_mean_difference": "" if self.proof_mean_difference is None else f"{self.proof_mean_difference:.4f}",
        }


def check_size(size: ImageSize) -> None:
    """Refuse images that are too small for the network.

    Raises:
        EngineError: a side is under `MINIMUM_SIDE_PX`.
    """
    if min(size) < MINIMUM_SIDE_PX:
        raise EngineError(f"Images of {size} are too small; RefineFuse needs at least {MINIMUM_SIDE_PX} pixels a side.")


def padded_shape(size: ImageSize, size_multiple: int) -> tuple[int, int]:
    """(H, W) of the planes that a graph takes for images of a size: each side rounded up to the graph's multiple."""
    height, width = (side + -side % size_multiple for side in (size.height, size.width))
    return height, width


def padded(plane: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A plane extended to (H, W) at the bottom and the right by repeating its edge."""
    bottom, right = (wanted - side for wanted, side in zip(shape, plane.shape, strict=True))
    return np.pad(plane, ((0, bottom), (0, right)), mode="edge")


def check_precision(backend: str, graph: str, precision: str, available: Sequence[str]) -> None:
    """Refuse a precision in which a backend cannot run a graph; "auto" always passes.

    Raises:
        EngineError: `precision` is not among those available.
    """
    if precision in ("auto", *available):
        return
    how = "; 'refinefuse export --format onnx --precision int8' makes a graph for it" if precision == "int8" else ""
    raise EngineError(
        f"{backend} cannot run precision '{precision}' from {graph}; use auto, {', '.join(available)}{how}."
    )


class Engine(ABC):
    """A compiled RefineFuse for one image size.

    Planes cross this interface as uint8 because that is what cameras, normalisation and the fused image have: the
    scaling to [0, 1], the clipping and the rounding are part of the graph, where they cost nothing.

    Padding is handled here: the graph only takes sides that are multiples of `size_multiple`, so planes are extended
    at the bottom and the right by repeating their edge, and the result is cropped back.

    Not thread-safe: one worker owns an engine.
    """

    def __init__(self, info: EngineInfo, size_multiple: int) -> None:
        self.info = info
        self._padded_shape = padded_shape(info.size, size_multiple)
        self._needs_padding = self._padded_shape != (info.size.height, info.size.width)

    @classmethod
    def automatic_precisions(cls, files: ModelFiles, device: str) -> Sequence[str]:
        """What "auto" is for a model on a device, best first: a precision that does not work is followed by the next.

        Raises:
            EngineError: the model has not what this engine runs.
        """
        return ("auto",)

    def proven(self, mean_difference: float | None, why_not: str = "") -> None:
        """Take note of the proof: its mean difference in grey levels, or why there is none."""
        reason = "; ".join(filter(None, (self.info.reason, f"not proven, since {why_not}" if why_not else "")))
        self.info = replace(self.info, reason=reason, proof_mean_difference=mean_difference)

    @property
    def size(self) -> ImageSize:
        return self.info.size

    def fuse(self, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
        """Fuse one pair.

        Args:
            thermal: (H, W) uint8, the normalised thermal plane, aligned with `visible`.
            visible: (H, W) uint8, the luma of the visible image.

        Returns:
            (H, W) uint8, the fused luma. It may be a view of the engine's own output buffer: valid until the next call.

        Raises:
            EngineError: the planes have another size or type than the engine was built for, or the backend failed.
        """
        for name, plane in (("thermal", thermal), ("visible", visible)):
            if plane.shape != (self.size.height, self.size.width) or plane.dtype != np.uint8:
                raise EngineError(
                    f"The {name} plane is {plane.dtype} {plane.shape} but this engine was built for uint8"
                    f" ({self.size.height}, {self.size.width}); build an engine for that size."
                )
        fused = self._run(self._pad(thermal), self._pad(visible))
        return fused[: self.size.height, : self.size.width]

    def warm_up(self, frames: int = 3) -> None:
        """Run `frames` grey pairs, so that the first real one does not pay for lazy initialisation."""
        grey = np.full((self.size.height, self.size.width), 128, np.uint8)
        for _ in range(frames):
            self.fuse(grey, grey)

    def _pad(self, plane: np.ndarray) -> np.ndarray:
        if not self._needs_padding:  # an 8-bit grey message is a read-only view, which OpenVINO cannot share
            return np.require(plane, requirements="CW")
        return padded(plane, self._padded_shape)

    @abstractmethod
    def _run(self, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
        """Run the graph on two contiguous, writeable, padded (H, W) uint8 planes; returns such a plane."""

    @abstractmethod
    def close(self) -> None:
        """Release the device's memory. The engine cannot be used afterwards."""
