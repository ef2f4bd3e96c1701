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

"""The viewer writes what is published, as it comes, and ends whole on Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")
pytest.importorskip("rerun", reason="the extra view is not installed")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from sensor_msgs.msg import Image

from refinefuse_ros.image.frame import Frame, ImageSize
from refinefuse_ros.image.sources import SyntheticPairs
from refinefuse_ros.nodes.messages import to_image
from refinefuse_ros.recordings.making import write_bag

pytestmark = pytest.mark.integration


def publish_all(rig, stamp_ns: int) -> None:
    thermal = np.arange(64 * 96, dtype=np.uint16).reshape(64, 96) + 7000
    rig.publish("thermal/image_raw", to_image(Frame(stamp_ns, "thermal", "mono16", thermal)))
    for place in ("rgb", "fused"):
        pixels = np.full((64, 96, 3), 90, np.uint8)
        rig.publish(f"{place}/image_raw", to_image(Frame(stamp_ns, "rgb", "bgr8", pixels)))
    values = [KeyValue(key="fused_rate_hz", value="29.5")]
    status = DiagnosticStatus(level=b"\0", name="/fusion: rate", message="Fused images at 29.5 Hz.", values=values)
    rig.publish("/diagnostics", DiagnosticArray(status=[status]))


def test_what_is_published_is_in_the_file(rig, tmp_path: Path) -> None:
    file = tmp_path / "seen" / "a.rrd"
    rig.publishers["fused/image_raw"] = rig.node.create_publisher(Image, "fused/image_raw", 20)
    rig.publishers["/diagnostics"] = rig.node.create_publisher(DiagnosticArray, "/diagnostics", 20)
    heard_by_rig = {"fused/image_raw", "/diagnostics"}
    readers = {topic: 1 + (topic in heard_by_rig) for topic in ("thermal/image_raw", "rgb/image_raw", *heard_by_rig)}
    viewer = rig.start("viewer", show="file", file=str(file), rate_hz=60.0)
    assert rig.spin_until(
        lambda: all(rig.publishers[topic].get_subscription_count() == count for topic, count in readers.items())
    ), viewer.output
    assert os.getpriority(os.PRIO_PROCESS, viewer.pid) == 19  # it takes no core from what fuses
    for index in range(10):
        publish_all(rig, 2 * 10**9 + index * 10**8)
        rig.spin_for(0.1)
    viewer.interrupt()
    assert viewer.wait(10) == 0, viewer.output
    command = [sys.executable, "-m", "rerun", "rrd", "print", str(file), "-v"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for entity in ("/thermal", "/rgb", "/fused", "/rate/fused", "/said/rate"):
        assert f" - {entity} - " in text


def test_ctrl_c_ends_the_view_of_a_recording_well(tmp_path: Path) -> None:
    write_bag(SyntheticPairs(ImageSize(64, 48)), tmp_path / "bag", seconds=3)
    file = tmp_path / "a.rrd"
    command = [sys.executable, "-m", "refinefuse_ros.commands.cli", "view", "--bag", str(tmp_path / "bag")]
    with (tmp_path / "log").open("w") as log:
        view = subprocess.Popen([*command, "--save", str(file)], stdout=log, stderr=log, start_new_session=True)
    deadline_s = time.monotonic() + 30
    while not file.is_file() and view.poll() is None and time.monotonic() < deadline_s:
        time.sleep(0.05)
    view.send_signal(signal.SIGINT)
    assert view.wait(20) == 0, (tmp_path / "log").read_text()
    assert "interrupted" not in (tmp_path / "log").read_text()


def test_a_file_of_another_kind_is_refused(rig, tmp_path: Path) -> None:
    viewer = rig.start("viewer", show="file", file=str(tmp_path / "a.mp4"))
    assert viewer.wait(20) == 1
    assert viewer.output.strip().endswith("give a name that ends in .rrd.")
