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

"""The camera player as a process: what it publishes, when, and how it ends."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from refinefuse_ros.image.video import Mp4Writer
from refinefuse_ros.nodes.messages import to_ns

pytestmark = pytest.mark.integration


def write_stills(folder, count: int) -> None:
    for camera, channels in (("thermal", 1), ("rgb", 3)):
        (folder / camera).mkdir()
        for index in range(count):
            pixels = np.full((40, 48, channels), 10 * index, np.uint8)
            cv2.imwrite(str(folder / camera / f"{index}.png"), pixels)


def test_plays_a_folder_in_order_at_its_rate_with_camera_infos(rig, tmp_path) -> None:
    write_stills(tmp_path, 5)
    received: dict[str, list] = {}
    for topic, kind in (
        ("thermal/image_raw", Image),
        ("rgb/image_raw", Image),
        ("thermal/camera_info", CameraInfo),
        ("rgb/camera_info", CameraInfo),
    ):
        received[topic] = []
        rig.node.create_subscription(kind, topic, received[topic].append, QoSProfile(depth=50))
    rig.start("camera_player", source=str(tmp_path), rate_hz=20.0, pairs=8, wait_for_subscribers=1)
    assert rig.spin_until(lambda: all(len(messages) == 8 for messages in received.values())), rig.output()
    stamps = {topic: [to_ns(message.header.stamp) for message in messages] for topic, messages in received.items()}
    assert stamps["thermal/image_raw"] == stamps["rgb/image_raw"] == stamps["rgb/camera_info"]
    assert np.median(np.diff(stamps["rgb/image_raw"])) == pytest.approx(50e6, rel=0.2)
    assert [message.data[0] for message in received["rgb/image_raw"]] == [0, 10, 20, 30, 40, 0, 10, 20]  # loops
    thermal = received["thermal/image_raw"][1]
    assert (thermal.encoding, thermal.header.frame_id) == ("mono16", "thermal_optical_frame")
    assert np.frombuffer(thermal.data, np.uint16)[0] == 10 * 64
    info = received["rgb/camera_info"][0]
    assert (info.width, info.height, info.header.frame_id) == (48, 40, "rgb_optical_frame")
    finished = rig.spin_until(lambda: rig.statuses.get("/camera_player: playback", {}).get("finished") == "True", 5)
    assert finished
    assert rig.statuses["/camera_player: playback"]["rgb_published"] == "8"


def test_a_slower_thermal_video_is_published_as_a_slower_camera(rig, tmp_path) -> None:
    for camera, rate_hz in (("thermal", 10), ("rgb", 30)):
        (tmp_path / camera).mkdir()
        with Mp4Writer(tmp_path / camera / "a.mp4", rate_hz) as writer:
            for index in range(rate_hz):
                writer.write(np.full((48, 64, 3), 5 * index, np.uint8))
    received: dict[str, list] = {"thermal": [], "rgb": []}
    for camera, messages in received.items():
        rig.node.create_subscription(Image, f"{camera}/image_raw", messages.append, QoSProfile(depth=50))
    rig.start("camera_player", source=str(tmp_path), loop=False, wait_for_subscribers=1)
    assert rig.spin_until(lambda: len(received["rgb"]) == 30), rig.output()
    assert rig.spin_until(lambda: rig.statuses.get("/camera_player: playback", {}).get("finished") == "True", 5)
    assert len(received["thermal"]) == 10
    assert rig.statuses["/camera_player: playback"]["thermal_published"] == "10"


def test_a_source_that_cannot_be_played_is_one_sentence(rig) -> None:
    process = rig.start("camera_player", source="/no/such/folder")
    assert process.wait(20) == 1
    assert process.output.strip() == (
        "error: /no/such/folder/thermal is not a folder; give a folder that holds thermal/ and rgb/."
    )


def test_a_source_that_breaks_off_ends_it_with_a_sentence(rig, tmp_path) -> None:
    write_stills(tmp_path, 5)
    (tmp_path / "rgb" / "3.png").write_bytes(b"no image")
    process = rig.start("camera_player", source=str(tmp_path), rate_hz=100.0)
    assert process.wait(20) == 1
    assert (
        process.output.strip()
        .splitlines()[-1]
        .startswith(f"error: {tmp_path / 'rgb' / '3.png'} is not a readable image")
    )


def test_a_qos_override_that_is_none_is_one_sentence(rig) -> None:
    process = rig.start("camera_player", **{"qos_overrides./rgb/image_raw.publisher.reliability": "nonsense"})
    assert process.wait(20) == 1
    assert process.output.startswith("error: A QoS override cannot be used: ")
    assert "nonsense" in process.output


def test_ends_on_ctrl_c_while_it_waits(rig) -> None:
    process = rig.start("camera_player", wait_for_subscribers=100, width=64, height=48)
    assert rig.spin_until(lambda: "/camera_player: playback" in rig.statuses)
    process.interrupt()
    assert process.wait(3) == 0
