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

"""An alignment as it is applied: one remap a frame, and how much of thermal counts in each pixel of the RGB image."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from refinefuse_ros.alignment.camera import AlignmentError, Camera
from refinefuse_ros.alignment.file import Alignment, Calibrated, Homography
from refinefuse_ros.alignment.models import apply
from refinefuse_ros.image.frame import ImageSize

# Width of the soft edge, in parts of the RGB image's smaller side.
_EDGE: Final = 1 / 24
# Where thermal's pixels are so much finer than RGB's, it is reduced first: a remap would alias.
_ALIASES: Final = 1.5


class AlignmentMap:
    """Places thermal planes of one size onto RGB images of one size.

    Attributes:
        thermal_size, rgb_size: the sizes.
        weight: (H, W) uint8 at the RGB image's size: 255 where thermal counts fully, 0 where it sees nothing, and
            between the two over some pixels; None where it counts everywhere.

    Raises:
        AlignmentError: the alignment is not for images of these sizes, or thermal sees nothing of the RGB image.
    """

    def __init__(self, alignment: Alignment, thermal_size: ImageSize, rgb_size: ImageSize) -> None:
        self.thermal_size = thermal_size
        self.rgb_size = rgb_size
        x, y = _sources(alignment, thermal_size, rgb_size)
        self._reduced = _reduction(x, y, thermal_size)
        if self._reduced != thermal_size:
            across, down = (own / side for own, side in zip(self._reduced, thermal_size, strict=True))
            x, y = (x + 0.5) * across - 0.5, (y + 0.5) * down - 0.5
        weight = _weight(x, y, self._reduced, _EDGE * min(rgb_size))
        if not weight.any():
            raise AlignmentError("By the alignment the thermal camera sees nothing of the RGB image; calibrate again.")
        self.weight = None if weight.min() == 255 else weight
        # Far outside nothing is looked up, and fixed-point maps have no room for it.
        x, y = (np.clip(each, -2, side + 1) for each, side in zip((x, y), self._reduced, strict=True))
        self._maps = cv2.convertMaps(x.astype(np.float32), y.astype(np.float32), cv2.CV_16SC2)

    def place(self, plane: np.ndarray) -> np.ndarray:
        """A thermal plane, (H, W) uint8, uint16 or float32, at the RGB image's size; beyond its edge it goes on."""
        if self._reduced != self.thermal_size:
            plane = cv2.resize(plane, self._reduced, interpolation=cv2.INTER_AREA)
        return cv2.remap(plane, *self._maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _sources(alignment: Alignment, thermal: ImageSize, rgb: ImageSize) -> tuple[np.ndarray, np.ndarray]:
    """The thermal pixel, x and y, that each RGB pixel sees, (H, W) float64; NaN where there is none."""
    columns, rows = np.meshgrid(np.arange(rgb.width, dtype=float), np.arange(rgb.height, dtype=float))
    if isinstance(alignment, Homography):
        back = np.linalg.inv(alignment.matrix_at(thermal, rgb))
        x, y, depth = (row[0] * columns + row[1] * rows + row[2] for row in back / back[2, 2])
        centre = apply(alignment.matrix_at(thermal, rgb), np.array([(thermal.width / 2, thermal.height / 2)]))[0]
        side = np.sign(back[2] @ (*centre, 1) / back[2, 2])
        with np.errstate(divide="ignore", invalid="ignore"):
            return tuple(np.where(depth * side > 0, each / depth, np.nan) for each in (x, y))
    return _through_space(alignment, np.stack([columns, rows], axis=-1), thermal, rgb)


def _through_space(
    alignment: Calibrated, pixels: np.ndarray, thermal: ImageSize, rgb: ImageSize
) -> tuple[np.ndarray, np.ndarray]:
    """RGB pixel, to the ray, to the point at the distance, to the thermal camera's pixel."""
    shape = pixels.shape[:2]
    rays = _unproject(alignment.rgb, alignment.rgb.matrix_at(rgb), pixels.reshape(-1, 2))
    points = np.column_stack([rays, np.ones(len(rays))]) * alignment.distance_m
    rotation = np.array(alignment.rotation)
    in_thermal = (points - np.array(alignment.translation)) @ rotation  # the inverse: its transpose from the left
    depth = in_thermal[:, 2]
    seen = (depth > 1e-9) & np.isfinite(rays).all(axis=1)
    ahead = np.where(seen[:, None], in_thermal, (0.0, 0.0, 1.0))
    placed = _project(alignment.thermal, alignment.thermal.matrix_at(thermal), ahead)
    placed[~seen] = np.nan
    return placed[:, 0].reshape(shape), placed[:, 1].reshape(shape)


def _unproject(camera: Camera, matrix: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """The ray through each pixel, (N, 2) at distance 1; NaN where the distortion leads nowhere."""
    coefficients = np.array(camera.distortion)
    points = pixels.reshape(-1, 1, 2)
    if camera.distortion_model == "equidistant":
        rays = cv2.fisheye.undistortPoints(points, matrix, coefficients).reshape(-1, 2)
    else:
        stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-9)
        rays = cv2.undistortPointsIter(points, matrix, coefficients, None, None, stop).reshape(-1, 2)
    return np.where(np.abs(rays) < 1e4, rays, np.nan)


def _project(camera: Camera, matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The pixel of each point in the camera's frame, (N, 2); NaN where the lens bends it back into the picture."""
    coefficients = np.array(camera.distortion)
    none = np.zeros(3)
    if camera.distortion_model == "equidistant":
        placed, _ = cv2.fisheye.projectPoints(points.reshape(-1, 1, 3), none, none, matrix, coefficients)
        return placed.reshape(-1, 2)
    placed, _ = cv2.projectPoints(points, none, none, matrix, coefficients if coefficients.size else None)
    placed = placed.reshape(-1, 2)
    # Beyond some angle a polynomial turns back: such a point would be seen in a wrong place.
    again = _unproject(camera, matrix, placed)
    with np.errstate(invalid="ignore"):
        turned = ~(np.abs(again - points[:, :2] / points[:, 2:]).max(axis=1) < 1e-2)
    placed[turned] = np.nan
    return placed


def _reduction(x: np.ndarray, y: np.ndarray, thermal: ImageSize) -> ImageSize:
    """The size to which thermal is brought so that neighbours in RGB are about neighbours in it."""
    with np.errstate(invalid="ignore"):
        inside = (x > 0) & (x < thermal.width - 1) & (y > 0) & (y < thermal.height - 1)
        steps = np.hypot(np.diff(x, axis=1), np.diff(y, axis=1))[inside[:, 1:]]
    steps = steps[np.isfinite(steps)]
    step = float(np.median(steps)) if steps.size else 1.0
    if step < _ALIASES:
        return thermal
    return ImageSize(*(max(round(side / step), 1) for side in thermal))


def _weight(x: np.ndarray, y: np.ndarray, size: ImageSize, edge_px: float) -> np.ndarray:
    """How much thermal counts, 0 to 255, by the distance of an RGB pixel from the nearest that thermal does not see.

    The RGB image's own border is no such edge.
    """
    with np.errstate(invalid="ignore"):
        seen = (x >= 0) & (x <= size.width - 1) & (y >= 0) & (y <= size.height - 1)
        # A stretch by an eighth of a pixel outside is rounding, or the half pixel by which grids of two sizes differ.
        near = (x >= -0.5) & (x <= size.width - 0.5) & (y >= -0.5) & (y <= size.height - 0.5)
    if near.all():
        return np.full(seen.shape, 255, np.uint8)
    distance = cv2.distanceTransform(near.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    share = np.clip((distance - 1) / edge_px, 0, 1)
    smooth = share * share * (3 - 2 * share)
    return np.round(255 * smooth).astype(np.uint8)
