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

"""Pictures of a calibration board as two cameras with lenses would see it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from refinefuse_ros.alignment.board import Board
from refinefuse_ros.alignment.camera import Camera
from refinefuse_ros.image.frame import ImageSize

CHESSBOARD = Board("chessboard", 8, 6, 0.04)
CIRCLES = Board("acircles", 4, 11, 0.03)
_THERMAL, _RGB = ImageSize(320, 256), ImageSize(640, 480)
_GRAIN = 2  # rays a pixel's side


@dataclass(frozen=True)
class Rig:
    """Two cameras; a point in RGB's frame is rotation @ the point in thermal's + translation."""

    thermal: Camera
    rgb: Camera
    rotation: np.ndarray
    translation: np.ndarray


def simulated_rig(thermal_size: ImageSize = _THERMAL, rgb_size: ImageSize = _RGB) -> Rig:
    """A thermal camera of a narrower view and more distortion, 6 cm beside the RGB camera and turned by 3 degrees."""
    return Rig(
        _camera(thermal_size, 1.15 * thermal_size.width, (-0.25, 0.08, 0.001, -0.0005, 0.0)),
        _camera(rgb_size, 0.95 * rgb_size.width, (-0.1, 0.03, 0.0, 0.0005, 0.0)),
        cv2.Rodrigues(np.radians((0.5, -1.5, 2.5)))[0],
        np.array([0.06, -0.01, 0.005]),
    )


def _camera(size: ImageSize, focal_px: float, lens: tuple[float, ...]) -> Camera:
    matrix = ((focal_px, 0.0, size.width / 2 + 5), (0.0, 1.01 * focal_px, size.height / 2 - 4), (0.0, 0.0, 1.0))
    return Camera(matrix, lens, size)


def poses(count: int, board: Board, seed: int = 1, tilt_deg: float = 35.0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rotations and places, in the thermal camera's frame, of a board that is held about before both cameras."""
    random = np.random.default_rng(seed)
    middle = board.points.mean(axis=0)
    found = []
    for index in range(count):
        distance = random.uniform(0.75, 1.25)
        angle = 2.4 * index
        reach = 0.24 * distance * np.sqrt((index + 0.5) / count)
        tilt = np.radians(random.uniform(-tilt_deg, tilt_deg, 2))
        turn = cv2.Rodrigues(np.array([*tilt, np.radians(random.uniform(-15, 15))]))[0]
        centre = np.array([reach * np.cos(angle), 0.75 * reach * np.sin(angle), distance])
        found.append((turn, centre - turn @ middle))
    return found


def in_rgb(rig: Rig, pose: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The same pose in the RGB camera's frame."""
    turn, place = pose
    return rig.rotation @ turn, rig.rotation @ place + rig.translation


def points_in(board: Board, camera: Camera, pose: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Where the camera sees the board's points, (N, 2) pixels."""
    turn, place = pose
    seen, _ = cv2.projectPoints(
        board.points, cv2.Rodrigues(turn)[0], place, np.array(camera.camera_matrix), np.array(camera.distortion)
    )
    return seen[:, 0]


class Painter:
    """Paints what one camera sees."""

    def __init__(self, camera: Camera) -> None:
        width, height = camera.size
        steps = (np.arange(_GRAIN) - (_GRAIN - 1) / 2) / _GRAIN
        x = (np.arange(width)[:, None] + steps).ravel()
        y = (np.arange(height)[:, None] + steps).ravel()
        pixels = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 1, 2)
        rays = cv2.undistortPoints(pixels, np.array(camera.camera_matrix), np.array(camera.distortion))
        self._rays = np.column_stack([rays.reshape(-1, 2), np.ones(len(rays))])
        self._size = camera.size

    def paint(
        self,
        board: Board,
        pose: tuple[np.ndarray, np.ndarray],
        levels: tuple[int, int, int] = (40, 220, 110),
        noise: float = 2.0,
        seed: int = 0,
    ) -> np.ndarray:
        """The board, (H, W) uint8.

        Args:
            board: what is seen.
            pose: in the camera's frame.
            levels: of its dark squares or its dots, its light part, and what is behind it.
            noise: standard deviation, levels.
            seed: of the noise.
        """
        turn, place = pose
        towards = self._rays @ turn  # the rays in the board's frame
        origin = -turn.T @ place
        with np.errstate(divide="ignore", invalid="ignore"):
            at = origin[:2] + towards[:, :2] * (-origin[2] / towards[:, 2])[:, None]
        at /= board.spacing_m
        low, high = board.points[:, :2].min(axis=0) / board.spacing_m, board.points[:, :2].max(axis=0) / board.spacing_m
        on_board = ((at > low - 2) & (at < high + 2)).all(axis=1)
        if board.pattern == "chessboard":
            squares = ((at > low - 1) & (at < high + 1)).all(axis=1)
            dark = squares & (np.floor(at).sum(axis=1) % 2 == 0)
        else:
            dark = _in_dot(board, at)
        picture = np.where(on_board, np.where(dark, levels[0], levels[1]), levels[2]).astype(np.float32)
        height, width = self._size.height, self._size.width
        picture = picture.reshape(height, _GRAIN, width, _GRAIN).mean(axis=(1, 3))
        picture = cv2.GaussianBlur(picture, (0, 0), 0.6)
        picture += np.random.default_rng(seed).normal(0, noise, picture.shape)
        return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def _in_dot(board: Board, at: np.ndarray) -> np.ndarray:
    """Which places of the board, (N, 2) in its spacing, lie in a dot."""
    column, row = np.where(np.isfinite(at), at, -9).T
    row_of = np.clip(np.round(row), 0, board.rows - 1)
    step, shift, radius = (2, row_of % 2, 0.5) if board.pattern == "acircles" else (1, 0, 0.35)
    column_of = np.clip(np.round((column - shift) / step), 0, board.columns - 1) * step + shift
    return (column - column_of) ** 2 + (row - row_of) ** 2 < radius**2
