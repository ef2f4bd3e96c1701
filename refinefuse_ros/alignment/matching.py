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

"""Where the blocks of a placed thermal picture lie in RGB, by their structure, to a part of a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from refinefuse_ros.alignment.models import apply
from refinefuse_ros.alignment.structure import resized, structure_of

# A block is matched only where so much of it is seen by thermal, and structure has this mean square.
_LEAST_SEEN: Final = 0.95
_LEAST_ENERGY: Final = 0.05
# How far a block's likeness at its best place must stand above that of the next peak.
_LEAST_LEAD: Final = 0.01
_PEAK_PX: Final = 3
_LEAST_INFORMATION: Final = 0.02
_BLUR_PX: Final = 0.3
# Sigma of the blur under the gradient, in thermal pixels: more of it hides fine edges that both still share.
_RESOLVED: Final = 0.2


@dataclass(frozen=True)
class Matches:
    """Blocks that were found; N of them.

    Attributes:
        thermal: (N, 2) their centres, pixels of the thermal picture.
        rgb: (N, 2) where they lie in the RGB picture.
        halves: (2, N, 2) the same by the even and by the odd frames alone.
        information: (N, 2, 2) inverse covariance of the place, by how the likeness falls off around it: along an edge
            it hardly does. In parts of what is common among the blocks, and at most 1.
        tried: how many blocks had structure to be matched.
    """

    thermal: np.ndarray
    rgb: np.ndarray
    halves: np.ndarray
    information: np.ndarray
    tried: int


class Pictures:
    """Thermal and RGB pictures of the same moments at one scale of the RGB ones.

    Args:
        thermal: (H, W) float32, 0 to 255, all of one size; as they are, however small `scale` is.
        rgb: likewise, of one size.
        scale: of the RGB pictures; at most 1.
        seen: (H, W) uint8, 1 where thermal pictures show something; None is everywhere.
    """

    def __init__(
        self,
        thermal: Sequence[np.ndarray],
        rgb: Sequence[np.ndarray],
        scale: float,
        seen: np.ndarray | None = None,
    ) -> None:
        self._thermal = thermal
        self._seen = np.ones(thermal[0].shape, np.uint8) if seen is None else seen
        self.scale = scale
        if scale < 1:
            rgb = [resized(plane, scale) for plane in rgb]
        self._rgb = rgb
        self._blurred: dict[float, list[np.ndarray]] = {}

    @property
    def size(self) -> tuple[int, int]:
        return self._rgb[0].shape[1::-1]

    def structures(self, matrix: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
        """Of thermal, placed by `matrix` (thermal pixel to pixel of these RGB pictures), and of RGB; and the mask."""
        width, height = self.size
        growth = _growth(matrix, self._thermal[0].shape[1::-1])
        seen = cv2.warpPerspective(self._seen, matrix, (width, height))
        mask = cv2.erode(seen, np.ones((7, 7), np.uint8), borderType=cv2.BORDER_REPLICATE).astype(np.float32)
        # Far finer edges than thermal resolves are not looked at in RGB either.
        blur_px = max(_BLUR_PX, _RESOLVED * growth)
        pool = ThreadPoolExecutor(2)

        def placed(picture: np.ndarray) -> np.ndarray:
            if growth < 0.75:
                picture = cv2.GaussianBlur(picture, (0, 0), 0.5 / growth)
            warped = cv2.warpPerspective(
                picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            return structure_of(warped, max(_BLUR_PX, 0.5 * blur_px), mask)

        with pool:
            thermal = list(pool.map(placed, self._thermal))
            key = round(blur_px, 1)
            if key not in self._blurred:
                self._blurred[key] = list(pool.map(lambda plane: structure_of(plane, key), self._rgb))
        return thermal, self._blurred[key], mask

    def match(self, matrix: np.ndarray, block_px: int, step_px: int, reach_px: int) -> Matches:
        """Match blocks of thermal, placed by `matrix`, within `reach_px` of where it puts them."""
        thermal, rgb, mask = self.structures(matrix)
        halves = [(np.dstack(thermal[i::2]), np.dstack(rgb[i::2])) for i in (0, 1) if thermal[i::2]]
        energies = [np.einsum("hwc,hwc->hw", of_rgb, of_rgb) for _, of_rgb in halves]
        width, height = self.size
        corners = [
            (x, y)
            for y in range(0, height - block_px + 1, step_px)
            for x in range(0, width - block_px + 1, step_px)
            if mask[y : y + block_px, x : x + block_px].mean() >= _LEAST_SEEN
        ]

        def find(corner: tuple[int, int]) -> tuple[bool, np.ndarray | None]:
            x, y = corner
            block = slice(y, y + block_px), slice(x, x + block_px)
            left, top = max(x - reach_px, 0), max(y - reach_px, 0)
            window = slice(top, y + block_px + reach_px), slice(left, x + block_px + reach_px)
            scores, norms = [], []
            for (of_thermal, of_rgb), energy in zip(halves, energies, strict=True):
                template = of_thermal[block]
                own = float(np.einsum("hwc,hwc->", template, template))
                scores.append(_correlate(of_rgb[window], template))
                norms.append((own, _box(energy[window], block_px)))
            own = sum(norm[0] for norm in norms)
            if own < _LEAST_ENERGY * len(thermal) * block_px**2:
                return False, None
            total = sum(scores) / np.sqrt(own * np.maximum(sum(norm[1] for norm in norms), 1e-6))
            peak = _peak(total)
            if peak is None:
                return True, None
            each = [
                _peak(score / np.sqrt(norm[0] * np.maximum(norm[1], 1e-6)), around=peak[:2]) or peak
                for score, norm in zip(scores, norms, strict=True)
            ]
            each = (each * 2)[:2]  # of a single frame both halves are the same
            half = (block_px - 1) / 2
            origin = np.array((left + half, top + half))
            places = [origin + place[:2] for place in (peak, *each)]
            return True, np.concatenate([(x + half, y + half), *places, _falling_off(total, peak).ravel()])

        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(find, corners))
        tried = sum(had_structure for had_structure, _ in outcomes)
        rows = np.array([row for _, row in outcomes if row is not None]).reshape(-1, 12)
        return Matches(
            thermal=apply(np.linalg.inv(matrix), rows[:, :2]),
            rgb=rows[:, 2:4],
            halves=np.stack([rows[:, 4:6], rows[:, 6:8]]),
            information=_in_common_parts(rows[:, 8:].reshape(-1, 2, 2)),
            tried=tried,
        )


def _growth(matrix: np.ndarray, size: tuple[int, int]) -> float:
    """How many pixels of the target a pixel of the source becomes, about."""
    centre = np.array([(size[0] / 2, size[1] / 2)])
    step = apply(matrix, centre + np.array([(0, 0), (1, 0), (0, 1)]))
    return float(np.sqrt(abs(np.linalg.det(step[1:] - step[0]))))


def _correlate(window: np.ndarray, template: np.ndarray) -> np.ndarray:
    return cv2.matchTemplate(np.ascontiguousarray(window), np.ascontiguousarray(template), cv2.TM_CCORR)


def _box(plane: np.ndarray, side: int) -> np.ndarray:
    """The sum over each square of `side` that lies whole within the plane."""
    total = cv2.integral(plane)
    return total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]


def _peak(score: np.ndarray, around: tuple[float, float] | None = None) -> tuple[float, float, float] | None:
    """The highest place: x, y and its value; None where it lies on the border or another is nearly as high.

    With `around`, the highest within 3 px of there, however high others are.
    """
    if around is None:
        row, column = np.unravel_index(int(score.argmax()), score.shape)
    else:
        left, top = (max(round(place) - _PEAK_PX, 0) for place in around)
        near = score[top : top + 2 * _PEAK_PX + 1, left : left + 2 * _PEAK_PX + 1]
        row, column = np.unravel_index(int(near.argmax()), near.shape)
        row, column = row + top, column + left
    if not (0 < row < score.shape[0] - 1 and 0 < column < score.shape[1] - 1):
        return None
    best = float(score[row, column])
    if around is None:
        others = score.copy()
        others[max(row - _PEAK_PX, 0) : row + _PEAK_PX + 1, max(column - _PEAK_PX, 0) : column + _PEAK_PX + 1] = -1
        peaks = others[(others >= cv2.dilate(score, np.ones((3, 3), np.uint8))) & (others > 0)]
        if best <= 0 or (peaks.size and best - float(peaks.max()) < _LEAST_LEAD):
            return None
    near = score[row - 1 : row + 2, column - 1 : column + 2].astype(float)
    return column + _vertex(near[1]), row + _vertex(near[:, 1]), best


def _vertex(values: np.ndarray) -> float:
    """Where the parabola through three neighbours is highest, from the middle one."""
    bend = values[0] - 2 * values[1] + values[2]
    return float(0.5 * (values[0] - values[2]) / bend) if bend < 0 else 0.0


def _falling_off(score: np.ndarray, peak: tuple[float, float, float]) -> np.ndarray:
    """The negative second derivatives of the score around its peak, (2, 2), by a parabola through 5x5 places."""
    column, row = (min(max(round(place), 2), side - 3) for place, side in zip(peak[:2], score.shape[::-1], strict=True))
    near = score[row - 2 : row + 3, column - 2 : column + 3].astype(float).ravel()
    xx, yy, xy = _PARABOLA @ near
    return -np.array([(2 * xx, xy), (xy, 2 * yy)])


def _in_common_parts(curvatures: np.ndarray) -> np.ndarray:
    if not len(curvatures):
        return curvatures
    values, vectors = np.linalg.eigh(curvatures)
    common = float(np.median(values[:, 1]))
    values = np.clip(values / max(common, 1e-9), _LEAST_INFORMATION, 1)
    return np.einsum("nij,nj,nkj->nik", vectors, values, vectors)


def _parabola() -> np.ndarray:
    """From 5x5 values to the coefficients of xx, yy and xy of the parabola through them."""
    y, x = (grid.ravel() for grid in np.mgrid[-2:3, -2:3].astype(float))
    return np.linalg.pinv(np.column_stack([x * x, y * y, x * y, x, y, np.ones_like(x)]))[:3]


_PARABOLA: Final = _parabola()
