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

"""The alignment file: how the thermal camera lies to the RGB camera, as YAML, strictly read and whole written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import yaml

from refinefuse_ros.alignment.models import apply, corners_of, resizing
from refinefuse_ros.errors import UserError
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.settings import ConfigError, Reader, from_mapping, read_mapping
from refinefuse_ros.writing import write_whole

Matrix = tuple[tuple[float, ...], ...]
DISTORTION_MODELS: Final = {"plumb_bob": (0, 4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
"""How many coefficients each takes, in OpenCV's order; sensor_msgs/CameraInfo names them so."""

# Sizes of another aspect than the file's by more than this are of another picture, not of a resized one.
_SAME_ASPECT: Final = 0.02
# A thermal image whose sides lie in the RGB image at a length outside of this, in its own diagonals, is no camera's.
_SMALLEST_SIDE, _LARGEST_SIDE = 0.02, 20.0


class AlignmentError(UserError):
    """An alignment file, or what is in it, cannot be used; the message is one sentence."""


@dataclass(frozen=True)
class Camera:
    """The inner geometry of one camera, as sensor_msgs/CameraInfo has it.

    Attributes:
        camera_matrix: 3x3 rows: focal lengths and centre, pixels.
        distortion: the coefficients of the model, in OpenCV's order.
        size: of the images it speaks of.
        distortion_model: one of `DISTORTION_MODELS`.

    Raises:
        ValueError: these are no camera's.
    """

    camera_matrix: Matrix
    distortion: tuple[float, ...]
    size: ImageSize
    distortion_model: Literal["plumb_bob", "rational_polynomial", "equidistant"] = "plumb_bob"

    def __post_init__(self) -> None:
        matrix = _checked_matrix("camera_matrix", self.camera_matrix)
        if not (matrix[0, 0] > 0 and matrix[1, 1] > 0):
            raise ValueError(
                f"the focal lengths in camera_matrix are {matrix[0, 0]:g} and {matrix[1, 1]:g}; an uncalibrated"
                " camera's zeros cannot be used: calibrate the camera."
            )
        if matrix[1, 0] or not np.array_equal(matrix[2], (0, 0, 1)):
            raise ValueError("camera_matrix is not of the form [fx, s, cx], [0, fy, cy], [0, 0, 1]; mend its rows.")
        allowed = DISTORTION_MODELS[self.distortion_model]
        if len(self.distortion) not in allowed or not np.isfinite(self.distortion).all():
            raise ValueError(
                f"distortion has {len(self.distortion)} coefficients; {self.distortion_model} takes"
                f" {' or '.join(map(str, allowed))} finite ones."
            )

    def matrix_at(self, size: ImageSize) -> np.ndarray:
        """The 3x3 camera matrix for its images resized to `size`.

        Raises:
            AlignmentError: they are no resized ones.
        """
        return _resized(self.size, size, "a camera") @ np.array(self.camera_matrix)


@dataclass(frozen=True)
class Homography:
    """Thermal lies in the RGB image as a plane does: right for things far away, or at one distance.

    Attributes:
        matrix: 3x3 rows, thermal pixel (x, y, 1) to RGB pixel, pixel centres at whole numbers.
        thermal_size, rgb_size: of the images that it speaks of.
        residual_px: root mean square distance of what it was made from, RGB pixels.
        pairs: of how many pairs it was made.
        made_by, made_at: the command, and the time in ISO 8601.

    Raises:
        ValueError: the matrix is no camera's.
    """

    matrix: Matrix
    thermal_size: ImageSize
    rgb_size: ImageSize
    residual_px: float | None = None
    pairs: int | None = None
    made_by: str | None = None
    made_at: str | None = None

    def __post_init__(self) -> None:
        matrix = _checked_matrix("matrix", self.matrix)
        if abs(np.linalg.det(matrix / np.abs(matrix).max())) < 1e-12:
            raise ValueError("matrix is singular: it brings the whole thermal image onto a line; calibrate again.")
        corners = corners_of(*self.thermal_size)
        depths = corners @ matrix[2, :2] + matrix[2, 2]
        if not (depths.min() > 0 or depths.max() < 0):
            raise ValueError("matrix puts a part of the thermal image behind the camera; calibrate again.")
        placed = apply(matrix, corners)
        sides = np.linalg.norm(placed - np.roll(placed, 1, axis=0), axis=1)
        diagonal = math.hypot(*self.rgb_size)
        if not (sides.min() > _SMALLEST_SIDE * diagonal and sides.max() < _LARGEST_SIDE * diagonal):
            raise ValueError(
                f"matrix makes the thermal image's sides {sides.min():.3g} to {sides.max():.3g} pixels long in an RGB"
                f" image of {self.rgb_size}; calibrate again."
            )
        if not _meets(placed, self.rgb_size):
            raise ValueError("matrix puts the thermal image beside the RGB image; calibrate again.")

    def matrix_at(self, thermal: ImageSize, rgb: ImageSize) -> np.ndarray:
        """The 3x3 matrix for images of these sizes.

        Raises:
            AlignmentError: they are no resized ones of those that it speaks of.
        """
        of_thermal = _resized(self.thermal_size, thermal, "thermal")
        return _resized(self.rgb_size, rgb, "RGB") @ np.array(self.matrix) @ np.linalg.inv(of_thermal)


@dataclass(frozen=True)
class Calibrated:
    """Both cameras' geometry, and how they are mounted.

    Attributes:
        thermal, rgb: each camera.
        rotation: 3x3 rows; with `translation`, m: of a point in the RGB camera's frame, from one in the thermal
            camera's (x right, y down, z forward).
        distance_m: from the RGB camera along its axis, at which the two images are brought together.

    Raises:
        ValueError: it is no rotation, or no distance.
    """

    thermal: Camera
    rgb: Camera
    rotation: Matrix
    translation: tuple[float, ...]
    distance_m: float

    def __post_init__(self) -> None:
        rotation = _checked_matrix("rotation", self.rotation)
        if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) or np.linalg.det(rotation) < 0:
            raise ValueError("rotation is no rotation: its rows must be of length 1, at right angles and right-handed.")
        if len(self.translation) != 3 or not np.isfinite(self.translation).all():
            raise ValueError(f"translation is {list(self.translation)}; give three finite numbers, in metres.")
        if not 0 < self.distance_m < math.inf:
            raise ValueError(f"distance_m is {self.distance_m:g}; give a distance in metres, above 0.")


Alignment = Homography | Calibrated


def read_alignment(path: Path) -> Alignment:
    """Read an alignment file.

    Raises:
        AlignmentError: it is missing or no YAML, a key is unknown, missing or of a wrong kind, or what it says is no
            camera's.
    """
    try:
        settings = read_mapping(path, "what `refinefuse calibrate` writes")
        name = settings.pop("type", None)
        kinds = {"homography": Homography, "calibrated": Calibrated}
        if name not in kinds:
            raise ConfigError(f"type is {name!r}; give one of {', '.join(kinds)}.")
        return from_mapping(kinds[name], settings, readers=_READERS)
    except ConfigError as error:
        sentence = str(error)
        raise AlignmentError(
            sentence if str(path) in sentence else f"The alignment {path} cannot be used: {sentence}"
        ) from error


def write_alignment(path: Path, alignment: Alignment) -> None:
    """Write an alignment file, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    name = "homography" if isinstance(alignment, Homography) else "calibrated"
    write_whole(
        path,
        yaml.dump({"type": name} | _plain(alignment), sort_keys=False, default_flow_style=None, width=120).encode(),
    )


def _plain(value: Any) -> Any:
    """As YAML shows it best: what is unknown is left out."""
    if isinstance(value, (Homography, Calibrated, Camera)):
        entries = {entry.name: getattr(value, entry.name) for entry in fields(value)}
        return {key: _plain(entry) for key, entry in entries.items() if entry is not None}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _size(value: Any, key: str) -> ImageSize:
    whole = isinstance(value, (list, tuple)) and len(value) == 2 and all(type(side) is int for side in value)
    if not whole or not min(value) > 0:
        raise ConfigError(f"{key} is {value!r}; give [width, height] in pixels.")
    return ImageSize(*value)


_READERS: Final[Mapping[type, Reader]] = {ImageSize: _size}


def _checked_matrix(name: str, rows: Matrix) -> np.ndarray:
    if len(rows) != 3 or any(len(row) != 3 for row in rows):
        raise ValueError(f"{name} is not three rows of three numbers; mend it.")
    matrix = np.array(rows, float)
    if not np.isfinite(matrix).all():
        raise ValueError(f"{name} holds a number that is not finite; mend it.")
    return matrix


def _meets(placed: np.ndarray, size: ImageSize) -> bool:
    low, high = placed.min(axis=0), placed.max(axis=0)
    return bool((high > 0).all() and (low < np.array(size) - 1).all())


def _resized(own: ImageSize, size: ImageSize, whose: str) -> np.ndarray:
    """3x3: from a pixel of an image of size `own` to that of the image resized to `size`."""
    across, down = size.width / own.width, size.height / own.height
    if abs(across / down - 1) > _SAME_ASPECT:
        raise AlignmentError(
            f"The alignment is for {whose} images of {own}, and these are {size}, of another shape; calibrate again"
            " with the cameras as they are set now."
        )
    return resizing(across, down)
