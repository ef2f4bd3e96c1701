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

"""What is logged for the viewer is what the messages say, by what Rerun itself reads back; and its page shows it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")
pytest.importorskip("rerun", reason="the extra view is not installed")

from refinefuse_ros.image.frame import Frame
from refinefuse_ros.nodes import rerun_log
from refinefuse_ros.nodes.rerun_log import RerunLog
from refinefuse_ros.nodes.rerun_viewer import LOCAL, RerunViewer, ViewerError
from refinefuse_ros.nodes.statuses import Status

CHROMIUM = Path("/usr/bin/chromium")
RED = Frame(5 * 10**9, "rgb", "bgr8", np.full((96, 128, 3), (0, 0, 255), np.uint8))


def logged(path: Path) -> dict[str, list[str]]:
    """By entity, the last column of its rows."""
    command = [sys.executable, "-m", "rerun", "rrd", "print", str(path), "-vvv"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    chunks = re.split(r"(?m)^Chunk\(\w+\) with .* - (/\S+) - .*$", text)
    return {
        entity: re.findall(r"(?m)row_\w+.*┆ ([^┆│]+?) +│ │$", chunk)
        for entity, chunk in zip(chunks[1::2], chunks[2::2], strict=True)
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOCAL, 0))
        return probe.getsockname()[1]


def test_pictures_values_and_new_sentences_are_logged(tmp_path: Path) -> None:
    log = RerunLog(width=64)
    log.save(tmp_path / "a.rrd")
    log.picture("fused", RED)
    log.statuses(
        6 * 10**9,
        {
            "latency": Status(0, "Latency p99 is 3.0 ms.", {"latency_ms_p50": "2.5", "latency_ms_p99": "nan"}),
            "frames": Status(1, "Nothing pairs.", {"pairs_published": "10"}),
        },
    )
    log.statuses(
        7 * 10**9,
        {
            "latency": Status(0, "Latency p99 is 4.0 ms.", {"latency_ms_p50": "3.5"}),
            "frames": Status(0, "All is well.", {"pairs_published": "40"}),
        },
    )
    log.close()
    found = logged(tmp_path / "a.rrd")
    assert found["/latency/p50"] == ["[2.5]", "[3.5]"]
    assert "/latency/p99" not in found
    assert found["/ledger/pairs_published"] == ["[0.0]", "[30.0]"]  # the increase, not the sum
    assert len(found["/said/latency"]) == 1  # its numbers alone changed
    assert len(found["/said/frames"]) == 2
    assert found["/fused"] == ["[image/jpeg]"]


def test_what_keeps_the_viewer_from_starting_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ViewerError, match=r"no screen .* give --web or --save FILE\.$"):
        RerunViewer(False, LOCAL, free_port(), free_port(), 64)
    with socket.socket() as other:
        other.bind((LOCAL, 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(ViewerError, match=rf":{taken} .* give another one as --web-port\.$"):
            RerunViewer(True, LOCAL, free_port(), taken, 64)


def test_what_a_hanging_viewer_does_not_take_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerun_log, "_ASKED_EVERY_S", 0.0)
    viewer = RerunViewer(True, LOCAL, free_port(), free_port(), 64)
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    log = RerunLog(width=640)
    logged: list[str] = []
    try:
        log.connect(viewer.url)
        log.picture("fused", RED)
        os.killpg(viewer.pid, signal.SIGSTOP)
        for _ in range(50):  # what lies on the way to it, some megabytes, has a bound
            log.picture("fused", Frame(0, "rgb", "bgr8", noise))
        monkeypatch.setattr(log._stream, "log", lambda place, entity: logged.append(place))
        log.picture("fused", RED)
        log.statuses(10**9, {"rate": Status(0, "", {"fused_rate_hz": "30"})})
        assert logged == []
        os.killpg(viewer.pid, signal.SIGCONT)
        deadline_s = time.monotonic() + 20
        while not logged and time.monotonic() < deadline_s:
            log.picture("fused", RED)
        assert logged == ["fused"]
    finally:
        os.killpg(viewer.pid, signal.SIGCONT)
        viewer.close()
        log.close()


def test_lines_of_a_plot_have_colours_of_their_own() -> None:
    for plot in ("latency", "stages", "rate", "ledger", "clocks", "alignment"):
        coloured = rerun_log._coloured(plot)
        assert coloured.keys() == {line.place for line in rerun_log.PLOTTED if line.place.startswith(f"{plot}/")}
        assert len({str(lines.colors.as_arrow_array()) for lines in coloured.values()}) == len(coloured)


def test_the_page_shows_the_pictures(tmp_path: Path) -> None:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.is_file():
        pytest.skip("no Chromium is installed")
    viewer = RerunViewer(True, LOCAL, free_port(), free_port(), 64)
    log = RerunLog(width=64)
    try:
        log.connect(viewer.url)
        for place in ("thermal", "rgb", "fused"):
            log.picture(place, RED)
        with api.sync_playwright() as playwright:
            options = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"]
            options += ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=options)
            page = browser.new_page(viewport={"width": 900, "height": 600})
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            page.goto(viewer.page)
            deadline_s = time.monotonic() + 90
            while red_share(page.screenshot()) < 0.1 and time.monotonic() < deadline_s:
                time.sleep(1.0)
            assert red_share(page.screenshot()) >= 0.1
            browser.close()
        assert [url for url in asked if not url.startswith((f"http://{LOCAL}:", "data:", "blob:"))] == []
    finally:
        log.close()
        viewer.close()
    assert not viewer.running


def red_share(picture: bytes) -> float:
    """The share of a PNG's pixels that are red."""
    blue, green, red = cv2.split(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).astype(int))
    return float(((red > 200) & (green < 60) & (blue < 60)).mean())
