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

"""The alignment file: what is written is read, and what is no camera's is refused in a sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from refinefuse_ros.alignment.camera import AlignmentError, Camera
from refinefuse_ros.alignment.file import Calibrated, Homography, read_alignment, write_alignment
from refinefuse_ros.image.frame import ImageSize

SMALL, LARGE = ImageSize(160, 120), ImageSize(640, 480)
HOMOGRAPHY = Homography(((4.0, 0.1, 3.0), (-0.1, 4.0, 2.0), (1e-5, 0.0, 1.0)), SMALL, LARGE, 0.4, 10, "made", "then")
CAMERA = Camera(((200.0, 0.0, 79.5), (0.0, 200.0, 59.5), (0.0, 0.0, 1.0)), (0.1, 0.0, 0.0, 0.0), SMALL)
CALIBRATED = Calibrated(
    thermal=CAMERA,
    rgb=Camera(
        ((500.0, 0.0, 319.5), (0.0, 500.0, 239.5), (0.0, 0.0, 1.0)), (0.1, 0.0, 0.0, 0.01), LARGE, "equidistant"
    ),
    rotation=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    translation=(0.05, 0.0, 0.0),
    distance_m=8.0,
)


@pytest.mark.parametrize(
    "alignment",
    [
        HOMOGRAPHY,
        CALIBRATED,
        replace(HOMOGRAPHY, residual_px=None, made_at=None),
        replace(CALIBRATED, thermal=None, rgb=None, residual_px=0.2, pairs=9),
    ],
)
def test_what_is_written_is_read(tmp_path: Path, alignment: Homography | Calibrated) -> None:
    write_alignment(tmp_path / "alignment.yaml", alignment)
    assert read_alignment(tmp_path / "alignment.yaml") == alignment


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"type": "magic"}, "type is 'magic'; give one of homography, calibrated"),
        ({"shift": 3}, "no setting shift"),
        ({"matrix": None}, "give a list"),
        ({"matrix": [[1, 0, 0], [0, 1, 0]]}, "not three rows of three"),
        ({"matrix": [[1, 0, float("nan")], [0, 1, 0], [0, 0, 1]]}, "not finite"),
        ({"matrix": [[1, 2, 0], [2, 4, 0], [0, 0, 1]]}, "singular"),
        ({"matrix": [[0.01, 0, 0], [0, 0.01, 0], [0, 0, 1]]}, "sides 1.19 to 1.59 pixels"),
        ({"matrix": [[900, 0, 0], [0, 900, 0], [0, 0, 1]]}, "calibrate again"),
        ({"matrix": [[4, 0, 900], [0, 4, 0], [0, 0, 1]]}, "beside the RGB image"),
        ({"matrix": [[4, 0, 0], [0, 4, 0], [-0.01, 0, 1]]}, "behind the camera"),
        ({"thermal_size": [160]}, "thermal_size is .160.; give .width, height."),
        ({"rgb_size": [640, 0]}, "rgb_size"),
    ],
)
def test_a_homography_that_is_none_is_refused(tmp_path: Path, change: dict, said: str) -> None:
    path = tmp_path / "alignment.yaml"
    write_alignment(path, HOMOGRAPHY)
    path.write_text(yaml.dump(yaml.safe_load(path.read_text()) | change))
    with pytest.raises(AlignmentError, match=said):
        read_alignment(path)


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (("thermal", "camera_matrix"), [[0, 0, 0], [0, 0, 0], [0, 0, 0]], "focal lengths in camera_matrix are 0 and 0"),
        (("rgb", "distortion"), [0.1, 0.2, 0.3], "has 3 coefficients; equidistant takes 4"),
        (("rgb", "distortion_model"), "fisheye", "give one of plumb_bob"),
        (("rotation",), [[1, 0, 0], [0, 1, 0], [0, 0, -1]], "no rotation"),
        (("translation",), [1, 2], "three finite numbers"),
        (("distance_m",), 0, "distance_m is 0"),
    ],
)
def test_a_calibration_that_is_none_is_refused(tmp_path: Path, keys: tuple[str, ...], value: object, said: str) -> None:
    path = tmp_path / "alignment.yaml"
    write_alignment(path, CALIBRATED)
    settings = yaml.safe_load(path.read_text())
    place = settings
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text(yaml.dump(settings))
    with pytest.raises(AlignmentError, match=said):
        read_alignment(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AlignmentError, match=r"none\.yaml cannot be read"):
        read_alignment(tmp_path / "none.yaml")


def test_images_of_the_same_shape_are_resized_ones_and_others_are_refused() -> None:
    same = HOMOGRAPHY.matrix_at(SMALL, LARGE)
    np.testing.assert_allclose(same, HOMOGRAPHY.matrix)
    half = HOMOGRAPHY.matrix_at(ImageSize(80, 60), ImageSize(320, 240))
    # The outer corner of the first pixel is at -0.5 in images of every size.
    corner, moved = np.array((-0.5, -0.5, 1)) @ np.array(HOMOGRAPHY.matrix).T, half @ (-0.5, -0.5, 1)
    np.testing.assert_allclose((moved[:2] / moved[2] + 0.5) * 2, corner[:2] / corner[2] + 0.5, atol=1e-9)
    with pytest.raises(AlignmentError, match="thermal images of 160x120, and these are 160x128, of another shape"):
        HOMOGRAPHY.matrix_at(ImageSize(160, 128), LARGE)
