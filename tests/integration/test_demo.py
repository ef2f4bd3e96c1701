# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""`refinefuse demo` as a newcomer runs it, but short: four processes, and what they leave behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from refinefuse_ros.image.video import VideoReader

pytestmark = pytest.mark.integration

M2VD = Path(__file__).resolve().parents[3] / "shared" / "data" / "m2vd"


def demo_command(output: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "refinefuse_ros.cli", "demo", "--output", str(output), "--json", *more]


def check_report(report: dict, output: Path, pairs: int) -> None:
    ledger = report["ledger"]
    assert report["transport"]["pairs_sent"] == pairs
    assert ledger["balanced"] is True
    assert (ledger["thermal_in_flight"], ledger["rgb_in_flight"], ledger["pairs_in_flight"]) == (0, 0, 0)
    assert ledger["pairs_formed"] == ledger["pairs_published"] + ledger["pairs_superseded"] + ledger["pairs_failed"]
    assert ledger["pairs_failed"] == 0
    assert 0 < report["latency_ms_p50"] <= report["latency_ms_p99"]
    assert report["fused_rate_hz"] > 1
    assert report["engine"]["backend"] == "openvino"
    frames = list(VideoReader(Path(report["output"]["video"])))
    assert len(frames) == report["output"]["frames"] == ledger["pairs_published"]
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


def children_of(process_id: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process_id)], capture_output=True, text=True)
    return [int(line) for line in listed.stdout.split()]


def alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("after_s", [0.5, 4.0])
def test_ctrl_c_ends_every_process(tmp_path: Path, after_s: float) -> None:
    demo = subprocess.Popen(demo_command(tmp_path, "--seconds", "60"), stderr=subprocess.PIPE, text=True)
    time.sleep(after_s)
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
