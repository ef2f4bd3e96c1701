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
from typing import Final, NamedTuple

import cv2
import numpy as np

from refinefuse_ros.alignment.models import apply
from refinefuse_ros.alignment.structure import FLOOR, resized, structure_of

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
        information: (N, 2, 2) inverse covariance of the place, by how the likeness falls off around it: along an edge
            it hardly does. In parts of what is common among the blocks, and at most 1.
        tried: how many blocks had structure to be matched.
    """

    thermal: np.ndarray
    rgb: np.ndarray
    information: np.ndarray
    tried: int


@dataclass(frozen=True)
class Likeness:
    """How alike blocks of thermal and RGB are around where thermal lies; N of them.

    Attributes:
        thermal: (N, 2) their centres, pixels of the thermal picture.
        rgb: (N, 2) where they lie in the RGB picture before they are moved.
        scores: (2, N, side, side) normalised correlation, at most 1, by the even and by the odd frames alone: moved
            by -reach to reach pixels down and across, so that the middle is not moved at all.
    """

    thermal: np.ndarray
    rgb: np.ndarray
    scores: np.ndarray


_Place = tuple[slice, slice]


class _Frames(NamedTuple):
    """The structure of every other frame, (H, W, channels of all frames), and how strong RGB's is, (H, W)."""

    thermal: np.ndarray
    rgb: np.ndarray
    energy: np.ndarray

    def correlate(self, block: _Place, window: _Place, side_px: int) -> tuple[np.ndarray, float, np.ndarray]:
        """The products of thermal's block with each block of RGB's window; thermal's energy, and that of each block."""
        template = self.thermal[block]
        scores = cv2.matchTemplate(self.rgb[window], np.ascontiguousarray(template), cv2.TM_CCORR)
        return scores, float(np.einsum("hwc,hwc->", template, template)), _box(self.energy[window], side_px)


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
        self._blurred: dict[tuple[float, float], list[np.ndarray]] = {}

    @property
    def size(self) -> tuple[int, int]:
        return self._rgb[0].shape[1::-1]

    def structures(
        self, matrix: np.ndarray, floor: float = FLOOR
    ) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
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
            return structure_of(warped, max(_BLUR_PX, 0.5 * blur_px), mask, floor)

        with pool:
            thermal = list(pool.map(placed, self._thermal))
            key = round(blur_px, 1), floor
            if key not in self._blurred:
                self._blurred[key] = list(pool.map(lambda plane: structure_of(plane, key[0], floor=floor), self._rgb))
        return thermal, self._blurred[key], mask

    def _blocks(
        self, matrix: np.ndarray, floor: float, block_px: int, step_px: int, margin_px: int
    ) -> tuple[list[_Frames], list[tuple[int, int]]]:
        """The even and the odd frames' structure, and the upper left corners of the blocks that thermal sees."""
        thermal, rgb, mask = self.structures(matrix, floor)
        halves = []
        for first in (0, 1):
            if thermal[first::2]:
                of_rgb = np.dstack(rgb[first::2])
                halves.append(_Frames(np.dstack(thermal[first::2]), of_rgb, np.einsum("hwc,hwc->hw", of_rgb, of_rgb)))
        width, height = self.size
        corners = [
            (x, y)
            for y in range(margin_px, height - block_px - margin_px + 1, step_px)
            for x in range(margin_px, width - block_px - margin_px + 1, step_px)
            if mask[y : y + block_px, x : x + block_px].mean() >= _LEAST_SEEN
        ]
        return halves, corners

    def _correlations(
        self, halves: Sequence[_Frames], corner: tuple[int, int], block_px: int, reach_px: int
    ) -> list[tuple[np.ndarray, float, np.ndarray]] | None:
        """`_Frames.correlate` of a block within `reach_px`, by each half; None where thermal has no structure there."""
        block, window = (_square(corner, block_px, around) for around in (0, reach_px))
        parts = [half.correlate(block, window, block_px) for half in halves]
        enough = sum(own for _, own, _ in parts) >= _LEAST_ENERGY * len(self._thermal) * block_px**2
        return parts if enough else None

    def likeness(self, matrix: np.ndarray, block_px: int, step_px: int, reach_px: int, floor: float) -> Likeness:
        """How alike the blocks of thermal, placed by `matrix`, are to RGB within `reach_px` of where it puts them."""
        halves, corners = self._blocks(matrix, floor, block_px, step_px, reach_px)

        def scores_of(corner: tuple[int, int]) -> np.ndarray | None:
            parts = self._correlations(halves, corner, block_px, reach_px)
            if parts is None:
                return None
            scores = [_normalised(*part) for part in parts]
            return np.stack((scores * 2)[:2])  # of a single frame both halves are the same

        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(scores_of, corners))
        kept = [index for index, scores in enumerate(found) if scores is not None]
        side = 2 * reach_px + 1
        centres = np.array([corners[index] for index in kept], float).reshape(-1, 2) + (block_px - 1) / 2
        scores = np.array([found[index] for index in kept]).reshape(-1, 2, side, side)
        return Likeness(apply(np.linalg.inv(matrix), centres), centres, scores.swapaxes(0, 1))

    def match(self, matrix: np.ndarray, block_px: int, step_px: int, reach_px: int) -> Matches:
        """Match blocks of thermal, placed by `matrix`, within `reach_px` of where it puts them."""
        halves, corners = self._blocks(matrix, FLOOR, block_px, step_px, 0)

        def find(corner: tuple[int, int]) -> tuple[bool, np.ndarray | None]:
            parts = self._correlations(halves, corner, block_px, reach_px)
            if parts is None:
                return False, None
            total = _normalised(*(sum(terms) for terms in zip(*parts, strict=True)))
            peak = _peak(total)
            if peak is None:
                return True, None
            centre = np.array(corner) + (block_px - 1) / 2
            found = centre + peak - np.minimum(corner, reach_px)  # the window is cut at the upper and left border
            return True, np.concatenate([centre, found, _falling_off(total, peak).ravel()])

        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(find, corners))
        tried = sum(had_structure for had_structure, _ in outcomes)
        rows = np.array([row for _, row in outcomes if row is not None]).reshape(-1, 8)
        return Matches(
            thermal=apply(np.linalg.inv(matrix), rows[:, :2]),
            rgb=rows[:, 2:4],
            information=_in_common_parts(rows[:, 4:].reshape(-1, 2, 2)),
            tried=tried,
        )


def _growth(matrix: np.ndarray, size: tuple[int, int]) -> float:
    """How many pixels of the target a pixel of the source becomes, about."""
    centre = np.array([(size[0] / 2, size[1] / 2)])
    step = apply(matrix, centre + np.array([(0, 0), (1, 0), (0, 1)]))
    return float(np.sqrt(abs(np.linalg.det(step[1:] - step[0]))))


def _square(corner: tuple[int, int], side_px: int, around_px: int) -> _Place:
    """The rows and columns of a block and of what lies around it, cut at the picture's upper and left border."""
    x, y = corner
    rows, columns = (slice(max(at - around_px, 0), at + side_px + around_px) for at in (y, x))
    return rows, columns


def _normalised(products: np.ndarray, energy: float, box: np.ndarray) -> np.ndarray:
    return products / np.sqrt(energy * np.maximum(box, 1e-6))


def _box(plane: np.ndarray, side: int) -> np.ndarray:
    """The sum over each square of `side` that lies whole within the plane."""
    total = cv2.integral(plane)
    return total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]


def _peak(score: np.ndarray) -> tuple[float, float] | None:
    """The highest place, x and y; None where it lies on the border or another is nearly as high."""
    row, column = np.unravel_index(int(score.argmax()), score.shape)
    if not (0 < row < score.shape[0] - 1 and 0 < column < score.shape[1] - 1):
        return None
    best = float(score[row, column])
    others = score.copy()
    others[max(row - _PEAK_PX, 0) : row + _PEAK_PX + 1, max(column - _PEAK_PX, 0) : column + _PEAK_PX + 1] = -1
    peaks = others[(others >= cv2.dilate(score, np.ones((3, 3), np.uint8))) & (others > 0)]
    if best <= 0 or (peaks.size and best - float(peaks.max()) < _LEAST_LEAD):
        return None
    near = score[row - 1 : row + 2, column - 1 : column + 2].astype(float)
    return column + _vertex(near[1]), row + _vertex(near[:, 1])


def _vertex(values: np.ndarray) -> float:
    """Where the parabola through three neighbours is highest, from the middle one."""
    bend = values[0] - 2 * values[1] + values[2]
    return float(0.5 * (values[0] - values[2]) / bend) if bend < 0 else 0.0


def _falling_off(score: np.ndarray, peak: tuple[float, float]) -> np.ndarray:
    """The negative second derivatives of the score around its peak, (2, 2), by a parabola through 5x5 places."""
    column, row = (min(max(round(place), 2), side - 3) for place, side in zip(peak, score.shape[::-1], strict=True))
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


def parabola(reach: int) -> np.ndarray:
    """From (2 reach + 1)^2 values, row by row, to the parabola nearest them.

    (6, (2 reach + 1)^2), to the coefficients of xx, yy, xy, x, y and 1; x and y are 0 in the middle.
    """
    y, x = (grid.ravel() for grid in np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(float))
    return np.linalg.pinv(np.column_stack([x * x, y * y, x * y, x, y, np.ones_like(x)]))


_PARABOLA: Final = parabola(2)[:3]
