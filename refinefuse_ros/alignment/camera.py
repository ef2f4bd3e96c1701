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

"""The inner geometry of one camera: as it was calibrated, or as it says itself in its CameraInfo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np

from refinefuse_ros.alignment.models import resizing
from refinefuse_ros.errors import UserError
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.sensor_view import SensorView

Matrix = tuple[tuple[float, ...], ...]
DISTORTION_MODELS: Final = {"plumb_bob": (0, 4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
"""How many coefficients each takes, in OpenCV's order; sensor_msgs/CameraInfo names them so."""

# Sizes of another aspect than the file's by more than this are of another picture, not of a resized one.
_SAME_ASPECT: Final = 0.02
_ROS_NAMES: Final = {"fisheye": "equidistant", "": "plumb_bob"}


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
        matrix = checked_matrix("camera_matrix", self.camera_matrix)
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
        return resized_by(self.size, size, "a camera") @ np.array(self.camera_matrix)


class _Region(Protocol):
    x_offset: int
    y_offset: int
    width: int
    height: int


class CameraInfo(Protocol):
    """What is used of a sensor_msgs/CameraInfo, whoever decoded it."""

    width: int
    height: int
    distortion_model: str
    d: Sequence[float]
    k: Sequence[float]
    p: Sequence[float]
    binning_x: int
    binning_y: int
    roi: _Region


def size_of(info: CameraInfo) -> ImageSize:
    """The size of the images that a CameraInfo speaks of: its region of interest, or all, binned."""
    width, height = info.width, info.height
    if info.roi.width and info.roi.height:
        width, height = info.roi.width, info.roi.height
    return ImageSize(width // max(info.binning_x, 1), height // max(info.binning_y, 1))


def from_sensor(info: CameraInfo) -> np.ndarray:
    """3x3: from a pixel of the whole sensor, of which K and P speak, to that of its images: of a region, and binned."""
    binned = resizing(1 / max(info.binning_x, 1), 1 / max(info.binning_y, 1))
    return binned @ np.array([(1, 0, -info.roi.x_offset), (0, 1, -info.roi.y_offset), (0, 0, 1)], float)


def camera_of(info: CameraInfo, topic: str, view: SensorView | None = None) -> Camera | None:
    """The camera that a CameraInfo describes, for its images as they are taken in.

    Args:
        info: of the camera.
        topic: of its images; those of `image_rect` and `image_rect_color` have no distortion, and P for K, as
            image_proc makes them.
        view: which part of its images is used; None is the whole.

    Returns:
        The camera; None where its images are turned or flipped, of which no CameraInfo speaks.

    Raises:
        AlignmentError: it describes none.
    """
    rectified = topic.rpartition("/")[2].startswith("image_rect")
    numbers = np.reshape(info.p, (3, 4))[:, :3] if rectified else np.reshape(info.k, (3, 3))
    distortion = () if rectified else tuple(float(each) for each in info.d)
    model = _ROS_NAMES.get(info.distortion_model, info.distortion_model) if distortion else "plumb_bob"
    if model not in DISTORTION_MODELS:
        raise AlignmentError(
            f"The CameraInfo beside {topic} has the distortion model '{model}'; give one of"
            f" {', '.join(DISTORTION_MODELS)}, or write the camera into the alignment file."
        )
    size, cut = size_of(info), np.eye(3)
    if view is not None:
        part = view.crop.of(size)
        if part is None or view.is_turned:
            return None
        size, cut[:2, 2] = ImageSize(part.width, part.height), (-part.x, -part.y)
    try:
        return Camera(rows_of(cut @ from_sensor(info) @ numbers), distortion, size, model)
    except ValueError as error:
        raise AlignmentError(f"The CameraInfo beside {topic} describes no camera: {error}") from error


def rows_of(matrix: np.ndarray) -> Matrix:
    """An array, (3, 3), as an alignment file has it."""
    return tuple(map(tuple, matrix.tolist()))


def checked_matrix(name: str, rows: Matrix) -> np.ndarray:
    """The rows as an array.

    Raises:
        ValueError: they are no 3x3 finite numbers.
    """
    if len(rows) != 3 or any(len(row) != 3 for row in rows):
        raise ValueError(f"{name} is not three rows of three numbers; mend it.")
    matrix = np.array(rows, float)
    if not np.isfinite(matrix).all():
        raise ValueError(f"{name} holds a number that is not finite; mend it.")
    return matrix


def resized_by(own: ImageSize, size: ImageSize, whose: str) -> np.ndarray:
    """3x3: from a pixel of an image of size `own` to that of the image resized to `size`."""
    across, down = size.width / own.width, size.height / own.height
    if abs(across / down - 1) > _SAME_ASPECT:
        raise AlignmentError(
            f"The alignment is for {whose} images of {own}, and these are {size}, of another shape; calibrate again"
            " with the cameras as they are set now."
        )
    return resizing(across, down)
