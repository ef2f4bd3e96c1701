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
"""A rig that is not aligned is calibrated from its own recording, and its pictures are fused where they belong."""

from __future__ import annotations

import runpy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from refinefuse_ros.commands.cli import main
from refinefuse_ros.image.frame import Frame, ImageSize
from refinefuse_ros.image.sources import ImagePair
from refinefuse_ros.nodes.messages import to_image
from refinefuse_ros.recordings.making import write_bag

pytestmark = pytest.mark.integration

SIZE = ImageSize(320, 240)
CAMERA = runpy.run_path(str(Path(__file__).with_name("simulated_rig.py")))["SimulatedThermal"](
    SIZE, ImageSize(320, 256), shift=(9.0, -5.0)
)
WITHOUT_TELEMETRY = "0 0 0 -2"


@dataclass
class Boxes:
    """Pictures of boxes, by a thermal camera that is not aligned and by an RGB camera."""

    count: int
    description: str = "boxes"

    def __iter__(self) -> Iterator[ImagePair]:
        for number in range(self.count):
            random = np.random.default_rng(number)
            warm, bright = (np.full((SIZE.height, SIZE.width), level, np.uint8) for level in (90, 120))
            for _ in range(60):
                place = random.uniform((0, 0), SIZE), random.uniform(12, 70, 2), random.uniform(0, 180)
                for plane in (warm, bright):
                    cv2.fillPoly(plane, [cv2.boxPoints(place).astype(np.int32)], float(random.uniform(20, 235)))
            yield ImagePair(CAMERA.sees(warm, number), "mono16", cv2.merge([bright] * 3), 0.1)


def test_a_rig_is_calibrated_from_its_recording_and_fused_as_it_lies(rig, tmp_path: Path) -> None:
    write_bag(Boxes(1), tmp_path / "bag")
    file = str(tmp_path / "alignment.yaml")
    taken = ["--bag", str(tmp_path / "bag"), "--thermal-crop", WITHOUT_TELEMETRY]
    assert main(["calibrate", *taken, "--output", file]) == 0
    crop = {"thermal__crop": WITHOUT_TELEMETRY, "engine__backend": "laplacian"}
    rig.start("fusion_node", alignment__file=file, engine__width=SIZE.width, engine__height=SIZE.height, **crop)
    assert rig.spin_until(rig.hears_fusion), rig.output()
    pairs = list(Boxes(2))

    def told() -> bool:
        pair, stamp_ns = pairs[time.time_ns() % len(pairs)], time.time_ns()
        rig.publish("thermal/image_raw", to_image(Frame(stamp_ns, "thermal", pair.thermal_encoding, pair.thermal)))
        rig.publish("rgb/image_raw", to_image(Frame(stamp_ns, "rgb", "bgr8", pair.rgb)))
        return rig.value("alignment", "alignment_error_px") is not None

    assert rig.spin_until(told), rig.output()
    assert float(rig.value("alignment", "alignment_error_px")) < 1.5, rig.messages
    assert rig.levels["/fusion: alignment"] == 0
    assert rig.value("alignment", "alignment_file") == file
