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

"""A running system recorded over DDS: what lies in the bag, how the recording ends, and what it says."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from rclpy.duration import Duration
from sensor_msgs.msg import CompressedImage

from refinefuse_ros.image.frame import Frame, ImageSize
from refinefuse_ros.image.sources import SyntheticPairs
from refinefuse_ros.nodes.messages import to_image
from refinefuse_ros.recordings.reading import ros_types
from refinefuse_ros.recordings.storage import BagFiles
from refinefuse_ros.stream.timing import NS_PER_S

pytestmark = pytest.mark.integration

SIZE = ImageSize(96, 64)
CAMERAS = ("thermal", "rgb", "fused")


def stamps(files: BagFiles, topic: str) -> list[int]:
    found = []
    for message in files.messages({topic}):
        stamp = ros_types().deserialize_cdr(message.data, message.type).header.stamp
        found.append(stamp.sec * NS_PER_S + stamp.nanosec)
    return found


def everything_fused_is_here(rig) -> bool:
    published = rig.value("frames", "pairs_published")
    return rig.value("frames", "rgb_in_flight") == "0" and published == str(len(rig.fused)) and len(rig.fused) > 10


def test_records_cameras_fusion_and_diagnostics(rig, tmp_path: Path) -> None:
    rig.start("fusion_node", engine__width=SIZE.width, engine__height=SIZE.height)
    recorder = rig.start("bag_recorder", output=str(tmp_path / "bag"), json=True)
    # Cameras that wait for the recorder beside the fusion node, and both the rig and the recorder heard by that one:
    # so nothing of the stream is missed.
    assert rig.spin_until(lambda: rig.hears_fusion(subscribers=2)), rig.output()
    rig.start("camera_player", width=SIZE.width, height=SIZE.height, rate_hz=10.0, pairs=20, wait_for_subscribers=2)
    playback = "/camera_player: playback"
    assert rig.spin_until(lambda: rig.statuses.get(playback, {}).get("finished") == "True"), rig.output()
    rig.statuses.clear()  # the next diagnostics are newer than all that was published
    assert rig.spin_until(lambda: everything_fused_is_here(rig)), rig.statuses
    recorder.interrupt()
    assert recorder.wait(20) == 0, recorder.output
    files = BagFiles(tmp_path / "bag")
    assert {name: topic.type.rpartition("/")[2] for name, topic in files.topics.items()} == {
        **{f"/{camera}/image_raw": "Image" for camera in CAMERAS},
        **{f"/{camera}/camera_info": "CameraInfo" for camera in CAMERAS},
        "/diagnostics": "DiagnosticArray",
    }
    assert stamps(files, "/rgb/image_raw") == stamps(files, "/thermal/image_raw") == stamps(files, "/rgb/camera_info")
    assert len(stamps(files, "/rgb/image_raw")) == 20
    fused = [message.header.stamp.sec * NS_PER_S + message.header.stamp.nanosec for message in rig.fused]
    assert stamps(files, "/fused/image_raw") == fused
    counts = Counter(message.topic for message in files.messages(set(files.topics)))
    said = json.loads(recorder.output[recorder.output.index("{") :])
    assert said["messages"] == dict(counts) == {name: topic.count for name, topic in files.topics.items()}
    assert (said["dropped"], said["error"], said["silent"]) == ({}, "", [])
    statuses = {
        status.name
        for message in files.messages({"/diagnostics"})
        for status in ros_types().deserialize_cdr(message.data, message.type).status
    }
    assert {"/fusion: latency", "/fusion: frames", playback} <= statuses


def test_the_verb_records_what_is_published_under_other_names_until_ctrl_c(rig, tmp_path: Path) -> None:
    thermal = rig.node.create_publisher(CompressedImage, "boson/image/compressed", 20)
    command = [sys.executable, "-m", "refinefuse_ros.commands.cli", "record", "--output", str(tmp_path / "bag")]
    record = subprocess.Popen(
        [*command, "--storage", "sqlite3", "--thermal-topic", "/boson/image"],
        env=os.environ | {"ROS_DOMAIN_ID": str(rig.domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        rgb = rig.publishers["rgb/image_raw"]
        assert rig.spin_until(lambda: thermal.get_subscription_count() == rgb.get_subscription_count() == 1)
        rig.spin_for(0.5)
        for number in range(5):
            message = CompressedImage(format="jpeg", data=bytes([number]) * 10)
            message.header.stamp.sec = number
            thermal.publish(message)
        assert thermal.wait_for_all_acked(Duration(seconds=10))
        rig.spin_for(0.5)  # what has come is still to be taken
        os.killpg(record.pid, signal.SIGINT)  # as a terminal does: to both processes
        printed, errors = record.communicate(timeout=20)
    finally:
        if record.poll() is None:
            record.kill()
    assert record.returncode == 0, errors
    assert "Traceback" not in errors
    assert stamps(BagFiles(tmp_path / "bag"), "/boson/image/compressed") == [NS_PER_S * number for number in range(5)]
    assert "       5  /boson/image/compressed" in printed
    assert "    none  /rgb/image_raw" in printed


def test_nothing_to_record_is_one_sentence_and_no_bag(rig, tmp_path: Path) -> None:
    process = rig.start("bag_recorder", output=str(tmp_path / "bag"), diagnostics_topic="/none")
    assert rig.spin_until(rig.matched), rig.output()  # it is up, and has found topics that nobody publishes on
    process.interrupt()
    assert process.wait(10) == 1
    assert process.output.strip().splitlines()[-1] == (
        "error: No message came, so nothing was recorded; check that the cameras run, and the topics."
    )
    assert not (tmp_path / "bag").exists()


def test_ends_by_itself_after_its_seconds(rig, tmp_path: Path) -> None:
    process = rig.start("bag_recorder", output=str(tmp_path / "bag"), seconds=1.0)
    frame = next(iter(SyntheticPairs(SIZE)))
    publisher = rig.publishers["rgb/image_raw"]
    assert rig.spin_until(lambda: publisher.get_subscription_count() == 1)
    sent = itertools.count(1)
    assert rig.spin_until(
        lambda: publisher.publish(to_image(Frame(next(sent), "rgb", "bgr8", frame.rgb))) or process.ended
    )
    assert process.wait(10) == 0
    recorded = stamps(BagFiles(tmp_path / "bag"), "/rgb/image_raw")
    assert 1 < len(recorded) < next(sent)
    assert recorded == sorted(set(recorded))


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("", "The parameter output is empty; give a folder for the bag."),
        (".", ". exists already; remove it or give another folder."),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_sentence(rig, output: str, sentence: str) -> None:
    process = rig.start("bag_recorder", output=output)
    assert process.wait(20) == 1
    assert process.output.strip() == f"error: {sentence}"
