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

"""Messages to frames and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from sensor_msgs.msg import CameraInfo, RegionOfInterest

from refinefuse_ros.alignment.camera import size_of
from refinefuse_ros.image.frame import Frame, ImageSize
from refinefuse_ros.image.sensor_view import Crop, SensorView
from refinefuse_ros.nodes.messages import (
    info_of_view,
    pinhole_camera_info,
    resized_info,
    to_compressed_image,
    to_frame,
    to_image,
    to_ns,
    to_stamp,
    uncalibrated_camera_info,
)

PIXELS = {
    "mono8": np.arange(12, dtype=np.uint8).reshape(3, 4),
    "mono16": np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000,
    "32FC1": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
    "bgr8": np.arange(36, dtype=np.uint8).reshape(3, 4, 3),
}


@given(st.integers(0, 2**31 * 1_000_000_000 - 1))
def test_stamps_survive_to_the_nanosecond(stamp_ns: int) -> None:
    assert to_ns(to_stamp(stamp_ns)) == stamp_ns


@pytest.mark.parametrize("encoding", PIXELS)
def test_frames_survive_the_message(encoding: str) -> None:
    frame = Frame(1_234_567_890_123, "camera", encoding, PIXELS[encoding])
    message = to_image(frame)
    assert message.step * message.height == len(message.data)
    back = to_frame(message)
    assert (back.stamp_ns, back.frame_id, back.encoding) == (frame.stamp_ns, "camera", encoding)
    np.testing.assert_array_equal(back.pixels, frame.pixels)


@pytest.mark.parametrize("encoding", ["bgr8", "rgb8"])
def test_jpeg_keeps_the_colours_whatever_the_channel_order(encoding: str) -> None:
    red_bgr = np.zeros((16, 16, 3), np.uint8)
    red_bgr[..., 2] = 250
    pixels = red_bgr if encoding == "bgr8" else red_bgr[..., ::-1]
    back = to_frame(to_compressed_image(Frame(5, "camera", encoding, pixels), quality=95))
    assert back.encoding == "bgr8"
    assert np.abs(back.pixels.astype(int) - red_bgr).max() < 12


def test_frames_are_taken_in_by_their_cameras_view() -> None:
    frame = Frame(5, "camera", "mono16", PIXELS["mono16"])
    view = SensorView("thermal", crop=Crop(1, 0, 0, 0), rotate=180)
    np.testing.assert_array_equal(to_frame(to_image(frame), view=view).pixels, frame.pixels[::-1, :0:-1])
    compressed = to_compressed_image(Frame(5, "camera", "bgr8", np.zeros((4, 6, 3), np.uint8)), quality=95)
    assert to_frame(compressed, view=SensorView("rgb", crop=Crop(1, 0, 3, 0))).size == ImageSize(3, 4)


def test_a_cropped_camera_info_speaks_of_its_part() -> None:
    info = pinhole_camera_info(ImageSize(640, 514), 500.0)
    assert info_of_view(info, SensorView("thermal")) is info
    seen = info_of_view(info, SensorView("thermal", crop=Crop(10, 2, 0, 0)))
    assert (seen.roi.x_offset, seen.roi.y_offset, seen.roi.width, seen.roi.height) == (10, 2, 630, 512)
    assert (seen.width, seen.height, list(seen.k)) == (640, 514, list(info.k))
    assert not info.roi.width
    info.binning_x = info.binning_y = 2
    seen = info_of_view(seen, SensorView("thermal", crop=Crop(5, 0, 100, 200)))
    assert (seen.roi.x_offset, seen.roi.y_offset, seen.roi.width, seen.roi.height) == (15, 2, 100, 200)
    info.roi = RegionOfInterest(x_offset=40, y_offset=60, width=320, height=240)
    seen = info_of_view(info, SensorView("thermal", crop=Crop(5, 6, 0, 0)))
    assert (seen.roi.x_offset, seen.roi.y_offset, seen.roi.width, seen.roi.height) == (50, 72, 310, 228)


@pytest.mark.parametrize("view", [SensorView("rgb", rotate=90), SensorView("rgb", flip="horizontal")])
def test_no_camera_info_fits_what_is_turned(view: SensorView) -> None:
    assert info_of_view(pinhole_camera_info(ImageSize(640, 480)), view) is None
    assert info_of_view(pinhole_camera_info(ImageSize(640, 480)), SensorView("rgb", crop=Crop(0, 0, 641, 480))) is None


def test_camera_infos() -> None:
    info = pinhole_camera_info(ImageSize(640, 480), 500.0)
    assert (info.k[0], info.k[2], info.k[5], info.p[0], len(info.d)) == (500.0, 319.5, 239.5, 500.0, 5)
    assert not uncalibrated_camera_info(ImageSize(640, 480)).k.any()


def test_the_info_of_a_resized_image_is_of_that_image_alone() -> None:
    info = pinhole_camera_info(ImageSize(640, 480), 500.0)
    info.roi = RegionOfInterest(x_offset=100, y_offset=40, width=400, height=400)
    info.binning_x = info.binning_y = 2
    resized = resized_info(info, ImageSize(100, 100))
    assert (size_of(resized), resized.binning_x, resized.roi.width) == ((100, 100), 0, 0)
    # A quarter of the sensor's pixels a side; their centres are at whole numbers.
    middle = [(centre - offset + 0.5) / 4 - 0.5 for centre, offset in ((319.5, 100), (239.5, 40))]
    np.testing.assert_allclose(np.reshape(resized.k, (3, 3)), [(125, 0, middle[0]), (0, 125, middle[1]), (0, 0, 1)])
    np.testing.assert_allclose(np.reshape(resized.p, (3, 4))[:, :3], np.reshape(resized.k, (3, 3)))
    assert not resized_info(CameraInfo(width=640, height=480), ImageSize(320, 240)).k.any()
