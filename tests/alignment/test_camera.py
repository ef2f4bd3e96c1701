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

"""What a CameraInfo says of a camera, for its images as they are taken in."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from refinefuse_ros.alignment.camera import AlignmentError, camera_of, size_of
from refinefuse_ros.image.sensor_view import Crop, SensorView


@dataclass
class Region:
    x_offset: int = 0
    y_offset: int = 0
    width: int = 0
    height: int = 0


@dataclass
class Info:
    """As a driver sends it, with a focal length of 500 px and the axis at (330, 235)."""

    width: int = 640
    height: int = 480
    distortion_model: str = "plumb_bob"
    d: tuple[float, ...] = (-0.2, 0.1, 0.0, 0.0, 0.0)
    k: tuple[float, ...] = (500.0, 0, 330.0, 0, 500.0, 235.0, 0, 0, 1.0)
    p: tuple[float, ...] = (480.0, 0, 320.0, 0, 0, 480.0, 240.0, 0, 0, 0, 1.0, 0)
    binning_x: int = 0
    binning_y: int = 0
    roi: Region = field(default_factory=Region)


def test_the_whole_image_is_as_the_info_says() -> None:
    camera = camera_of(Info(), "/rgb/image_raw")
    assert camera.size == (640, 480)
    assert camera.distortion == (-0.2, 0.1, 0.0, 0.0, 0.0)
    np.testing.assert_allclose(camera.camera_matrix, [(500, 0, 330), (0, 500, 235), (0, 0, 1)])


@pytest.mark.parametrize("topic", ["/rgb/image_rect", "image_rect_color"])
def test_a_rectified_image_has_no_distortion_and_the_projection(topic: str) -> None:
    camera = camera_of(Info(), topic)
    assert camera.distortion == ()
    np.testing.assert_allclose(camera.camera_matrix, [(480, 0, 320), (0, 480, 240), (0, 0, 1)])


def test_a_region_binned_and_cropped_moves_the_axis() -> None:
    info = Info(roi=Region(100, 40, 400, 400), binning_x=2, binning_y=2)
    assert size_of(info) == (200, 200)
    camera = camera_of(info, "/rgb/image_raw", SensorView("rgb", crop=Crop(10, 0, 0, -20)))
    assert camera.size == (190, 180)
    # A binned pixel's centre lies between those of the two that it is made of.
    middle = [(330 - 100 + 0.5) / 2 - 0.5 - 10, (235 - 40 + 0.5) / 2 - 0.5]
    np.testing.assert_allclose(camera.camera_matrix, [(250, 0, middle[0]), (0, 250, middle[1]), (0, 0, 1)])


def test_an_image_that_is_turned_is_in_no_info() -> None:
    assert camera_of(Info(), "/rgb/image_raw", SensorView("rgb", rotate=90)) is None
    assert camera_of(Info(), "/rgb/image_raw", SensorView("rgb", crop=Crop(0, 0, 900, 900))) is None


def test_a_fisheye_goes_by_its_other_name_too() -> None:
    info = Info(distortion_model="fisheye", d=(0.1, 0.0, 0.0, 0.0))
    assert camera_of(info, "/rgb/image_raw").distortion_model == "equidistant"


@pytest.mark.parametrize(
    ("info", "said"),
    [
        (Info(k=(0.0,) * 9), "beside /rgb/image_raw describes no camera: the focal lengths .* are 0 and 0"),
        (Info(distortion_model="thin_prism"), "has the distortion model 'thin_prism'; give one of plumb_bob"),
        (Info(d=(0.1, 0.2)), "distortion has 2 coefficients"),
    ],
)
def test_an_info_of_no_camera_is_refused(info: Info, said: str) -> None:
    with pytest.raises(AlignmentError, match=said):
        camera_of(info, "/rgb/image_raw")
