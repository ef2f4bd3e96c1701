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

"""The fusion node within this process: what nobody foresaw costs a pair or a transition, and is said."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo

from refinefuse_ros.alignment.file import Calibrated, Homography, write_alignment
from refinefuse_ros.engine import host
from refinefuse_ros.engine.base import Engine, EngineError
from refinefuse_ros.engine.building import BuildTicket
from refinefuse_ros.engine.factory import EngineRequest, create_engine
from refinefuse_ros.image.frame import Frame, ImageSize
from refinefuse_ros.nodes import fusion_node, intake
from refinefuse_ros.nodes.messages import pinhole_camera_info, to_image
from refinefuse_ros.stream.health import Level
from refinefuse_ros.stream.outcome import Stream
from refinefuse_ros.stream.timing import NS_PER_S

WAIT_S = 10.0


def fail(*arguments: object) -> None:
    raise KeyError("nobody foresaw this")


def fuse_pair(node: fusion_node.FusionNode, number: int, width: int = 64) -> None:
    pixels = np.full((64, width, 3), 100, np.uint8)
    for stream in Stream:
        node._on_image(stream, to_image(Frame(number * 1_000_000_000, "camera", "bgr8", pixels)))


def pairs_settle(node: fusion_node.FusionNode, published: int, failed: int) -> bool:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        pairs = node._monitor.ledger.snapshot().pairs
        if (pairs.published, pairs.failed) == (published, failed):
            return True
        time.sleep(0.01)
    return False


def status(node: fusion_node.FusionNode, name: str, now_ns: int | None = None) -> tuple[int, str, dict[str, str]]:
    array = node._monitor.collect(node._look(time.time_ns() if now_ns is None else now_ns)).array
    (status,) = (status for status in array.status if status.name == f"/fusion: {name}")
    return status.level[0], status.message, {pair.key: pair.value for pair in status.values}


def test_a_pair_that_fails_in_an_unforeseen_way_does_not_end_the_worker(node, monkeypatch) -> None:
    fusion_node.start(node)
    with monkeypatch.context() as patched:
        patched.setattr(node._pipeline, "fuse", fail)
        fuse_pair(node, 1)
        assert pairs_settle(node, published=0, failed=1)
    fuse_pair(node, 2)
    assert pairs_settle(node, published=1, failed=1)


@pytest.mark.parametrize("stream", Stream)
@pytest.mark.parametrize(
    ("of", "what"),
    [
        (lambda node: intake, "to_frame"),
        (lambda node: node._monitor, "stamped"),
        (lambda node: node._pairing, "add"),
    ],
)
def test_a_frame_that_fails_in_an_unforeseen_way_costs_itself_alone(
    node, monkeypatch, capfd, of, what: str, stream: Stream
) -> None:
    fusion_node.start(node)
    with monkeypatch.context() as patched:
        patched.setattr(of(node), what.format(stream=stream), fail)
        for number in (1, 2):
            node._on_image(stream, to_image(Frame(number, "camera", "bgr8", np.full((64, 64, 3), 100, np.uint8))))
    snapshot = node._monitor.ledger.snapshot()
    accounts = snapshot.thermal if stream is Stream.THERMAL else snapshot.rgb
    assert accounts.rejected_by_reason == {"internal_fault": 2}
    assert snapshot.balanced
    fuse_pair(node, 3)
    assert pairs_settle(node, published=1, failed=0)
    said = (
        f"A {stream} frame was rejected: An unforeseen KeyError ('nobody foresaw this'); please report this as a bug."
    )
    assert capfd.readouterr().err.count(said) == 1  # not once a frame


def test_a_pair_that_cannot_be_handed_on_has_failed(node, monkeypatch) -> None:
    fusion_node.start(node)
    with monkeypatch.context() as patched:
        patched.setattr(node._monitor, "paired", fail)
        fuse_pair(node, 1)
    assert pairs_settle(node, published=0, failed=1)
    fuse_pair(node, 2)
    assert pairs_settle(node, published=1, failed=1)
    assert node._monitor.ledger.snapshot().balanced


def test_what_fails_after_a_frame_was_taken_in_is_not_counted_twice(node, monkeypatch, capfd) -> None:
    fusion_node.start(node)
    with monkeypatch.context() as patched:
        patched.setattr(node, "_stands_in", fail)
        fuse_pair(node, 1)
    assert pairs_settle(node, published=1, failed=0)
    assert node._monitor.ledger.snapshot().balanced
    assert "A thermal frame was not handed on: An unforeseen KeyError" in capfd.readouterr().err


def test_the_worker_outlives_a_synchronizer_that_fails(node, monkeypatch, capfd) -> None:
    fusion_node.start(node)
    with monkeypatch.context() as patched:
        failed = threading.Event()
        patched.setattr(node._pairing, "poll", lambda now_ns: failed.set() or fail())
        assert failed.wait(WAIT_S)
    fuse_pair(node, 1)
    assert pairs_settle(node, published=1, failed=0)
    assert "Frames that waited were not handed on: An unforeseen KeyError" in capfd.readouterr().err


def test_diagnostics_that_fail_in_an_unforeseen_way_are_said(node, monkeypatch, capfd) -> None:
    fusion_node.start(node)
    with monkeypatch.context() as patched:
        patched.setattr(node._monitor, "collect", fail)
        node._publish_diagnostics()
    assert "No diagnostics were published: An unforeseen KeyError" in capfd.readouterr().err


def test_the_output_has_its_own_size_and_a_camera_info_that_fits(node) -> None:
    fusion_node.start(node)
    published: list[tuple[Frame, CameraInfo]] = []
    node._outputs.publish = lambda frame, info, *rest: published.append((frame, info))
    node._cameras[Stream.RGB]._on_info(pinhole_camera_info(ImageSize(64, 64), 100.0))
    assert node.set_parameters([Parameter("output.width", value=128)])[0].successful
    fuse_pair(node, 1)
    assert pairs_settle(node, published=1, failed=0)
    frame, info = published[0]
    assert frame.size == (info.width, info.height) == (128, 128)
    np.testing.assert_allclose(np.reshape(info.k, (3, 3)), [(200, 0, 63.5), (0, 200, 63.5), (0, 0, 1)])
    refused = node.set_parameters([Parameter("output.height", value=7)])[0]
    assert (refused.successful, "choose 0 or at least 32 pixels" in refused.reason) == (False, True)


def test_an_image_of_more_pixels_than_allowed_is_rejected(node) -> None:
    fusion_node.start(node)
    assert node.set_parameters([Parameter("max_pixels", value=64 * 63)])[0].successful
    fuse_pair(node, 1)
    snapshot = node._monitor.ledger.snapshot()
    assert snapshot.rgb.rejected_by_reason == snapshot.thermal.rejected_by_reason == {"too_large": 1}
    assert node.set_parameters([Parameter("max_pixels", value=64 * 64)])[0].successful
    fuse_pair(node, 2)
    assert pairs_settle(node, published=1, failed=0)


def test_a_camera_info_of_another_size_is_left_out_and_counted(node) -> None:
    fusion_node.start(node)
    node._cameras[Stream.RGB]._on_info(pinhole_camera_info(ImageSize(64, 64)))
    fuse_pair(node, 1)
    assert pairs_settle(node, published=1, failed=0)
    assert status(node, "rgb camera")[2]["camera_info_mismatches"] == "0"
    node._cameras[Stream.RGB]._on_info(pinhole_camera_info(ImageSize(128, 128)))
    for number in (2, 3):
        fuse_pair(node, number)
        assert pairs_settle(node, published=number, failed=0)
    _, message, values = status(node, "rgb camera")
    assert (message, values["camera_info_mismatches"]) == (
        "/rgb/camera_info is for images of 128x128, not of 64x64, and is left out.",
        "2",
    )
    assert status(node, "thermal camera")[2]["camera_info_mismatches"] == "0"
    node._cameras[Stream.RGB]._on_info(CameraInfo())  # says nothing, and contradicts nothing
    fuse_pair(node, 4)
    assert pairs_settle(node, published=4, failed=0)
    assert status(node, "rgb camera")[2]["camera_info_mismatches"] == "2"


def test_a_clock_that_does_not_come_is_said(node) -> None:
    fusion_node.start(node)
    assert "/clock" not in status(node, "frames", now_ns=0)[1]
    assert node.set_parameters([Parameter("use_sim_time", value=True)])[0].successful
    assert "/clock" not in status(node, "frames", now_ns=0)[1]  # the player may be about to start
    node._active_since_ns -= 6 * NS_PER_S
    assert status(node, "frames", now_ns=0)[:2] == (
        Level.WARN,
        "use_sim_time is set and no /clock comes; play the recording with --clock.",
    )
    assert "/clock" not in status(node, "frames", now_ns=1)[1]


def test_a_transition_that_fails_in_an_unforeseen_way_says_why(node, monkeypatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(fusion_node, "create_pairing", fail)
        assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert node.start_error == "An unforeseen KeyError ('nobody foresaw this'); please report this as a bug."
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS


def test_pairs_of_a_size_that_cannot_be_served_fail_with_the_reason_and_cost_no_others(node, monkeypatch) -> None:
    def create(request: EngineRequest, size: ImageSize, *arguments: Any, **options: Any) -> Engine:
        if size.width == 96:
            raise EngineError("The GPU is full; use a smaller size.")
        return create_engine(request, size, *arguments, **options)

    monkeypatch.setattr(host, "create_engine", create)
    fusion_node.start(node)
    fuse_pair(node, 1)
    assert pairs_settle(node, published=1, failed=0)
    for number in range(7):
        fuse_pair(node, 2 + number, width=96)
        assert pairs_settle(node, published=1, failed=1 + number)
    level, message, values = status(node, "engine")
    assert level == Level.ERROR
    assert message.startswith("Images of 96x64 cannot be fused: The GPU is full; use a smaller size; this is tried ag")
    assert (values["size"], values["last_error"]) == ("64x64", message)
    fuse_pair(node, 9)
    assert pairs_settle(node, published=2, failed=7)
    assert status(node, "engine")[:2] == (Level.OK, "The laplacian engine runs.")
    assert node._monitor.ledger.snapshot().balanced


def test_deactivating_stops_the_build_for_which_the_worker_waits(node, monkeypatch) -> None:
    building = threading.Event()

    def build(*arguments: Any, ticket: BuildTicket, **options: Any) -> Engine:
        with ticket.turn("an engine"):
            ticket.begin()
            building.set()
            deadline = time.monotonic() + WAIT_S
            while time.monotonic() < deadline:
                ticket.check()
                time.sleep(0.001)
            raise EngineError("Nobody stopped it.")

    fusion_node.start(node)
    with monkeypatch.context() as patched:
        patched.setattr(host, "create_engine", build)
        fuse_pair(node, 1, width=96)
        assert building.wait(WAIT_S)
        level, _, values = status(node, "engine")
        assert (level, values["build"], values["build_state"]) == (Level.OK, "an engine", "building")
        assert float(values["build_time_s"]) > 0
        assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert status(node, "engine")[2]["build_state"] == "stopped"
    assert pairs_settle(node, published=0, failed=1)

    def create(*arguments: Any, ticket: BuildTicket, **options: Any) -> Engine:
        ticket.check()
        return create_engine(*arguments, **options)

    monkeypatch.setattr(host, "create_engine", create)
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    fuse_pair(node, 2, width=96)
    assert pairs_settle(node, published=1, failed=1)


def test_an_engine_that_hangs_costs_its_pair_and_another_worker_goes_on(node, monkeypatch, capfd) -> None:
    node.set_parameters([Parameter("engine.timeout_s", value=0.1), Parameter("engine.backend", value="openvino")])
    fusion_node.start(node)
    inside, may_return = threading.Event(), threading.Event()

    def hang(*planes: np.ndarray) -> np.ndarray:
        inside.set()
        assert may_return.wait(3 * WAIT_S)
        return planes[0]

    engine, worker = node._engine._engine, node._worker
    monkeypatch.setattr(engine, "_run", hang)
    monkeypatch.setattr(node._engine, "_any_backend", EngineRequest(backend="laplacian"))
    fuse_pair(node, 1)
    assert inside.wait(WAIT_S)
    deadline = time.monotonic() + WAIT_S
    while node._worker is worker and time.monotonic() < deadline:
        node._watch_engine()
        time.sleep(0.01)
    assert pairs_settle(node, published=0, failed=1)
    level, message, values = status(node, "engine")
    assert (level, values["failures_in_a_row"]) == (Level.ERROR, "1")
    assert message.startswith("The openvino engine hangs: it has not returned for ")
    fuse_pair(node, 2)
    assert pairs_settle(node, published=1, failed=1)
    assert status(node, "engine")[2]["backend"] == "laplacian"
    may_return.set()
    worker.join(WAIT_S)
    assert not worker.is_alive()
    fuse_pair(node, 3)
    assert pairs_settle(node, published=2, failed=1)
    assert node._monitor.ledger.snapshot().balanced
    assert status(node, "engine")[:2] == (Level.WARN, "The laplacian engine runs in place of openvino, which failed.")
    assert capfd.readouterr().err.count("engine has not returned for ") == 1


def test_deactivating_does_not_wait_for_an_engine_that_hangs(node, monkeypatch) -> None:
    node.set_parameters([Parameter("engine.timeout_s", value=0.1)])
    fusion_node.start(node)
    inside, may_return = threading.Event(), threading.Event()
    worker = node._worker
    monkeypatch.setattr(node._engine._engine, "_run", lambda *planes: inside.set() or may_return.wait(3 * WAIT_S))
    fuse_pair(node, 1)
    assert inside.wait(WAIT_S)
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert pairs_settle(node, published=0, failed=1)
    assert worker.is_alive()
    assert worker.daemon  # nor does the process's end
    may_return.set()
    worker.join(WAIT_S)
    assert pairs_settle(node, published=0, failed=1)
    assert node._monitor.ledger.snapshot().balanced


def test_a_deadline_that_is_missed_costs_quality_and_that_comes_back(node, capfd) -> None:
    node.set_parameters([Parameter("governor", value=True)])
    fusion_node.start(node)
    seconds = iter(range(1, 1000))

    def pass_time(taken_ms: float, until_half: bool) -> None:
        while node._pipeline.half is not until_half:
            node._quality.add(taken_ms)
            sentence = node._quality.govern(node._settings.governor, 150.0, next(seconds) * NS_PER_S)
        assert sentence

    fuse_pair(node, 1)
    assert pairs_settle(node, published=1, failed=0)
    pass_time(taken_ms=500.0, until_half=True)
    fuse_pair(node, 2)
    assert pairs_settle(node, published=2, failed=0)
    level, message, values = status(node, "engine")
    assert (level, message) == (Level.WARN, "The laplacian engine runs nano at half the size, to keep the deadline.")
    assert (values["size"], values["reduced_to"]) == ("32x32", "nano at half the size")
    pass_time(taken_ms=10.0, until_half=False)
    fuse_pair(node, 3)
    assert pairs_settle(node, published=3, failed=0)
    assert status(node, "engine")[2]["size"] == "64x64"
    pass_time(taken_ms=500.0, until_half=True)
    assert node.set_parameters([Parameter("governor", value=False)])[0].successful
    node._govern()
    assert not node._pipeline.half
    assert "nano runs again: the governor is off." in capfd.readouterr().err


def test_without_the_governor_a_deadline_is_only_a_warning(node) -> None:
    fusion_node.start(node)
    for second in range(60):
        node._quality.add(500.0)
        assert node._quality.govern(node._settings.governor, 150.0, second * NS_PER_S) == ""
    assert not node._quality.is_reduced


HUNG_PROCESS = """
import os, signal, sys, threading, time
import numpy as np
from refinefuse_ros.image.frame import Frame
from refinefuse_ros.nodes import fusion_node
from refinefuse_ros.nodes.messages import to_image
from refinefuse_ros.nodes.running import run_node
from refinefuse_ros.stream.outcome import Stream

def end_when_given_up(node):
    while not node._engine.hung:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)

def start(node):
    fusion_node.start(node)
    node._engine._engine._run = lambda *planes: threading.Event().wait()
    for stream in Stream:
        node._on_image(stream, to_image(Frame(10**9, "camera", "bgr8", np.full((64, 64, 3), 100, np.uint8))))
    threading.Thread(target=end_when_given_up, args=(node,)).start()

sys.exit(run_node(fusion_node.FusionNode, start))
"""


def test_a_process_with_an_engine_that_hangs_gives_it_up_by_itself_and_can_be_ended(tmp_path) -> None:
    parameters = ("engine.timeout_s:=0.2", "engine.backend:=laplacian", "engine.width:=64", "engine.height:=64")
    words = ["--ros-args", *(word for rule in (*parameters, "lazy:=false") for word in ("-p", rule))]
    done = subprocess.run(
        [sys.executable, "-c", HUNG_PROCESS, *words],
        env=os.environ | {"ROS_DOMAIN_ID": "101", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "It is given up, and the next backend takes over." in done.stderr
    assert "Traceback" not in done.stderr


def test_thermal_is_placed_by_the_alignment_file_and_rgb_is_shown_where_it_does_not_see(node, tmp_path) -> None:
    size = ImageSize(64, 64)
    to_the_right = ((1.0, 0.0, 40.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    write_alignment(tmp_path / "alignment.yaml", Homography(to_the_right, size, size))
    node.set_parameters([Parameter("alignment.file", value=str(tmp_path / "alignment.yaml"))])
    fusion_node.start(node)
    rows = np.random.default_rng(0).integers(0, 256, (64, 1, 1), np.uint8)
    rgb = Frame(1, "rgb", "bgr8", np.broadcast_to(rows, (64, 64, 3)).copy())
    fused = node._pipeline.fuse(Frame(1, "thermal", "mono8", np.full((64, 64), 255, np.uint8)), rgb).pixels
    unseen = np.abs(fused[:, :32].astype(int) - rgb.pixels[:, :32])
    assert unseen.max() <= 2  # the colours' own rounding
    assert np.abs(fused[:, 56:].astype(int) - rgb.pixels[:, 56:]).mean() > 10
    fuse_pair(node, 2)
    assert pairs_settle(node, published=1, failed=0)


def test_lenses_that_the_alignment_file_leaves_open_come_with_the_cameras_info(node, tmp_path, capfd) -> None:
    unit = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    rig = Calibrated(rotation=unit, translation=(0.5, 0.0, 0.0), distance_m=1.0)
    write_alignment(tmp_path / "alignment.yaml", rig)
    node.set_parameters([Parameter("alignment.file", value=str(tmp_path / "alignment.yaml"))])
    fusion_node.start(node)
    fuse_pair(node, 1)
    assert pairs_settle(node, published=0, failed=1)
    assert "says nothing of the thermal camera's lens, and no CameraInfo came" in capfd.readouterr().err
    for camera in node._cameras.values():
        camera._on_info(pinhole_camera_info(ImageSize(64, 64), 64.0))
    fuse_pair(node, 2)
    assert pairs_settle(node, published=1, failed=1)
    placed = node._placer.place(np.tile(np.arange(64, dtype=np.uint8), (64, 1)), ImageSize(64, 64))
    assert placed.plane[32, 40] == 40 - 32  # half a metre at one metre is half of the focal length
    for camera in node._cameras.values():
        camera._on_info(pinhole_camera_info(ImageSize(64, 64), 32.0))
    fuse_pair(node, 3)
    assert pairs_settle(node, published=2, failed=1)
    placed = node._placer.place(np.tile(np.arange(64, dtype=np.uint8), (64, 1)), ImageSize(64, 64))
    assert placed.plane[32, 40] == 40 - 16


def test_an_alignment_for_other_images_costs_the_pairs_and_is_said(node, tmp_path, capfd) -> None:
    size = ImageSize(640, 100)
    unit = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    write_alignment(tmp_path / "alignment.yaml", Homography(unit, size, size))
    node.set_parameters([Parameter("alignment.file", value=str(tmp_path / "alignment.yaml"))])
    fusion_node.start(node)
    fuse_pair(node, 1)
    assert pairs_settle(node, published=0, failed=1)
    assert "640x100" in capfd.readouterr().err


def test_an_alignment_file_that_is_not_there_is_no_start(node, tmp_path) -> None:
    node.set_parameters([Parameter("alignment.file", value=str(tmp_path / "none.yaml"))])
    with pytest.raises(fusion_node.StartError, match=r"none\.yaml"):
        fusion_node.start(node)
