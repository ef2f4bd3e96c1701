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

"""Alignments are found from what both cameras see, measured on other pictures, and refused where nothing tells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from refinefuse_ros.alignment.file import Homography
from refinefuse_ros.alignment.finding import NotFoundError, find_homography, measure_error
from refinefuse_ros.alignment.models import apply, corners_of
from refinefuse_ros.alignment.placing import Placer
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.video import VideoReader

SIZE = ImageSize(320, 240)
Scene = Callable[..., tuple[list[np.ndarray], list[np.ndarray]]]
M2VD = Path(__file__).resolve().parents[3] / "shared" / "data" / "m2vd"


def seen_by(thermal: list[np.ndarray], matrix: np.ndarray) -> list[np.ndarray]:
    """As 14-bit counts of a camera whose pixels `matrix` brings to RGB's."""
    back = np.linalg.inv(matrix)
    return [
        (7000 + 6 * cv2.warpPerspective(plane, back, SIZE, borderMode=cv2.BORDER_REFLECT)).astype(np.uint16)
        for plane in thermal
    ]


def corner_error(found: np.ndarray, matrix: np.ndarray, size: ImageSize) -> float:
    corners = corners_of(*size)
    return float(np.linalg.norm(apply(found, corners) - apply(matrix, corners), axis=1).mean())


def tilted(size: ImageSize, angle_deg: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    turned = np.vstack([cv2.getRotationMatrix2D((size.width / 2, size.height / 2), angle_deg, scale), (0, 0, 1)])
    turned[:2, 2] += shift
    return np.array([[1, 0, 0], [0, 1, 0], [4e-5, -3e-5, 1]]) @ turned


def test_a_turned_scaled_shifted_and_tilted_thermal_camera_is_found_and_then_measured(scene: Scene) -> None:
    matrix = tilted(SIZE, 6.0, 0.85, (11.0, -8.0))
    thermal, rgb = scene(1)
    found = find_homography(seen_by(thermal, matrix), rgb)
    assert corner_error(found.matrix, matrix, SIZE) < 1.0
    assert (found.pairs, found.residual_px < 1.0) == (2, True)
    thermal, rgb = scene(2)
    counts = [(plane / 28).astype(np.uint8) for plane in seen_by(thermal, matrix)]
    errors = []
    for off in (0.0, 6.0):
        shifted = np.array([[1, 0, off], [0, 1, 0], [0, 0, 1]]) @ found.matrix
        placer = Placer(Homography(tuple(map(tuple, shifted.tolist())), SIZE, SIZE))
        errors.append(measure_error([placer.place(plane, SIZE) for plane in counts], rgb))
    assert errors[0] < 0.7
    assert errors[1] == pytest.approx(6.0, abs=1.0)


def test_pictures_that_have_nothing_in_common_are_refused_with_what_to_record(scene: Scene) -> None:
    thermal, _ = scene(3)
    _, rgb = scene(4)
    with pytest.raises(NotFoundError, match=r"places in the two pictures agree.*record a scene with edges"):
        find_homography(thermal, rgb)


@pytest.mark.parametrize("level", [0, 255])
def test_a_black_or_saturated_picture_is_named(scene: Scene, level: int) -> None:
    thermal, rgb = scene(5, 1)
    flat = [np.full_like(rgb[0], level)]
    with pytest.raises(NotFoundError, match="the thermal pictures are of one value"):
        find_homography(flat, rgb)
    with pytest.raises(NotFoundError, match="the RGB pictures are of one value"):
        find_homography(thermal, flat)


@pytest.mark.skipif(not M2VD.is_dir(), reason="the clips are not here")
def test_a_real_pair_of_cameras_is_found() -> None:
    thermal, rgb = (
        [
            cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
            for frame, _ in zip(VideoReader(M2VD / camera / "0113_1714.mp4"), range(4), strict=False)
        ]
        for camera in ("thermal", "rgb")
    )
    size = ImageSize.of(rgb[0])
    matrix = tilted(size, -4.0, 0.9, (25.0, 12.0))
    moved = [
        cv2.warpPerspective(plane, np.linalg.inv(matrix), size, borderMode=cv2.BORDER_REFLECT) for plane in thermal
    ]
    assert corner_error(find_homography(moved, rgb).matrix, matrix, size) < 3.0
