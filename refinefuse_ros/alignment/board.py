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

"""A calibration board, and where its points lie in a picture of either camera."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

import cv2
import numpy as np

from refinefuse_ros.alignment.camera import AlignmentError

Pattern = Literal["chessboard", "circles", "acircles"]
PATTERNS: Final = get_args(Pattern)
"""As ROS's camera_calibration names them: a chessboard, a grid of circles, and one whose rows are shifted by half."""

# Smaller pictures are enlarged for the search, for squares and dots must be of several pixels; where there is no board,
# larger ones take seconds.
_LEAST_SIDE_PX: Final = 480
_MOST_SIDE_PX: Final = 720
# Corners are refined within this part of a square's side.
_REFINED: Final = 0.4
# One that lies beside where the others have it by more than this part was found wrongly: a lens bends less.
_BESIDE: Final = 0.15
_STOP: Final = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-3)
# Area of a dot in the picture that is searched: at least so many pixels, and at most this part of it.
_SMALLEST_DOT_PX: Final = 25
_LARGEST_DOT: Final = 1 / 50
# With more dots than this many times the board's there is something else in the picture.
_MOST_SPOTS: Final = 2
# A turn that brings the points onto themselves to within this part of their distance.
_SAME_POINT: Final = 1e-3


@dataclass(frozen=True)
class Board:
    """A flat board with points in a known pattern.

    Attributes:
        pattern: what is on it.
        columns, rows: how many points: a chessboard's inner corners, or the circles' centres.
        spacing_m: the side of a square; from a circle to the next of its row; with `acircles` half of that.

    Raises:
        AlignmentError: it cannot be found in a picture.
    """

    pattern: Pattern
    columns: int
    rows: int
    spacing_m: float

    def __post_init__(self) -> None:
        if self.pattern not in PATTERNS:
            raise AlignmentError(f"The board's pattern is '{self.pattern}'; give one of {', '.join(PATTERNS)}.")
        if min(self.columns, self.rows) < 3:
            raise AlignmentError(
                f"A board of {self.columns}x{self.rows} points has too few; it needs 3x3 at least, of a chessboard the"
                " inner corners."
            )
        if not 0 < self.spacing_m < math.inf:
            raise AlignmentError(
                f"The distance of the board's points is {self.spacing_m:g} m; measure it, in metres, above 0."
            )

    @property
    def points(self) -> np.ndarray:
        """Its points in its own frame, (columns * rows, 3) m, row by row, z = 0."""
        column, row = np.meshgrid(np.arange(self.columns, dtype=float), np.arange(self.rows, dtype=float))
        if self.pattern == "acircles":
            column = 2 * column + row % 2
        flat = np.stack([column.ravel(), row.ravel(), np.zeros(column.size)], axis=1)
        return flat * self.spacing_m

    def turns(self) -> list[np.ndarray]:
        """The orders in which its points look the same, (N,) indices each, one for each turn onto itself."""
        flat = self.points[:, :2] / self.spacing_m
        flat = flat - (flat.min(axis=0) + flat.max(axis=0)) / 2
        found = []
        for turn in (np.eye(2), [[0, -1], [1, 0]], [[-1, 0], [0, -1]], [[0, 1], [-1, 0]]):
            distances = np.linalg.norm((flat @ np.array(turn).T)[:, None] - flat[None], axis=2)
            if distances.min(axis=1).max() < _SAME_POINT:
                found.append(distances.argmin(axis=1))
        return found

    def find(self, grey: np.ndarray) -> np.ndarray | None:
        """Its points in a picture, whichever of its colours is the bright one.

        Args:
            grey: (H, W) uint8.

        Returns:
            (columns * rows, 2) pixels, centres at whole numbers, in the order of `points` or in one that `turns` has
            (one camera may begin at another end than the other); None where the board is not wholly seen.
        """
        searched, scale = _at_search_size(grey)
        for picture in _versions(searched):
            points = self._corners(picture) if self.pattern == "chessboard" else self._centres(picture)
            if points is not None:
                points = (points.reshape(-1, 2).astype(float) + 0.5) / scale - 0.5
                return self._refined(grey, points) if self.pattern == "chessboard" else points
        return None

    def _corners(self, picture: np.ndarray) -> np.ndarray | None:
        size = (self.columns, self.rows)
        flags = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_FAST_CHECK
        found, corners = cv2.findChessboardCorners(picture, size, flags=flags)
        if not found:
            found, corners = cv2.findChessboardCornersSB(picture, size, flags=cv2.CALIB_CB_NORMALIZE_IMAGE)
        return corners if found else None

    def _refined(self, grey: np.ndarray, corners: np.ndarray) -> np.ndarray:
        """The same corners more exactly, out of the picture as it was taken, by a part of a square around each.

        One that was found beside its place, as happens in faint pictures, begins again where the others say it is.
        """
        grid = corners.reshape(self.rows, self.columns, 2)
        side_px = min(np.linalg.norm(np.diff(grid, axis=axis), axis=2).min() for axis in (0, 1))
        reach = max(int(_REFINED * side_px), 1)
        refined = corners.astype(np.float32)
        for _ in range(2):
            cv2.cornerSubPix(grey, refined.reshape(-1, 1, 2), (reach, reach), (-1, -1), _STOP)
            plane, _ = cv2.findHomography(self.points[:, :2], refined, cv2.RANSAC, _BESIDE * side_px)
            if plane is None:
                break
            expected = cv2.perspectiveTransform(self.points[None, :, :2], plane)[0]
            beside = np.linalg.norm(refined - expected, axis=1) > _BESIDE * side_px
            if not beside.any():
                break
            refined[beside] = expected[beside]
        return refined.astype(float)

    def _centres(self, picture: np.ndarray) -> np.ndarray | None:
        settings = cv2.SimpleBlobDetector_Params()
        settings.minArea = _SMALLEST_DOT_PX
        settings.maxArea = _LARGEST_DOT * picture.size
        detector = cv2.SimpleBlobDetector_create(settings)
        count = self.columns * self.rows
        if not count <= len(detector.detect(picture)) <= _MOST_SPOTS * count:  # among many others it takes minutes
            return None
        layout = cv2.CALIB_CB_ASYMMETRIC_GRID if self.pattern == "acircles" else cv2.CALIB_CB_SYMMETRIC_GRID
        found, centres = cv2.findCirclesGrid(
            picture, (self.columns, self.rows), flags=layout | cv2.CALIB_CB_CLUSTERING, blobDetector=detector
        )
        return centres if found else None


def _at_search_size(grey: np.ndarray) -> tuple[np.ndarray, float]:
    """The picture enlarged or reduced for the search, and by how much."""
    side = min(grey.shape)
    scale = float(max(math.ceil(_LEAST_SIDE_PX / side), 1)) if side < _MOST_SIDE_PX else _MOST_SIDE_PX / side
    if scale == 1:
        return grey, scale
    way = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    large = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=way)
    return large, large.shape[1] / grey.shape[1]


def _versions(picture: np.ndarray) -> Iterator[np.ndarray]:
    """As it is and as its negative, then with local contrast: a board is often a faint part of a thermal picture."""
    yield picture
    yield cv2.bitwise_not(picture)
    local = cv2.createCLAHE(4.0, (8, 8)).apply(picture)
    yield local
    yield cv2.bitwise_not(local)
