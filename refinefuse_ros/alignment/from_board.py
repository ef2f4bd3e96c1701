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

"""Both cameras' geometry and their mounting, out of where a board's points were seen.

Each camera's by Zhang's method (A flexible new technique for camera calibration, 2000), then how the thermal camera
stands to the RGB camera, out of the views that both had; all by OpenCV.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import cv2
import numpy as np

from refinefuse_ros.alignment.board import Board
from refinefuse_ros.alignment.camera import Camera, Matrix, rows_of
from refinefuse_ros.alignment.file import Calibrated
from refinefuse_ros.alignment.finding import NotFoundError
from refinefuse_ros.image.frame import ImageSize

FEWEST_VIEWS: Final = 8
"""Of so many different places and tilts of the board each camera needs a view, and so many both must have."""

_MOST_VIEWS: Final = 40
# Two views are of one place where the points moved by less than this part of the picture's diagonal, on average.
_OTHER_PLACE: Final = 0.04
# Views that fit worse than this many times the median do not count: the board moved, or was not it.
_OUTLIER: Final = 3.0
_LEAST_OUTLIER_PX: Final = 0.3
_ROUNDS: Final = 4
# What a camera's own fit may leave, root mean square, pixels of a picture 640 wide; smaller ones are blurred too.
_LARGEST_RESIDUAL_PX: Final = 1.0
# Standard deviation of a focal length, as a part of it: beyond this the board was hardly tilted.
_LARGEST_DOUBT: Final = 0.02
# Of the picture's width and height the board must have been seen in this part, or the lens is guessed elsewhere.
_LEAST_COVERED: Final = 0.5
_STOP: Final = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-10)


@dataclass(frozen=True)
class Sighting:
    """The board at one moment: its points, (N, 2) pixels in the board's order, of each camera that saw it whole."""

    thermal: np.ndarray | None
    rgb: np.ndarray | None

    @property
    def is_common(self) -> bool:
        """Whether both cameras saw it whole."""
        return self.thermal is not None and self.rgb is not None


@dataclass(frozen=True)
class RigFit:
    """What the board told.

    Attributes:
        thermal, rgb: each camera.
        rotation, translation: of a point in the RGB camera's frame, from one in the thermal camera's; metres.
        thermal_residual_px, rgb_residual_px: root mean square distances that each camera's own fit leaves, its pixels.
        residual_px: the same of points that were brought from thermal's views into the RGB image, RGB pixels.
        pairs: of so many views of both.
    """

    thermal: Camera
    rgb: Camera
    rotation: Matrix
    translation: tuple[float, float, float]
    thermal_residual_px: float
    rgb_residual_px: float
    residual_px: float
    pairs: int

    @property
    def baseline_m(self) -> float:
        """How far the cameras stand apart."""
        return math.hypot(*self.translation)

    @property
    def turn_deg(self) -> float:
        """By how much one is turned against the other, about whatever axis."""
        return math.degrees(float(np.linalg.norm(cv2.Rodrigues(np.array(self.rotation))[0])))

    def at(self, distance_m: float, **made: object) -> Calibrated:
        """As an alignment that brings the images together at a distance; `made` is what is known of its making.

        Raises:
            ValueError: it is no distance.
        """
        return Calibrated(
            thermal=self.thermal,
            rgb=self.rgb,
            rotation=self.rotation,
            translation=self.translation,
            distance_m=distance_m,
            **made,
        )

    def distance_of(self, board: Board, seen: np.ndarray) -> float:
        """How far the board's middle is along the RGB camera's axis, m, whose points it sees at `seen`, (N, 2)."""
        matrix, lens = np.array(self.rgb.camera_matrix), np.array(self.rgb.distortion)
        _, turn, place = cv2.solvePnP(board.points, seen, matrix, lens)
        return float((cv2.Rodrigues(turn)[0] @ board.points.mean(axis=0) + place.ravel())[2])


def find_rig(board: Board, sightings: list[Sighting], thermal_size: ImageSize, rgb_size: ImageSize) -> RigFit:
    """The geometry of both cameras.

    Args:
        board: what was seen.
        sightings: in the order of time; where the board moved between neighbours it counts less.
        thermal_size, rgb_size: of the pictures.

    Raises:
        NotFoundError: the views are too few or too much alike, or do not fit one board; the sentence says what to
            record instead.
    """
    both = [each for each in sightings if each.is_common]
    thermal = _Fit("thermal", board, [each.thermal for each in sightings if each.thermal is not None], thermal_size)
    rgb = _Fit("RGB", board, [each.rgb for each in sightings if each.rgb is not None], rgb_size)
    turns = board.turns()
    matched = [Sighting(_turned_like(each.thermal, each.rgb, turns), each.rgb) for each in both]
    chosen = [matched[index] for index in _different([each.rgb for each in matched], rgb_size)]
    if len(chosen) < FEWEST_VIEWS:
        raise NotFoundError(
            f"Both cameras saw the board at {len(chosen)} different place(s) or tilt(s) together, of at least"
            f" {FEWEST_VIEWS}; move it about where both see it, and hold it still for a second each time."
        )
    for _ in range(_ROUNDS):
        rotation, translation, errors_px = _mounting(board, chosen, thermal, rgb)
        kept = _fitting(errors_px)
        if kept.all():
            break
        chosen = [view for view, keeps in zip(chosen, kept, strict=True) if keeps]
        if len(chosen) < FEWEST_VIEWS:
            raise NotFoundError(
                f"Only {len(chosen)} views of the board by both cameras agree; hold it still for a second at each"
                " place, or mend the cameras' clocks first (refinefuse calibrate --time)."
            )
    residual_px = float(np.sqrt((errors_px[kept] ** 2).mean()))
    bound_px = _LARGEST_RESIDUAL_PX * max(rgb_size.width / 640, rgb_size.width / thermal_size.width, 1.0)
    if residual_px > bound_px:
        raise NotFoundError(
            f"The board's points miss one another by {residual_px:.1f} px between the cameras, over {bound_px:.1f};"
            " hold it still for a second at each place, tilt it to all sides, and mend the cameras' clocks first"
            " (refinefuse calibrate --time)."
        )
    return RigFit(
        thermal.camera,
        rgb.camera,
        rows_of(rotation),
        tuple(float(each) for each in translation.ravel()),
        thermal.residual_px,
        rgb.residual_px,
        residual_px,
        len(chosen),
    )


class _Fit:
    """One camera, out of its views of the board.

    Raises:
        NotFoundError: as `find_rig`.
    """

    def __init__(self, name: str, board: Board, views: list[np.ndarray], size: ImageSize) -> None:
        chosen = [views[index] for index in _different(views, size)]
        if len(chosen) < FEWEST_VIEWS:
            raise NotFoundError(
                f"The {name} camera saw the whole board ({board.columns}x{board.rows} points) at {len(chosen)}"
                f" different place(s) or tilt(s), of at least {FEWEST_VIEWS}; record it at more, and see that it stands"
                f" out in the {name} picture."
            )
        covered = np.ptp(np.concatenate(chosen), axis=0) / np.array(size)
        if covered.min() < _LEAST_COVERED:
            raise NotFoundError(
                f"In the {name} picture the board was seen in {covered[0]:.0%} of the width and {covered[1]:.0%} of the"
                f" height; bring it near to the picture's edges, to see at least {_LEAST_COVERED:.0%} of each."
            )
        flags = cv2.CALIB_FIX_K3
        for _ in range(_ROUNDS):
            rms, matrix, lens, doubts, errors_px = _own(board, chosen, size, flags)
            if not _bends_on(matrix, lens, size):
                if flags & cv2.CALIB_FIX_K2:
                    raise NotFoundError(
                        f"The {name} camera's lens cannot be told from these views; bring the board near to the"
                        " corners."
                    )
                flags |= cv2.CALIB_FIX_K2
                continue
            kept = _fitting(errors_px)
            if kept.all() or kept.sum() < FEWEST_VIEWS:
                break
            chosen = [view for view, keeps in zip(chosen, kept, strict=True) if keeps]
        bound_px = _LARGEST_RESIDUAL_PX * max(size.width / 640, 1.0)
        if rms > bound_px:
            raise NotFoundError(
                f"The {name} camera's views of the board fit together to {rms:.1f} px, over {bound_px:.1f}; see that"
                " the board is flat, that its points are counted rightly, and that it does not move while it is seen."
            )
        doubt = max(doubts[0] / matrix[0, 0], doubts[1] / matrix[1, 1])
        if not doubt < _LARGEST_DOUBT:
            raise NotFoundError(
                f"The {name} camera's focal length is known to {doubt:.0%} only; tilt the board by 30 degrees and more,"
                " to all sides, and show it near and far."
            )
        self.residual_px = float(rms)
        self.matrix, self.lens = matrix, lens
        self.camera = Camera(rows_of(matrix), tuple(float(each) for each in lens), size)


def _own(
    board: Board, views: list[np.ndarray], size: ImageSize, flags: int
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Residual, camera matrix, five coefficients, standard deviations of what was found, each view's residual."""
    points = [board.points.astype(np.float32)] * len(views)
    seen = [view.astype(np.float32).reshape(-1, 1, 2) for view in views]
    try:
        rms, matrix, lens, _, _, doubts, _, errors_px = cv2.calibrateCameraExtended(
            points, seen, tuple(size), None, None, flags=flags, criteria=_STOP
        )
    except cv2.error as error:
        raise NotFoundError(
            "The board's views tell no camera; tilt the board to all sides, and show it near and far."
        ) from error
    return rms, matrix, lens.ravel()[:5], doubts.ravel(), errors_px.ravel()


def _mounting(
    board: Board, views: list[Sighting], thermal: _Fit, rgb: _Fit
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotation, translation, and by how much each view's points miss when brought from thermal into RGB, pixels."""
    points = board.points
    _, _, _, _, _, rotation, translation, *_ = cv2.stereoCalibrate(
        [points.astype(np.float32)] * len(views),
        [view.thermal.astype(np.float32).reshape(-1, 1, 2) for view in views],
        [view.rgb.astype(np.float32).reshape(-1, 1, 2) for view in views],
        thermal.matrix,
        thermal.lens,
        rgb.matrix,
        rgb.lens,
        tuple(rgb.camera.size),
        flags=cv2.CALIB_FIX_INTRINSIC,
        criteria=_STOP,
    )
    errors_px = []
    for view in views:
        _, turn, place = cv2.solvePnP(points, view.thermal, thermal.matrix, thermal.lens)
        turn, place = cv2.composeRT(turn, place, cv2.Rodrigues(rotation)[0], translation)[:2]
        expected, _ = cv2.projectPoints(points, turn, place, rgb.matrix, rgb.lens)
        errors_px.append(float(np.sqrt(((expected[:, 0] - view.rgb) ** 2).sum(axis=1).mean())))
    return rotation, translation, np.array(errors_px)


def _turned_like(thermal: np.ndarray, rgb: np.ndarray, turns: list[np.ndarray]) -> np.ndarray:
    """Thermal's points in the order in which the board lies as RGB sees it: both cameras stand about upright."""
    towards = rgb - rgb.mean(axis=0)
    return max(
        (thermal[turn] for turn in turns), key=lambda points: float(((points - points.mean(axis=0)) * towards).sum())
    )


def _different(views: list[np.ndarray], size: ImageSize) -> list[int]:
    """Which views show the board at different places or tilts, the stillest of each, in their order.

    A board held in the hand moves between two moments, and between the two cameras' exposures.
    """
    diagonal = math.hypot(*size)
    moved = [_moved_px(before, after) for before, after in pairwise(views)]
    motion = [min(moved[max(index - 1, 0) : index + 1], default=0.0) for index in range(len(views))]
    chosen: list[int] = []
    for index in sorted(range(len(views)), key=motion.__getitem__):
        if all(_moved_px(views[index], views[other]) > _OTHER_PLACE * diagonal for other in chosen):
            chosen.append(index)
            if len(chosen) == _MOST_VIEWS:
                break
    return sorted(chosen)


def _moved_px(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one - other, axis=1).mean())


def _fitting(errors_px: np.ndarray) -> np.ndarray:
    """Which views fit as well as most do, (N,) bool."""
    return errors_px <= max(_OUTLIER * float(np.median(errors_px)), _LEAST_OUTLIER_PX)


def _bends_on(matrix: np.ndarray, lens: np.ndarray, size: ImageSize) -> bool:
    """Whether by k1 and k2 what lies further from the axis is seen further from it, over the whole picture."""
    corners = np.array([(0, 0), (size.width, 0), (0, size.height), tuple(size)], float)
    reach = np.abs((corners - matrix[:2, 2]) / (matrix[0, 0], matrix[1, 1]))
    farthest = float(np.hypot(*reach.T).max())
    squared = np.linspace(0, 2 * farthest, 400) ** 2
    seen = np.sqrt(squared) * (1 + lens[0] * squared + lens[1] * squared**2)
    if seen.max() < farthest:  # the picture's corner would see nothing
        return False
    return bool((np.diff(seen[: int(np.argmax(seen >= farthest)) + 1]) > 0).all())
