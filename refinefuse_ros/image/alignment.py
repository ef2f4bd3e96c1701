# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Bringing the thermal image onto the pixel grid of the RGB image."""

from __future__ import annotations

import cv2
import numpy as np

from refinefuse_ros.image.frame import ImageSize


def fit_to(thermal: np.ndarray, size: ImageSize) -> np.ndarray:
    """Return `thermal`, HxW of uint8, uint16 or float32, stretched to the size of the RGB image.

    The whole field of view is mapped onto the whole image: right for cameras that see the same frame, an
    approximation for others. Bilinear when it grows, area average when it shrinks in either direction
    (bilinear would alias). Equal sizes return the argument itself.
    """
    own = ImageSize.of(thermal)
    if own == size:
        return thermal
    shrinks = size.width < own.width or size.height < own.height
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(thermal, (size.width, size.height), interpolation=interpolation)
