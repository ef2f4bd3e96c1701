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

"""What a thermal and a visible picture of one scene have in common: where edges are, and how they lie.

A channel is the gradient's strength weighted by a harmonic of twice its angle, so that an edge counts the same whether
its warm side is the bright one or the dark one. Five of them (of order 0, 2, 2, 4 and 4) hold what nine orientations
modulo 180 degrees do, each of which takes gradients by cos^8 of their distance: the scalar product is the same.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

CHANNELS: Final = 5
# The Fourier coefficients of cos^8, as they weigh in a scalar product.
_WEIGHTS: Final = (0.45, 0.309, 0.155)
# Pixels over which gradients that lie alike are taken together: a thermal edge is seldom exactly the visible one.
_POOLING_PX: Final = 0.4
FLOOR: Final = 0.1
"""Below this part of the picture's mean strength, structure counts less the weaker it is, unless told otherwise."""
# Grey levels of 255 per pixel: what is weaker throughout is no structure but the last bit of the camera.
_LEAST_STRENGTH: Final = 0.25


def grey_of(plane: np.ndarray) -> np.ndarray:
    """A plane of any depth, (H, W), as float32 from 0 to 255 by its own range; a flat one is all zero."""
    low, high = np.percentile(plane[::4, ::4], (0.5, 99.5))
    if not high > low:
        return np.zeros(plane.shape, np.float32)
    spread = (plane.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    return np.clip(spread, 0, 255, out=spread)


def resized(picture: np.ndarray, scale: float) -> np.ndarray:
    """A picture, (H, W), made smaller by a factor of at most 1; its pixels' centres go by `models.resizing`."""
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def structure_of(
    grey: np.ndarray, blur_px: float = 1.0, mask: np.ndarray | None = None, floor: float = FLOOR
) -> np.ndarray:
    """The channels of a picture.

    Args:
        grey: (H, W) float32, 0 to 255.
        blur_px: sigma of the Gaussian under the gradient.
        mask: (H, W) float32, 1 where there is a picture and 0 elsewhere; None is everywhere.
        floor: as `FLOOR`.

    Returns:
        (H, W, 5) float32, of a length up to 1 in each pixel, and of mean 0 within the mask; 0 outside.
    """
    smooth = cv2.GaussianBlur(grey, (0, 0), blur_px)
    dx = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8)
    dy = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8)
    strength = cv2.magnitude(dx, dy)
    over = 1 / (strength + np.float32(1e-6))
    cos2, sin2 = (dx * dx - dy * dy) * over, 2 * dx * dy * over
    cos4, sin4 = (cos2 * cos2 - sin2 * sin2) * over, 2 * cos2 * sin2 * over
    zeroth, second, fourth = _WEIGHTS
    channels = cv2.merge([zeroth * strength, second * cos2, second * sin2, fourth * cos4, fourth * sin4])
    if mask is not None:
        channels *= mask[..., None]
    channels = cv2.GaussianBlur(channels, (0, 0), _POOLING_PX)
    length = np.sqrt(np.einsum("hwc,hwc->hw", channels, channels))
    seen = length[mask > 0] if mask is not None else length
    mean = float(seen.mean()) if seen.size else 0.0
    channels /= np.sqrt(length * length + max(floor * mean, _LEAST_STRENGTH * zeroth) ** 2)[..., None]
    if mask is None:
        return channels - channels.mean(axis=(0, 1))
    if seen.size:
        channels -= channels[mask > 0].mean(axis=0)
    channels *= mask[..., None]
    return channels
