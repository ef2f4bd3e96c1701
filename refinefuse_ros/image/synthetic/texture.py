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

"""Seamless noise for the synthetic scene: what makes asphalt, leaves and smoke look like more than flat colour."""

from __future__ import annotations

import cv2
import numpy as np


def fractal_noise(rng: np.random.Generator, side: int, exponent: float) -> np.ndarray:
    """Return a float32 (side, side) tile with mean 0 and standard deviation 1 that repeats without a seam.

    Its amplitude spectrum falls as frequency^-exponent: 0 is white, about 1 is stone, about 2 is cloud. It has no
    seam because it is the inverse Fourier transform of a random spectrum.
    """
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    frequency[0, 0] = np.inf
    phase = rng.uniform(0.0, 2 * np.pi, frequency.shape)
    tile = np.fft.irfft2(frequency**-exponent * np.exp(1j * phase), (side, side))
    return ((tile - tile.mean()) / tile.std()).astype(np.float32)


def sample_wrapped(tile: np.ndarray, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return the seamless `tile` at float positions in tile pixels, of any range; they broadcast. Bilinear, float32."""
    wrapped = (np.mod(position, tile.shape[0]).astype(np.float32) for position in np.broadcast_arrays(column, row))
    return cv2.remap(tile, *wrapped, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
