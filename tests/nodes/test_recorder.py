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

"""The recorder within this process: a video that cannot be written holds nothing up, and is not hidden."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

import rclpy
from sensor_msgs.msg import Image

from refinefuse_ros.image.frame import Frame
from refinefuse_ros.nodes import recorder
from refinefuse_ros.nodes.messages import to_image

WAIT_S = 20.0
QUEUE = 40


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[recorder.Recorder]:
    monkeypatch.setattr(recorder, "VIDEO_QUEUE", QUEUE)
    rclpy.init(args=["--ros-args", "-p", f"output:={tmp_path / 'out'}"], domain_id=101)
    node = recorder.Recorder()
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def see(node: recorder.Recorder, count: int, width: int) -> None:
    for number in range(1, count + 1):
        node._on_fused(to_image(Frame(number * 10**7, "rgb", "bgr8", np.zeros((32, width, 3), np.uint8))))


def ends(work: Callable[[], None]) -> bool:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(WAIT_S)
    return not thread.is_alive()


@pytest.mark.parametrize("unforeseen", [False, True])
def test_a_writer_that_fails_is_the_failure_and_nobody_waits_for_it(node, tmp_path, monkeypatch, unforeseen) -> None:
    said = r"out/fused.mp4: FFmpeg cannot encode it"
    if unforeseen:
        monkeypatch.setattr(recorder.Mp4Writer, "write", lambda writer, pixels: {}["nobody foresaw this"])
        said = "An unforeseen KeyError ('nobody foresaw this')"
    see(node, 2 * QUEUE, width=64 if unforeseen else 20_000)
    assert ends(node.close)
    assert "The video cannot be written: " in str(node.failure)
    assert said in str(node.failure)
    assert (tmp_path / "out" / "report.json").is_file()
    assert list((tmp_path / "out").glob("*.mp4")) == []


def test_a_fused_image_that_cannot_be_used_ends_nothing(node, tmp_path) -> None:
    node._on_fused(Image(encoding="nonsense"))
    see(node, 3, width=64)
    assert ends(node.close)
    assert node.failure is None
    assert (tmp_path / "out" / "fused.mp4").is_file()
