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
from typing import Any, Final

import numpy as np
import yaml

from refinefuse_ros.alignment.camera import AlignmentError, Camera, Matrix, checked_matrix, resized_by
from refinefuse_ros.alignment.models import apply, corners_of
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.settings import ConfigError, Reader, from_mapping, read_mapping
from refinefuse_ros.writing import write_whole

# A thermal image whose sides lie in the RGB image at a length outside of this, in its own diagonals, is no camera's.
_SMALLEST_SIDE, _LARGEST_SIDE = 0.02, 20.0


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
        matrix = checked_matrix("matrix", self.matrix)
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
        of_thermal = resized_by(self.thermal_size, thermal, "thermal")
        return resized_by(self.rgb_size, rgb, "RGB") @ np.array(self.matrix) @ np.linalg.inv(of_thermal)


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """Both cameras' geometry, and how they are mounted.

    Attributes:
        thermal, rgb: each camera; None where its CameraInfo is to say it.
        rotation: 3x3 rows; with `translation`, m: of a point in the RGB camera's frame, from one in the thermal
            camera's (x right, y down, z forward).
        distance_m: from the RGB camera along its axis, at which the two images are brought together.
        residual_px, pairs, made_by, made_at: as of a `Homography`.

    Raises:
        ValueError: it is no rotation, or no distance.
    """

    thermal: Camera | None = None
    rgb: Camera | None = None
    rotation: Matrix
    translation: tuple[float, ...]
    distance_m: float
    residual_px: float | None = None
    pairs: int | None = None
    made_by: str | None = None
    made_at: str | None = None

    def __post_init__(self) -> None:
        rotation = checked_matrix("rotation", self.rotation)
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


def _meets(placed: np.ndarray, size: ImageSize) -> bool:
    low, high = placed.min(axis=0), placed.max(axis=0)
    return bool((high > 0).all() and (low < np.array(size) - 1).all())
