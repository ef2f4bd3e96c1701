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

"""Fusion by a Laplacian pyramid: the classical baseline that the network is compared with, and the last resort.

Burt and Adelson, "The Laplacian Pyramid as a Compact Image Code", IEEE Trans. Communications 31(4), 1983, give the
pyramid: G_0 is the image, G_(k+1) = REDUCE(G_k) with the 5x5 binomial kernel, and the details are
L_k = G_k - EXPAND(G_(k+1)). Toet, "Image fusion by a ratio of low-pass pyramid", Pattern Recognition Letters 9, 1989,
gives the rule for fusing two of them: of each coefficient take the one with the larger magnitude; the coarsest level
is averaged here, so that neither camera sets the brightness alone. The fused image is the sum of the fused levels,
F_k = L_k + EXPAND(F_(k+1)), rounded and clipped.
"""

from __future__ import annotations

import platform

import cv2
import numpy as np

from refinefuse_ros.engine.artifacts import ModelFiles
from refinefuse_ros.engine.base import Engine, EngineError, EngineInfo
from refinefuse_ros.image.frame import ImageSize

# Four levels of detail: at 640x480 the averaged level has 40x30 pixels.
_DETAIL_LEVELS = 4


class LaplacianEngine(Engine):
    """Laplacian-pyramid fusion in float32 on the CPU. It needs no model and takes any size without padding.

    Args:
        files: not used; every engine is built with the same arguments.
        size: of the images.
        precision: "auto" or "fp32".
        device: "auto" or "cpu".

    Raises:
        EngineError: the precision or the device is not to be had.
    """

    def __init__(
        self, files: ModelFiles | None, size: ImageSize, precision: str = "auto", device: str = "auto"
    ) -> None:
        if precision not in ("auto", "fp32"):
            raise EngineError(f"The Laplacian pyramid runs fp32, not '{precision}'; use precision auto or fp32.")
        if device.lower() not in ("auto", "cpu"):
            raise EngineError(f"The Laplacian pyramid runs on the CPU, not on '{device}'; use device auto or cpu.")
        info = EngineInfo("laplacian", f"CPU ({platform.machine()})", "fp32", "laplacian", "", size)
        super().__init__(info, size_multiple=1)

    def _run(self, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
        thermal_level, visible_level = thermal.astype(np.float32), visible.astype(np.float32)
        details = []
        for _ in range(_DETAIL_LEVELS):
            thermal_detail, thermal_level = _split(thermal_level)
            visible_detail, visible_level = _split(visible_level)
            details.append(_stronger(thermal_detail, visible_detail))
        fused = cv2.addWeighted(thermal_level, 0.5, visible_level, 0.5, 0)
        for detail in reversed(details[1:]):
            fused = cv2.add(detail, _expand(fused, like=detail))
        return cv2.add(details[0], _expand(fused, like=details[0]), dtype=cv2.CV_8U)  # rounds and saturates

    def close(self) -> None:
        """Nothing is held."""


def _split(level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """L_k and G_(k+1) of G_k, each float32."""
    reduced = cv2.pyrDown(level)
    return cv2.subtract(level, _expand(reduced, like=level)), reduced


def _expand(level: np.ndarray, like: np.ndarray) -> np.ndarray:
    height, width = like.shape
    return cv2.pyrUp(level, dstsize=(width, height))


def _stronger(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Of each pair of coefficients the one with the larger magnitude."""
    # Of the larger and the smaller value, the larger has the larger magnitude exactly where their sum is not negative:
    # twice as fast as choosing by magnitudes in NumPy.
    larger, smaller = cv2.max(first, second), cv2.min(first, second)
    return cv2.copyTo(larger, (larger + smaller >= 0).view(np.uint8), smaller)
