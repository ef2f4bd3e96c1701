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

"""Placing by an alignment: to the pixel, and softly where thermal does not see."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from refinefuse_ros.alignment.camera import AlignmentError, Camera
from refinefuse_ros.alignment.file import Calibrated, Homography
from refinefuse_ros.alignment.maps import AlignmentMap
from refinefuse_ros.alignment.placing import PlacedThermal, Placer
from refinefuse_ros.image.frame import ImageSize

SIZE = ImageSize(64, 48)
EYE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def homography(matrix: np.ndarray, thermal: ImageSize = SIZE, rgb: ImageSize = SIZE) -> Homography:
    return Homography(tuple(tuple(map(float, row)) for row in matrix), thermal, rgb)


def picture(dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (SIZE.height, SIZE.width)).astype(dtype)


def camera(size: ImageSize, focal: float, distortion: tuple[float, ...] = (), model: str = "plumb_bob") -> Camera:
    cx, cy = (size.width - 1) / 2, (size.height - 1) / 2
    return Camera(((focal, 0.0, cx), (0.0, focal, cy), (0.0, 0.0, 1.0)), distortion, size, model)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_shift_moves_every_pixel_by_it(dtype: type) -> None:
    thermal = picture(dtype)
    placed = AlignmentMap(homography([[1, 0, 10], [0, 1, 5], [0, 0, 1]]), SIZE, SIZE).place(thermal)
    np.testing.assert_array_equal(placed[5:, 10:], thermal[:-5, :-10])


def test_the_same_picture_counts_everywhere_and_is_not_changed() -> None:
    same = AlignmentMap(homography(EYE), SIZE, SIZE)
    assert same.weight is None
    np.testing.assert_array_equal(same.place(picture()), picture())


def test_a_perspective_places_as_opencv_warps() -> None:
    matrix = np.array([[1.1, 0.05, -3], [-0.04, 1.05, 2], [5e-4, -3e-4, 1]])
    smooth = cv2.GaussianBlur(picture(np.float32), (0, 0), 3)
    mapping = AlignmentMap(homography(matrix), SIZE, SIZE)
    warped = cv2.warpPerspective(smooth, matrix, SIZE, borderMode=cv2.BORDER_REPLICATE)
    inside = np.ones_like(smooth, bool) if mapping.weight is None else mapping.weight == 255
    assert inside.mean() > 0.5
    np.testing.assert_allclose(mapping.place(smooth)[inside], warped[inside], atol=0.5)


def test_the_weight_falls_softly_to_nothing_where_thermal_ends() -> None:
    size = ImageSize(640, 480)
    narrow = homography([[0.5, 0, 160], [0, 0.5, 120], [0, 0, 1]], size, size)
    weight = AlignmentMap(narrow, size, size).weight
    assert weight.dtype == np.uint8
    assert (weight[240, 320], weight[240, 10], weight[10, 320]) == (255, 0, 0)
    row = weight[240].astype(int)
    assert row[158] == 0
    assert np.abs(np.diff(row)).max() < 30
    assert (np.diff(row[:320]) >= 0).all()


def test_the_border_of_the_rgb_image_is_no_edge_of_thermal() -> None:
    wide = homography([[1.5, 0, -16], [0, 1.5, -12], [0, 0, 1]])
    assert AlignmentMap(wide, SIZE, SIZE).weight is None
    shifted = AlignmentMap(homography([[1, 0, 20], [0, 1, 0], [0, 0, 1]]), SIZE, SIZE).weight
    assert (shifted[:, -1] == 255).all()
    assert (shifted[:, :19] == 0).all()


def test_much_finer_thermal_is_averaged() -> None:
    stripes = np.zeros((480, 640), np.uint8)
    stripes[:, ::2] = 200
    matrix = np.array([[0.1, 0, -0.45], [0, 0.1, -0.45], [0, 0, 1]])
    placed = AlignmentMap(homography(matrix, ImageSize(640, 480)), ImageSize(640, 480), SIZE).place(stripes)
    np.testing.assert_allclose(placed, 100, atol=2)


@pytest.mark.parametrize(
    ("distortion", "model"),
    [((), "plumb_bob"), ((-0.2, 0.05, 1e-3, -1e-3, 0.0), "plumb_bob"), ((0.05, -0.01, 0.0, 0.0), "equidistant")],
)
def test_a_calibrated_point_at_the_distance_is_where_both_cameras_see_it(
    distortion: tuple[float, ...], model: str
) -> None:
    thermal_size, rgb_size = ImageSize(160, 120), ImageSize(320, 240)
    thermal, rgb = camera(thermal_size, 150.0, distortion, model), camera(rgb_size, 280.0)
    rotation, _ = cv2.Rodrigues(np.array([0.01, -0.02, 0.03]))
    translation = np.array([0.1, -0.02, 0.01])
    alignment = Calibrated(
        thermal=thermal,
        rgb=rgb,
        rotation=tuple(map(tuple, rotation.tolist())),
        translation=tuple(translation.tolist()),
        distance_m=5.0,
    )
    point = np.array([(0.4, -0.3, 5.0)])  # in the RGB camera's frame, at the distance
    in_rgb = (point[0, :2] / 5.0) * 280.0 + ((rgb_size.width - 1) / 2, (rgb_size.height - 1) / 2)
    in_thermal = (point - translation) @ rotation
    matrix, coefficients = np.array(thermal.camera_matrix), np.array(distortion)
    if model == "equidistant":
        seen, _ = cv2.fisheye.projectPoints(in_thermal[None], np.zeros(3), np.zeros(3), matrix, coefficients)
    else:
        seen, _ = cv2.projectPoints(in_thermal, np.zeros(3), np.zeros(3), matrix, coefficients if distortion else None)
    spot = np.zeros((120, 160), np.float32)
    y, x = np.mgrid[:120, :160]
    spot += np.exp(-((x - seen.ravel()[0]) ** 2 + (y - seen.ravel()[1]) ** 2) / 18).astype(np.float32)
    placed = AlignmentMap(alignment, thermal_size, rgb_size).place(spot)
    bright = placed**8
    centre = np.array([(bright * axis).sum() / bright.sum() for axis in np.mgrid[:240, :320][::-1]])
    np.testing.assert_allclose(centre, in_rgb, atol=0.25)


def test_thermal_that_looks_elsewhere_is_refused() -> None:
    turned, _ = cv2.Rodrigues(np.array([0.0, np.pi / 2, 0.0]))
    elsewhere = Calibrated(
        thermal=camera(SIZE, 60.0),
        rgb=camera(SIZE, 60.0),
        rotation=tuple(map(tuple, turned.tolist())),
        translation=(0.0,) * 3,
        distance_m=5.0,
    )
    with pytest.raises(AlignmentError, match="sees nothing of the RGB image"):
        AlignmentMap(elsewhere, SIZE, SIZE)


def test_fading_mixes_by_the_weight() -> None:
    fused, luma = np.full((1, 4), 250, np.uint8), np.full((1, 4), 50, np.uint8)
    placed = PlacedThermal(fused, np.array([[0, 51, 128, 255]], np.uint8))
    np.testing.assert_array_equal(placed.fade(fused, luma), [[50, 90, 150, 250]])
    np.testing.assert_array_equal(placed.fade(luma, fused), [[250, 210, 150, 50]])


def test_a_placer_follows_the_sizes_of_what_it_is_given() -> None:
    placer = Placer(homography([[1, 0, 10], [0, 1, 0], [0, 0, 1]]))
    assert placer.place(picture(), SIZE).plane[0, 10] == picture()[0, 0]
    twice = placer.place(picture(), ImageSize(128, 96))
    assert twice.plane.shape == twice.weight.shape == (96, 128)
    assert (twice.weight[:, :20] == 0).all()
    with pytest.raises(AlignmentError, match="of another shape"):
        placer.place(picture(), ImageSize(128, 48))
