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

"""Where thermal lies in the RGB image, found without a target from what both cameras see of a scene.

Coarse: `searching` names several places. Each is refined by matching blocks at half size, and the one whose blocks
agree best goes on to the full size, where all blocks are brought to be most alike together (`joint`). What is found is
refused unless the places that single blocks find for themselves hold it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from refinefuse_ros.alignment.joint import most_alike, stiffest_good
from refinefuse_ros.alignment.matching import Likeness, Matches, Pictures
from refinefuse_ros.alignment.models import apply, corner_uncertainty, corners_of, fit, resizing
from refinefuse_ros.alignment.placing import PlacedThermal
from refinefuse_ros.alignment.searching import search
from refinefuse_ros.alignment.structure import grey_of, resized
from refinefuse_ros.errors import UserError

MOST_PAIRS: Final = 12
"""So many pairs are looked at; more of them cost time and add little."""
# The RGB picture is worked on at this longer side at most.
_WORKING_SIDE_PX: Final = 640
_PAIRS_SEARCHED: Final = 4
_CANDIDATES: Final = 8
# Blocks at half size, where a candidate may be 20 px off, then at full size; in pixels of each.
_HALF_BLOCK_PX, _HALF_STEP_PX = 40, 24
_FULL_BLOCK_PX, _FULL_STEP_PX = 64, 32
# Blocks that are brought together may be smaller, at half size and at full size; their side is twice their step.
_HALF_JOINT_PX, _FULL_JOINT_PX = 32, 48
# Of all of them together faint structure tells more than its noise hides.
_JOINT_FLOOR: Final = 0.03
_TOLERANCE_PX: Final = 1.5
_FIRM: Final = 0.25
# An existing alignment is measured where it is off by at most this.
_REACH_MEASURED_PX: Final = 16
# A candidate whose blocks agree as well as this is not held against the next ones.
_CONVINCING: Final = 0.6

# What is refused; the range in grey levels.
_LEAST_RANGE: Final = 4
_LEAST_BLOCKS: Final = 16
_LEAST_SHARE: Final = 0.3
_LEAST_COVER: Final = 0.25
_MOST_UNCERTAINTY_PX: Final = 2.0
_ADVICE: Final = (
    "record a scene with edges that both cameras see all over the picture (buildings, trees, furniture, people), some"
    " metres away, without smoke, and move the rig while recording"
)


class NotFoundError(UserError):
    """The pictures do not tell how the cameras lie; the message says why, and what to record instead."""


@dataclass(frozen=True)
class Found:
    """How thermal lies in the RGB image.

    Attributes:
        matrix: 3x3, thermal pixel to RGB pixel, pixel centres at whole numbers; its last element is 1.
        model: the name of the map that was chosen, of `MODELS`.
        residual_px: root mean square distance of the matched blocks from where the map puts them, RGB pixels.
        uncertainty_px: standard error of the map at the thermal image's corners, RGB pixels.
        pairs: how many pairs of pictures were looked at.
        blocks: how many blocks agree with the map.
        blocks_tried: how many had structure to be matched.
    """

    matrix: np.ndarray
    model: str
    residual_px: float
    uncertainty_px: float
    pairs: int
    blocks: int
    blocks_tried: int


def find_homography(thermal: Sequence[np.ndarray], rgb: Sequence[np.ndarray]) -> Found:
    """Find where thermal lies in the RGB image.

    Args:
        thermal: (H, W) planes of any depth, all of one size.
        rgb: (H, W) uint8 luma of the same moments, all of one size.

    Raises:
        NotFoundError: the pictures do not tell.
    """
    step = -(-len(rgb) // MOST_PAIRS)
    greys = [grey_of(plane) for plane in thermal[::step]]
    for name, planes in (("thermal", greys), ("RGB", rgb)):
        if all(np.ptp(plane) < _LEAST_RANGE for plane in planes):
            raise _refusal(f"the {name} pictures are of one value all over (no light, a closed shutter or saturated)")
    size = rgb[0].shape[1::-1]
    shrink = min(1.0, _WORKING_SIDE_PX / max(size))
    working = [resized(plane, shrink).astype(np.float32) for plane in rgb[::step]]
    solver = _Solver(greys, working)
    matrix, model, matches, agreed = solver.solve()
    back = np.linalg.inv(resizing(shrink, shrink))
    misses = _misses(matrix, matches)[agreed]
    residual = float(np.sqrt((misses**2).mean()))
    uncertainty = solver.uncertainty(model, matches, agreed, residual)
    solver.refuse_doubtful(matrix, matches, agreed, uncertainty)
    whole = back @ matrix
    return Found(
        matrix=whole / whole[2, 2],
        model=model,
        residual_px=residual / shrink,
        uncertainty_px=uncertainty / shrink,
        pairs=len(working),
        blocks=int(agreed.sum()),
        blocks_tried=matches.tried,
    )


@dataclass(frozen=True)
class Effort:
    """How closely an alignment is measured, in pixels of RGB pictures whose longer side is `side_px`.

    Attributes:
        side_px: RGB pictures that are larger are made smaller to this.
        block_px, step_px: the blocks that are matched, and how far apart they lie.
        reach_px: how far off a block may be to be found.
        least_blocks: fewer that agree tell nothing.
        model: of `MODELS`, which they must agree on.
        views: by how much thermal is scaled about its middle before it is looked for: where it tells nothing as it is
            placed, its camera may have another field of view.
    """

    side_px: int
    block_px: int
    step_px: int
    reach_px: int
    least_blocks: int
    model: str
    views: tuple[float, ...] = (1.0,)


NOTED_ERROR_PX: Final = 10.0
"""From here on thermal that lies beside RGB is said, unless told otherwise: RGB pixels."""
THOROUGH: Final = Effort(_WORKING_SIDE_PX, _FULL_BLOCK_PX, _FULL_STEP_PX, _REACH_MEASURED_PX, _LEAST_BLOCKS, "affine")
"""To a fraction of a pixel, from several moments: some seconds."""
QUICK: Final = Effort(
    side_px=160,
    block_px=32,
    step_px=16,
    reach_px=20,
    least_blocks=10,
    model="similarity",
    views=(1.0, 0.8, 0.65, 0.55, 1.25),
)
"""To some pixels of 640, from one moment: some hundredths of a second, a few times that where it tells nothing at once.
An eighth of the side is in reach, and thermal's field of view may be 0.6 to 1.25 of RGB's."""


def measure_error(placed: Sequence[PlacedThermal], rgb: Sequence[np.ndarray], effort: Effort = THOROUGH) -> float:
    """How far thermal, as it is placed, lies from where it belongs: root mean square over the picture, RGB pixels.

    Args:
        placed: thermal of the moments, at the RGB images' size.
        rgb: (H, W) uint8 luma of the same moments.
        effort: how closely to look.

    Raises:
        NotFoundError: the pictures do not tell.
    """
    seen = placed[0].weight
    part = (slice(None), slice(None)) if seen is None else _bounds(seen)
    planes = [(item.plane[part], luma[part]) for item, luma in zip(placed, rgb, strict=True)]
    shrink = min(1.0, effort.side_px / max(planes[0][1].shape))
    small = [(resized(thermal, shrink), resized(luma, shrink)) for thermal, luma in planes]
    if seen is not None:
        seen = cv2.resize(seen[part], small[0][0].shape[1::-1]).clip(0, 1)
    pictures = Pictures(
        [grey_of(thermal) for thermal, _ in small], [luma.astype(np.float32) for _, luma in small], 1, seen
    )
    width, height = small[0][1].shape[1::-1]
    matrix = None
    for scale in effort.views:
        matrix, agreed, tried = _agreed(pictures, effort, scale)
        if matrix is not None:
            break
    if matrix is None:
        raise NotFoundError(
            f"The error of the alignment cannot be told: only {agreed} of {tried} places in the two pictures agree on"
            f" it, because it is over {effort.reach_px / shrink:.0f} px or because there is too little that both"
            f" cameras see; {_ADVICE}, or calibrate again."
        )
    # Of the whole picture, not of the blocks that agree: what is turned agrees near its centre, where it is off least.
    places = np.stack(np.meshgrid(np.linspace(0, width - 1, 9), np.linspace(0, height - 1, 9)), axis=-1).reshape(-1, 2)
    off = apply(matrix, places) - places
    return float(np.sqrt((off**2).sum(axis=1).mean())) / shrink


def _agreed(pictures: Pictures, effort: Effort, scale: float) -> tuple[np.ndarray | None, int, int]:
    """The map from where thermal lies to where it belongs, by the blocks that agree on it; how many, of how many.

    None where they are too few: blocks of pictures that have nothing in common agree by chance too.
    """
    width, height = pictures.size
    about = np.array([(scale, 0, (1 - scale) * (width - 1) / 2), (0, scale, (1 - scale) * (height - 1) / 2), (0, 0, 1)])
    # As many blocks of a smaller part: they overlap by more, so that more have to agree.
    smaller = min(scale, 1.0)
    step_px = max(round(effort.step_px * smaller), 1)
    matches = pictures.match(about, effort.block_px, step_px, effort.reach_px)
    matrix, agreed = _consensus(effort.model, matches, np.eye(3), 2 * _TOLERANCE_PX)
    count = int(agreed.sum())
    enough = count >= effort.least_blocks / smaller and count >= _LEAST_SHARE * matches.tried
    return (matrix if enough else None), count, matches.tried


def _bounds(weight: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns in which thermal counts."""
    x, y, width, height = cv2.boundingRect(weight)
    return slice(y, y + height), slice(x, x + width)


class _Solver:
    """The search, in pixels of the working RGB pictures."""

    def __init__(self, thermal: Sequence[np.ndarray], rgb: Sequence[np.ndarray]) -> None:
        self._thermal = thermal
        self._rgb = rgb
        self._corners = corners_of(*thermal[0].shape[1::-1])
        self._half = Pictures(thermal, rgb, 0.5)
        self._full = Pictures(thermal, rgb, 1.0)
        self._base = np.eye(3)

    def solve(self) -> tuple[np.ndarray, str, Matches, np.ndarray]:
        """The map, its model, the last matches, and which of them agree with it.

        Raises:
            NotFoundError: too few do.
        """
        every = -(-len(self._rgb) // _PAIRS_SEARCHED)
        candidates = search(self._thermal[::every], self._rgb[::every], _CANDIDATES)
        best, matrix = -1.0, np.eye(3)
        for candidate in candidates:
            share, refined = self._refine(candidate.matrix, candidate.base)
            if share > best:
                best, matrix, self._base = share, refined, candidate.base
            if share >= _CONVINCING:
                break
        # From where a freer map of few blocks puts the picture's far corners, no step may lead back.
        half = resizing(self._half.scale, self._half.scale)
        placed = half @ matrix
        for freedom in ("similarity", "homography"):
            placed = most_alike(freedom, self._likeness(self._half, placed, _HALF_JOINT_PX, 8), placed, self._base)
        matrix = np.linalg.inv(half) @ placed
        matrix = most_alike("homography", self._likeness(self._full, matrix, _FULL_JOINT_PX, 6), matrix, self._base)
        model, matrix = stiffest_good(self._likeness(self._full, matrix, _FULL_JOINT_PX, 5), matrix, self._base)
        matches = self._match(self._full, matrix, _FULL_BLOCK_PX, _FULL_STEP_PX, 5)
        agreed = _misses(matrix, matches) < _TOLERANCE_PX
        _refuse_few(agreed, matches.tried)
        return matrix, model, matches, agreed

    @staticmethod
    def _likeness(pictures: Pictures, matrix: np.ndarray, block: int, reach: int) -> Likeness:
        """Of blocks placed by `matrix`, in pixels of the pictures.

        Raises:
            NotFoundError: too few blocks have structure.
        """
        found = pictures.likeness(matrix, block, block // 2, reach, _JOINT_FLOOR)
        if len(found.rgb) < _LEAST_BLOCKS:
            raise _refusal(
                "too few places in the two pictures agree on how the cameras lie: where they fit best, only"
                f" {len(found.rgb)} can be compared"
            )
        return found

    def _refine(self, matrix: np.ndarray, base: np.ndarray) -> tuple[float, np.ndarray]:
        """A candidate after matching at half size, and the share of the blocks that agree with it."""
        share = 0.0
        for model, reach in (("similarity", 12), ("affine", 8), ("homography", 6)):
            matches = self._match(self._half, matrix, _HALF_BLOCK_PX, _HALF_STEP_PX, reach)
            fitted, agreed = _consensus(
                model, matches, base, 3 * _TOLERANCE_PX if model == "similarity" else 2 * _TOLERANCE_PX
            )
            if fitted is None or agreed.sum() < _LEAST_BLOCKS / 2:
                return 0.0, matrix
            share, matrix = float(agreed.sum()) / matches.tried, fitted
        return share, matrix

    @staticmethod
    def _match(pictures: Pictures, matrix: np.ndarray, block: int, step: int, reach: int) -> Matches:
        to_scale = resizing(pictures.scale, pictures.scale)
        matches = pictures.match(to_scale @ matrix, block, step, reach)
        back = np.linalg.inv(to_scale)
        return Matches(
            matches.thermal,
            apply(back, matches.rgb),
            matches.information,
            matches.tried,
        )

    def uncertainty(self, model: str, matches: Matches, agreed: np.ndarray, residual: float) -> float:
        source, corners = (apply(self._base, points) for points in (matches.thermal[agreed], self._corners))
        # Blocks overlap by half in each direction: four of them are one observation.
        return 2 * corner_uncertainty(model, source, matches.information[agreed], residual / np.sqrt(2), corners)

    def refuse_doubtful(self, matrix: np.ndarray, matches: Matches, agreed: np.ndarray, uncertainty: float) -> None:
        """Raises NotFoundError for what may be wrong."""
        placed = apply(matrix, self._corners).astype(np.float32)
        width, height = self._full.size
        frame = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
        common, _ = cv2.intersectConvexConvex(placed, frame)
        hull = cv2.convexHull(matches.rgb[agreed].astype(np.float32))
        if cv2.contourArea(hull) < _LEAST_COVER * common:
            raise _refusal("what both cameras see lies in one part of the picture only")
        if uncertainty > _MOST_UNCERTAINTY_PX:
            raise _refusal(f"the pictures fix thermal's corners to {uncertainty:.1f} px only")


def _refuse_few(agreed: np.ndarray, tried: int) -> None:
    if agreed.sum() < max(_LEAST_BLOCKS, _LEAST_SHARE * tried):
        raise _refusal(f"only {agreed.sum()} of {tried} places in the two pictures agree on how the cameras lie")


def _refusal(reason: str) -> NotFoundError:
    return NotFoundError(f"No alignment was found: {reason}; {_ADVICE}.")


def _consensus(
    model: str, matches: Matches, base: np.ndarray, tolerance_px: float
) -> tuple[np.ndarray | None, np.ndarray]:
    """The model's fit to those matches that agree with it, and which they are."""
    none = np.zeros(len(matches.rgb), bool)
    if len(matches.rgb) < 5:
        return None, none
    source, target = apply(base, matches.thermal), matches.rgb
    # Samples are drawn of those whose place is known in both directions.
    firm = np.linalg.eigvalsh(matches.information)[:, 0] > _FIRM
    drawn = np.flatnonzero(firm if firm.sum() >= _LEAST_BLOCKS else ~none)
    if model == "homography":
        _, mask = cv2.findHomography(source[drawn], target[drawn], cv2.RANSAC, tolerance_px, maxIters=3000)
    else:
        estimate = cv2.estimateAffine2D if model == "affine" else cv2.estimateAffinePartial2D
        _, mask = estimate(source[drawn], target[drawn], ransacReprojThreshold=tolerance_px, maxIters=3000)
    if mask is None:
        return None, none
    agreed = none.copy()
    agreed[drawn[mask.ravel() > 0]] = True
    matrix = None
    for _ in range(6):
        if agreed.sum() < 5:
            return None, none
        matrix = fit(model, matches.thermal[agreed], target[agreed], matches.information[agreed], base)
        if matrix is None:
            return None, none
        agreed = _misses(matrix, matches) < tolerance_px
    return matrix, agreed


def _misses(matrix: np.ndarray, matches: Matches) -> np.ndarray:
    """How far each block lies from where the map puts it, as far as its place is known; px."""
    off = apply(matrix, matches.thermal) - matches.rgb
    return np.sqrt(np.einsum("ni,nij,nj->n", off, matches.information, off))
