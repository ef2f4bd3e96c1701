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

"""The coarse search: every rotation and scale, and by FFT every shift, of thermal over RGB in small pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from refinefuse_ros.alignment.models import apply, bases, corners_of, resizing
from refinefuse_ros.alignment.structure import resized, structure_of

# Longer side of the RGB picture that is searched.
_SIDE_PX: Final = 160
_CHANNELS: Final = 3  # of order 0 and 2: at this size edges are broad
_ROTATIONS_DEG: Final = (-12.0, -9.0, -6.0, -3.0, 0.0, 3.0, 6.0, 9.0, 12.0)
# Of the thermal image's width as it lies in RGB, in widths (or heights, where that is more) of the RGB image.
_SMALLEST, _LARGEST, _STEP = 0.44, 1.36, 1.06
# How far the centres may lie apart, in parts of the RGB image's side.
_FARTHEST: Final = 0.3
# Thermal and RGB must share this part of the smaller of the two.
_LEAST_OVERLAP: Final = 0.5
# Two candidates are the same where their corners lie nearer, in parts of the RGB image's width.
_SAME: Final = 0.04


@dataclass(frozen=True)
class Candidate:
    """A place for thermal in the RGB image.

    Attributes:
        matrix: 3x3, thermal pixel to pixel of the RGB picture that was given.
        base: of `bases`, from which it was turned, scaled and shifted.
        score: how far the likeness stands out of chance, in standard deviations of unlike pictures.
    """

    matrix: np.ndarray
    base: np.ndarray
    score: float


def search(thermal: Sequence[np.ndarray], rgb: Sequence[np.ndarray], count: int) -> list[Candidate]:
    """The best places of thermal in RGB, best first.

    Args:
        thermal, rgb: pictures of the same moments, (H, W) float32, each camera's of one size.
        count: most places that are returned.
    """
    size = rgb[0].shape[1::-1]
    small = _SIDE_PX / max(size)
    to_small = resizing(small, small)
    from_small = np.linalg.inv(to_small)
    reduced = [resized(plane, small) for plane in rgb]
    board = _Board(reduced)
    thermal_size = thermal[0].shape[1::-1]
    start = bases(thermal_size, size)
    scales = np.geomspace(_SMALLEST, _LARGEST, round(math.log(_LARGEST / _SMALLEST, _STEP)) + 1)
    tried = [(_about(size, angle, scale), base) for base in start for scale in scales for angle in _ROTATIONS_DEG]
    # The warped picture is small: thermal is brought near that size once, so that warping does not alias.
    shrink = min(1.0, 1.5 * small * size[0] / thermal_size[0])
    shrunk = [resized(plane, shrink) for plane in thermal]
    back = np.linalg.inv(resizing(shrink, shrink))

    def place(change: np.ndarray, base: np.ndarray) -> list[Candidate]:
        matrix = to_small @ change @ base
        return [
            Candidate(from_small @ _shift(dx, dy) @ matrix, base, score)
            for dx, dy, score in board.peaks(shrunk, matrix @ back)
        ]

    with ThreadPoolExecutor(2) as pool:
        found = [candidate for peaks in pool.map(place, *zip(*tried, strict=True)) for candidate in peaks]
    return _distinct(found, corners_of(*thermal_size), _SAME * size[0], count)


def _about(size: tuple[int, int], angle_deg: float, scale: float) -> np.ndarray:
    """3x3: turned and scaled about the centre of an image."""
    centre = (size[0] - 1) / 2, (size[1] - 1) / 2
    return np.vstack([cv2.getRotationMatrix2D(centre, angle_deg, scale), (0, 0, 1)])


def _shift(dx: float, dy: float) -> np.ndarray:
    return np.array([(1, 0, dx), (0, 1, dy), (0, 0, 1)], float)


def _distinct(found: list[Candidate], corners: np.ndarray, apart_px: float, count: int) -> list[Candidate]:
    kept: list[tuple[np.ndarray, Candidate]] = []
    for candidate in sorted(found, key=lambda candidate: -candidate.score):
        placed = apply(candidate.matrix, corners)
        if all(np.linalg.norm(placed - other, axis=1).mean() > apart_px for other, _ in kept):
            kept.append((placed, candidate))
            if len(kept) == count:
                break
    return [candidate for _, candidate in kept]


class _Board:
    """The RGB pictures' spectra, over which thermal is moved."""

    def __init__(self, pictures: Sequence[np.ndarray]) -> None:
        height, width = pictures[0].shape
        self._reach = round(_FARTHEST * width), round(_FARTHEST * height)
        # Thermal may be larger than RGB; what lies beyond the margin is cut off.
        self._margin = round(0.2 * width), round(0.2 * height)
        self._canvas = height + 2 * self._margin[1], width + 2 * self._margin[0]
        # Large enough that what lies within reach is not met from around the edge.
        self._shape = (
            cv2.getOptimalDFTSize(max(height + self._margin[1] + self._reach[1] + 1, self._canvas[0])),
            cv2.getOptimalDFTSize(max(width + self._margin[0] + self._reach[0] + 1, self._canvas[1])),
        )
        channels = [structure_of(picture)[..., :_CHANNELS] for picture in pictures]
        mask = np.ones((height, width), np.float32)
        self._structure = [self._transform(each) for each in channels]
        self._energy = self._transform(sum(np.einsum("hwc,hwc->hw", each, each) for each in channels))
        self._mask = self._transform(mask)
        self._area = float(mask.size)

    def peaks(self, thermal: Sequence[np.ndarray], matrix: np.ndarray) -> list[tuple[float, float, float]]:
        """The two best shifts of thermal that `matrix` brings here: dx, dy and the score of each."""
        canvas = self._canvas[::-1]
        moved = _shift(*self._margin) @ matrix
        full = cv2.warpPerspective(np.ones(thermal[0].shape, np.uint8), moved, canvas)
        mask = cv2.erode(full, np.ones((5, 5), np.uint8)).astype(np.float32)
        product: np.ndarray | float = 0.0
        energy = np.zeros(self._canvas, np.float32)
        for picture, spectrum in zip(thermal, self._structure, strict=True):
            warped = cv2.warpPerspective(
                picture, moved, canvas, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            channels = structure_of(warped, mask=mask)[..., :_CHANNELS]
            energy += np.einsum("hwc,hwc->hw", channels, channels)
            product = product + (np.conj(self._transform(channels)) * spectrum).sum(axis=0)
        seen = np.conj(self._transform(mask))
        alike, energy_rgb, energy_thermal, overlap = (
            self._around(spectrum)
            for spectrum in (
                product,
                seen * self._energy,
                np.conj(self._transform(energy)) * self._mask,
                seen * self._mask,
            )
        )
        enough = overlap > _LEAST_OVERLAP * min(self._area, float(mask.sum()))
        power = np.maximum(energy_rgb * energy_thermal, 1e-6)
        score = np.where(enough, alike * np.sqrt(np.maximum(overlap, 1) / power), 0.0)
        return [peak for peak in (self._take(score), self._take(score)) if peak[2] > 0]

    def _transform(self, planes: np.ndarray) -> np.ndarray:
        return np.fft.rfft2(np.moveaxis(planes, -1, 0) if planes.ndim == 3 else planes, self._shape)

    def _around(self, spectrum: np.ndarray) -> np.ndarray:
        """The correlation at all shifts within reach, the one of no shift in the middle."""
        whole = np.fft.irfft2(spectrum, self._shape)
        (dx, dy), (mx, my) = self._reach, self._margin
        rows, columns = np.arange(-dy - my, dy - my + 1), np.arange(-dx - mx, dx - mx + 1)
        return whole[np.ix_(rows, columns)]

    def _take(self, score: np.ndarray) -> tuple[float, float, float]:
        """The best shift, around which the score is then taken away."""
        row, column = np.unravel_index(int(score.argmax()), score.shape)
        best = float(score[row, column])
        score[max(row - 4, 0) : row + 5, max(column - 4, 0) : column + 5] = 0
        return float(column - self._reach[0]), float(row - self._reach[1]), best
