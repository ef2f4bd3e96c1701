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

"""`refinefuse demo` as a newcomer runs it, but short: four processes, and what they leave behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from rosbags.rosbag2 import Writer

from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.sources import SyntheticPairs
from refinefuse_ros.image.video import VideoReader
from refinefuse_ros.recordings.making import write_bag
from refinefuse_ros.recordings.reading import IMAGE, ros_types

pytestmark = pytest.mark.integration

M2VD = Path(__file__).resolve().parents[3] / "shared" / "data" / "m2vd"


def demo_command(output: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "refinefuse_ros.commands.cli", "demo", "--output", str(output), "--json", *more]


def check_report(report: dict, output: Path, pairs: int) -> None:
    ledger = report["ledger"]
    assert report["transport"]["thermal_sent"] == report["transport"]["rgb_sent"] == pairs
    assert ledger["balanced"] is True
    assert (ledger["thermal_in_flight"], ledger["rgb_in_flight"], ledger["pairs_in_flight"]) == (0, 0, 0)
    assert report["latency_from"] == "stamp to viewer"
    assert ledger["pairs_formed"] == ledger["pairs_published"] + ledger["pairs_superseded"] + ledger["pairs_failed"]
    assert ledger["pairs_failed"] == 0
    assert 0 < report["latency_ms_p50"] <= report["latency_ms_p99"]
    assert len(list(VideoReader(Path(report["output"]["video"])))) == ledger["pairs_published"]
    check_results(report, output)


def check_results(report: dict, output: Path) -> None:
    frames = report["frames"]
    assert frames["sent"] == frames["fused"] + frames["unpaired"] + frames["missed"]
    assert frames["missed"] >= 0
    latencies = [report[f"viewer_latency_ms_{name}"] for name in ("p50", "p90", "p99", "max")]
    assert 0 < latencies[0] <= latencies[1] <= latencies[2] <= latencies[3] < 5000
    assert report["viewer_jitter_ms"] > 0
    assert report["fused_rate_hz"] > 1
    assert report["engine"]["backend"] == "openvino"
    assert len(list(VideoReader(Path(report["output"]["video"])))) == report["output"]["frames"]
    assert cv2.imread(report["output"]["contact_sheet"]).shape[1] > 1000
    assert json.loads((output / "report.json").read_text()) == report


def test_synthetic_demo_leaves_video_picture_and_report(tmp_path: Path) -> None:
    done = subprocess.run(
        demo_command(tmp_path, "--seconds", "2", "--rate", "10"), capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    check_report(json.loads(done.stdout), tmp_path, 20)


@pytest.mark.skipif(not M2VD.is_dir(), reason="the m2vd clips are not here")
def test_demo_on_real_clips(tmp_path: Path) -> None:
    command = demo_command(tmp_path, "--source", str(M2VD), "--seconds", "2", "--rate", "10")
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    check_report(json.loads(done.stdout), tmp_path, 20)


def demo_of_bag(tmp_path: Path, *more: str) -> dict:
    command = demo_command(tmp_path / "out", "--bag", str(tmp_path / "bag"), *more)
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    check_results(report, tmp_path / "out")
    return report


def test_demo_replays_a_bag_of_a_slow_thermal_and_a_compressed_rgb_camera(tmp_path: Path) -> None:
    source = SyntheticPairs(ImageSize(96, 64))
    write_bag(source, tmp_path / "bag", rgb_encoding="jpeg", thermal_rate_hz=9, seconds=2)
    report = demo_of_bag(tmp_path)
    assert report["latency_from"] == "publication to viewer"
    assert (report["frames"]["sent"], report["transport"]["thermal_sent"]) == (60, 18)
    assert report["frames"]["unpaired"] <= 2  # each thermal frame serves until the next one comes
    assert report["ledger"]["thermal_reused"] >= 35
    assert report["source"]["name"] == str(tmp_path / "bag")
    assert 1 < report["source"]["seconds"] <= 2
    video = VideoReader(tmp_path / "out" / "fused.mp4")  # plays as long as the recording
    assert video.frame_count / video.rate_hz == pytest.approx(report["source"]["seconds"], abs=0.5)


def test_best_and_worst_run_of_a_bag_do_not_count(tmp_path: Path) -> None:
    write_bag(SyntheticPairs(ImageSize(96, 64)), tmp_path / "bag", seconds=1)
    report = demo_of_bag(tmp_path, "--runs", "3", "--seconds", "0.5")
    rounds = report["rounds"]
    assert [one["sent"] for one in rounds] == [15, 15, 15]
    assert sum(one["counted"] for one in rounds) == 1
    median = next(one for one in rounds if one["counted"])
    assert report["viewer_latency_ms_p50"] == median["latency_ms_p50"]
    ranks = sorted((-one["fused"], one["latency_ms_p50"]) for one in rounds)
    assert (-median["fused"], median["latency_ms_p50"]) == ranks[1]
    assert report["transport"]["rgb_sent"] == 45
    assert report["output"]["frames"] <= 15  # video and pictures are of the first run


def test_a_bag_with_one_camera_is_one_sentence(tmp_path: Path) -> None:
    with Writer(tmp_path / "bag", version=9) as writer:
        connection = writer.add_connection("/thermal/image_raw", IMAGE, typestore=ros_types())
        writer.write(connection, 1, b"")
    command = demo_command(tmp_path / "out", "--bag", str(tmp_path / "bag"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: {tmp_path / 'bag'} holds only one camera, /thermal/image_raw;"
        " record the thermal and the RGB camera together.\n"
    )


def children_of(process_id: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process_id)], capture_output=True, text=True)
    return [int(line) for line in listed.stdout.split()]


def alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("streaming", [False, True])
def test_ctrl_c_ends_every_process(tmp_path: Path, streaming: bool) -> None:
    """As soon as they were started, while they import what they need; and when they are at work."""
    demo = subprocess.Popen(demo_command(tmp_path, "--seconds", "60"), stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(children_of(demo.pid)) == 3)
    if streaming:
        wait_until(lambda: "playing synthetic" in (tmp_path / "camera_player.log").read_text())
    children = children_of(demo.pid)
    demo.send_signal(signal.SIGINT)
    _, errors = demo.communicate(timeout=10)
    assert demo.returncode == 130, errors
    assert "Traceback" not in errors
    assert [child for child in children if alive(child)] == []


def test_a_model_that_is_not_there_ends_the_demo_with_a_sentence(tmp_path: Path) -> None:
    command = demo_command(tmp_path, "--model", "missing.onnx")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "The model file missing.onnx does not exist" in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
