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

"""Our codec against ROS's own cv_bridge, where a ROS install brings it."""

from __future__ import annotations

import numpy as np
import pytest

cv_bridge = pytest.importorskip("cv_bridge", reason="cv_bridge comes with a ROS install")

from refinefuse_ros.image.frame import Frame  # noqa: E402
from refinefuse_ros.nodes.messages import to_compressed_image, to_frame, to_image  # noqa: E402

SHAPES = {
    "mono8": ((48, 64), np.uint8),
    "mono16": ((48, 64), np.uint16),
    "16UC1": ((48, 64), np.uint16),
    "bgr8": ((48, 64, 3), np.uint8),
    "rgb8": ((48, 64, 3), np.uint8),
    "bgra8": ((48, 64, 4), np.uint8),
    "rgba8": ((48, 64, 4), np.uint8),
}


def random_pixels(encoding: str) -> np.ndarray:
    shape, dtype = SHAPES[encoding]
    return np.random.default_rng(3).integers(0, np.iinfo(dtype).max, shape).astype(dtype)


@pytest.mark.parametrize("encoding", SHAPES)
def test_what_cv_bridge_sends_we_read(encoding: str) -> None:
    message = cv_bridge.CvBridge().cv2_to_imgmsg(random_pixels(encoding), encoding=encoding)
    np.testing.assert_array_equal(to_frame(message).pixels, random_pixels(encoding))


@pytest.mark.parametrize("encoding", SHAPES)
def test_what_we_send_cv_bridge_reads(encoding: str) -> None:
    message = to_image(Frame(1, "camera", encoding, random_pixels(encoding)))
    read = cv_bridge.CvBridge().imgmsg_to_cv2(message, desired_encoding="passthrough")
    np.testing.assert_array_equal(read, random_pixels(encoding))


def test_our_jpeg_is_read_alike() -> None:
    message = to_compressed_image(Frame(1, "camera", "bgr8", random_pixels("bgr8")), quality=90)
    np.testing.assert_array_equal(cv_bridge.CvBridge().compressed_imgmsg_to_cv2(message), to_frame(message).pixels)
