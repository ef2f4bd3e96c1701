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
"""A rig that is not aligned, made of a clip whose cameras are: publishes both over DDS until Ctrl-C.

    python tests/integration/simulated_rig.py --thermal CLIP --rgb CLIP

The thermal camera has a lens of its own (four fifths of the RGB camera's field of view, barrel distortion), is turned,
tilted and shifted, sends counts of 14 bits at 9 Hz with two rows of telemetry below, and stamps as RGB does.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from refinefuse_ros.alignment.models import apply
from refinefuse_ros.image.frame import Frame, ImageSize

TELEMETRY_ROWS = 2
THERMAL_PERIOD_S = 1 / 9


@dataclass(frozen=True)
class SimulatedThermal:
    """The thermal camera of the rig, which looks at pictures of an RGB camera of `rgb_size`.

    Attributes:
        rgb_size: of the pictures.
        size: of its own images, without the telemetry.
        field: its field of view, in parts of the RGB camera's.
        angle_deg: by which it is turned.
        shift: by which it is shifted, RGB pixels.
        distortion: k1 of its lens.
    """

    rgb_size: ImageSize
    size: ImageSize
    field: float = 0.8
    angle_deg: float = 3.0
    shift: tuple[float, float] = (18.0, -9.0)
    distortion: float = -0.06

    def to_rgb(self, points: np.ndarray) -> np.ndarray:
        """Where its pixels (N, 2) lie in the RGB image."""
        width, height = self.size
        focal = width  # a field of 53 degrees
        camera = np.array([(focal, 0, (width - 1) / 2), (0, focal, (height - 1) / 2), (0, 0, 1)], float)
        straight = cv2.undistortPoints(
            np.asarray(points, float).reshape(-1, 1, 2), camera, np.array([self.distortion, 0, 0, 0]), None, camera
        ).reshape(-1, 2)
        return apply(self._matrix(), straight)

    def sees(self, plane: np.ndarray, number: int) -> np.ndarray:
        """Its frame of this number, (H + 2, W) uint16, of the scene that the aligned thermal picture shows."""
        seen = cv2.remap(plane.astype(np.float32), *self._maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        noise = np.random.default_rng(number).normal(0, 4, seen.shape)
        telemetry = np.full((TELEMETRY_ROWS, self.size.width), 14000)
        telemetry[0, ::3] = number
        return np.vstack([7000 + 7 * seen + noise, telemetry]).astype(np.uint16)

    @cached_property
    def _maps(self) -> tuple[np.ndarray, np.ndarray]:
        columns, rows = np.meshgrid(np.arange(self.size.width), np.arange(self.size.height))
        where = self.to_rgb(np.column_stack([columns.ravel(), rows.ravel()])).astype(np.float32)
        return tuple(each.reshape(columns.shape) for each in where.T)

    def _matrix(self) -> np.ndarray:
        (width, height), own = self.rgb_size, self.size
        scale = self.field * width / own.width
        to_centre = np.array([(scale, 0, -scale * own.width / 2), (0, scale, -scale * own.height / 2), (0, 0, 1)])
        turned = np.vstack([cv2.getRotationMatrix2D((0, 0), self.angle_deg, 1), (0, 0, 1)])
        tilted = np.array([(1, 0, 0), (0, 1, 0), (4e-5, -3e-5, 1)])
        back = np.array([(1, 0, width / 2 + self.shift[0]), (0, 1, height / 2 + self.shift[1]), (0, 0, 1)])
        return back @ tilted @ turned @ to_centre


def shots(
    thermal: Iterator[np.ndarray], rgb: Iterator[np.ndarray], period_s: float, camera: SimulatedThermal
) -> Iterator[tuple[float, Frame | None, Frame]]:
    """When each is exposed, s from the start, the thermal frame where there is one, and the RGB frame."""
    due_s = 0.0
    for number, (plane, bgr) in enumerate(zip(thermal, rgb, strict=False)):
        now_s = number * period_s
        frame = None
        if now_s >= due_s - 1e-6:
            due_s += THERMAL_PERIOD_S
            frame = Frame(0, "thermal", "mono16", camera.sees(plane, number))
        yield now_s, frame, Frame(0, "rgb", "bgr8", bgr)


def main() -> None:
    import rclpy
    from rclpy.executors import ExternalShutdownException
    from sensor_msgs.msg import Image

    from refinefuse_ros.image.video import VideoReader
    from refinefuse_ros.nodes.messages import to_image, to_stamp
    from refinefuse_ros.nodes.playing import create_camera_publisher
    from refinefuse_ros.nodes.running import use_large_image_transport

    parser = argparse.ArgumentParser()
    parser.add_argument("--thermal", type=Path, required=True)
    parser.add_argument("--rgb", type=Path, required=True)
    options = parser.parse_args()
    use_large_image_transport()
    rclpy.init()
    node = rclpy.create_node("simulated_rig")
    publishers = {name: create_camera_publisher(node, Image, f"{name}/image_raw") for name in ("thermal", "rgb")}
    size = VideoReader(options.rgb).size
    camera = SimulatedThermal(size, ImageSize(640, 512))
    period_s = 1 / VideoReader(options.rgb).rate_hz
    try:
        for _ in itertools.count():
            thermal = (cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in VideoReader(options.thermal))
            started_s = time.monotonic()
            for now_s, *frames in shots(thermal, iter(VideoReader(options.rgb)), period_s, camera):
                time.sleep(max(started_s + now_s - time.monotonic(), 0))
                stamp = to_stamp(time.time_ns())
                for frame in filter(None, frames):
                    message = to_image(frame)
                    message.header.stamp = stamp
                    publishers[frame.frame_id].publish(message)
                if not rclpy.ok():
                    return
    except (KeyboardInterrupt, ExternalShutdownException):
        pass


if __name__ == "__main__":
    main()
