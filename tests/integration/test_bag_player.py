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

"""The bag player as a process: the recorded messages again, in their pace, with /clock for the real fusion node."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from refinefuse_ros.image.sources import ImagePair
from refinefuse_ros.nodes.bag_player import ROUND_PAUSE_S
from refinefuse_ros.nodes.messages import to_ns
from refinefuse_ros.nodes.sent_times import read_sent_times
from refinefuse_ros.recordings.making import START_NS, write_bag

pytestmark = pytest.mark.integration


@dataclass
class Numbered:
    """Pairs of 64x48 pixels at 10 Hz; the RGB image's grey is the pair's number."""

    count: int
    description: str = "numbered pairs"

    def __iter__(self) -> Iterator[ImagePair]:
        thermal = cv2.resize(np.arange(256, dtype=np.uint8).reshape(16, 16), (64, 48))
        for index in range(self.count):
            yield ImagePair(thermal, "mono8", np.full((48, 64, 3), index, np.uint8), 1 / 10)


def collect(rig, kind: type, topic: str) -> list:
    received: list = []
    rig.node.create_subscription(kind, topic, received.append, QoSProfile(depth=50))
    return received


def stamps_ms(messages: list) -> list[int]:
    return [(to_ns(message.header.stamp) - START_NS) // 1_000_000 for message in messages]


def test_the_fusion_node_fuses_a_bag_in_its_own_time(rig, tmp_path: Path) -> None:
    write_bag(Numbered(20), tmp_path / "bag", rgb_encoding="bayer_rggb8")
    clocks = collect(rig, Clock, "/clock")
    rig.start("fusion_node", model="nano", use_sim_time=True, engine__width=64, engine__height=48)
    assert rig.spin_until(rig.hears_fusion), rig.output()
    process = rig.start("bag_player", bag=str(tmp_path / "bag"), clock=True, exit_at_end=True, wait_for_subscribers=1)
    playback = "/bag_player: playback"
    assert rig.spin_until(lambda: rig.statuses.get(playback, {}).get("finished") == "True"), rig.output()
    assert process.wait(10) == 0

    def settled() -> bool:
        published, superseded = (int(rig.value("frames", f"pairs_{name}")) for name in ("published", "superseded"))
        return len(rig.fused) == len(rig.fused_infos) == published == 20 - superseded

    assert rig.spin_until(settled, 10), (rig.statuses, rig.output())
    assert len(rig.fused) >= 15  # a busy machine may supersede some
    assert stamps_ms(rig.fused) == sorted({100 * index for index in range(20)} & set(stamps_ms(rig.fused)))
    assert rig.fused_infos[0].k[2] == 31.5  # the bag's own CameraInfo
    times = [clock.clock.sec * 10**9 + clock.clock.nanosec for clock in clocks]
    assert times == sorted(times)
    assert START_NS <= times[0] < times[-1] <= START_NS + 1_900_000_000
    assert rig.statuses[playback]["rgb_published"] == "20"
    assert int(rig.statuses[playback]["late_messages"]) <= 2


def test_plays_a_part_faster_and_over_again(rig, tmp_path: Path) -> None:
    write_bag(Numbered(20), tmp_path / "bag", rgb_encoding="jpeg", storage="sqlite3")
    rgb = collect(rig, CompressedImage, "rgb/image_raw/compressed")
    thermal = collect(rig, Image, "thermal/image_raw")
    infos = collect(rig, CameraInfo, "rgb/camera_info")
    process = rig.start(
        "bag_player",
        bag=str(tmp_path / "bag"),
        rate=2.0,
        loop=True,
        start_s=0.5,
        duration_s=0.4,
        wait_for_subscribers=1,
    )
    assert rig.spin_until(lambda: rgb != []), rig.output()
    started = time.monotonic()
    assert rig.spin_until(lambda: min(len(rgb), len(thermal), len(infos)) >= 12), rig.output()
    assert 0.3 < time.monotonic() - started < 2  # three rounds of 300 ms in half the time, on a busy machine
    assert stamps_ms(rgb)[:8] == [500, 600, 700, 800] * 2
    assert stamps_ms(thermal)[:8] == [500, 600, 700, 800] * 2
    process.interrupt()
    assert process.wait(5) == 0


def test_a_bag_that_cannot_be_played_is_one_sentence(rig, tmp_path: Path) -> None:
    process = rig.start("bag_player", bag=str(tmp_path / "nothing"))
    assert process.wait(20) == 1
    assert process.output.strip() == (
        f"error: {tmp_path / 'nothing'} does not exist; give a bag's folder, or its .mcap or .db3 file."
    )


def test_a_start_behind_the_end_is_one_sentence(rig, tmp_path: Path) -> None:
    write_bag(Numbered(3), tmp_path / "bag")
    process = rig.start("bag_player", bag=str(tmp_path / "bag"), start_s=100.0, loop=True, exit_at_end=True)
    assert process.wait(20) == 1
    assert process.output.strip().splitlines()[-1] == (
        f"error: {tmp_path / 'bag'} holds no readable camera message after 100 s."
    )


def test_rounds_from_memory_note_when_each_stamp_was_published(rig, tmp_path: Path) -> None:
    write_bag(Numbered(5), tmp_path / "bag")
    rgb = collect(rig, Image, "rgb/image_raw")
    collect(rig, Image, "thermal/image_raw")
    process = rig.start(
        "bag_player",
        bag=str(tmp_path / "bag"),
        rounds=3,
        preload=True,
        sent_times=str(tmp_path / "sent.json"),
        exit_at_end=True,
        wait_for_subscribers=1,
    )
    before_ns = time.monotonic_ns()
    assert rig.spin_until(lambda: len(rgb) == 15), rig.output()
    assert stamps_ms(rgb) == [0, 100, 200, 300, 400] * 3
    assert process.wait(10) == 0
    rounds = read_sent_times(tmp_path / "sent.json")
    assert [[frame.stamp_ns for frame in sent] for sent in rounds] == [[to_ns(m.header.stamp) for m in rgb[:5]]] * 3
    times = [frame.at_ns for sent in rounds for frame in sent]
    assert before_ns < times[0]
    assert times == sorted(times)
    assert times[-1] < time.monotonic_ns()
    assert rounds[1][0].at_ns - rounds[0][-1].at_ns > ROUND_PAUSE_S * 0.9e9


def test_a_bag_larger_than_a_quarter_of_memory_is_not_held(rig, tmp_path: Path, monkeypatch) -> None:
    write_bag(Numbered(5), tmp_path / "bag")
    (tmp_path / "sitecustomize.py").write_text("import os\nos.sysconf = lambda name: 100\n")  # a small machine
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process = rig.start("bag_player", bag=str(tmp_path / "bag"), preload=True)
    assert process.wait(20) == 1
    assert "a quarter of this machine's memory, and cannot be held in it" in process.output.strip().splitlines()[-1]
