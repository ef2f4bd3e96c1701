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

"""The fusion node as a process, fed over DDS: pixels, stamps, frame_id, CameraInfo, ledger, diagnostics, bad input."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from refinefuse_ros.engine.factory import EngineRequest, create_engine
from refinefuse_ros.image.frame import Frame, ImageSize
from refinefuse_ros.image.normalization import ThermalNormalizer
from refinefuse_ros.nodes.messages import header, pinhole_camera_info, to_image, to_ns, to_stamp
from refinefuse_ros.pipeline import FusionPipeline

pytestmark = pytest.mark.integration

SIZE = ImageSize(96, 64)
START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 33_333_333
SMALL_ENGINE = {"engine__width": SIZE.width, "engine__height": SIZE.height}


def thermal_frame(index: int, size: ImageSize = SIZE) -> Frame:
    generator = np.random.default_rng(index)
    counts = generator.integers(28_000, 31_000, (size.height, size.width), np.uint16)
    return Frame(START_NS + index * PERIOD_NS, "thermal_optical_frame", "mono16", counts)


def rgb_frame(index: int, size: ImageSize = SIZE) -> Frame:
    generator = np.random.default_rng(1000 + index)
    pixels = generator.integers(0, 256, (size.height, size.width, 3), np.uint8)
    return Frame(START_NS + index * PERIOD_NS + 2_000_000, "rgb_optical_frame", "bgr8", pixels)


def publish_pair(rig, index: int, size: ImageSize = SIZE) -> None:
    info = pinhole_camera_info(size, 100.0)
    info.header.frame_id = "rgb_optical_frame"
    info.header.stamp = to_stamp(rgb_frame(index).stamp_ns)
    rig.publish("rgb/camera_info", info)
    rig.publish("thermal/image_raw", to_image(thermal_frame(index)))
    rig.publish("rgb/image_raw", to_image(rgb_frame(index, size)))


def fuse_pair(rig, index: int, size: ImageSize = SIZE) -> None:
    """Publish a pair and wait for its fused image, so that none supersedes another on a slow machine."""
    before = len(rig.fused)
    publish_pair(rig, index, size)
    assert rig.spin_until(lambda: len(rig.fused) > before, 5), rig.output()


def start_streaming(rig, **parameters: object) -> int:
    """Start the node, publish once both sides know each other, and begin to count; the index of the next pair."""
    rig.start("fusion_node", **SMALL_ENGINE, **parameters)
    assert rig.spin_until(lambda: rig.matched() and rig.hears_fusion()), rig.output()
    for index in range(200):  # a first pair may be lost: the node hears a best-effort camera once it has matched too
        publish_pair(rig, index)
        if rig.spin_until(lambda: has_come(rig, index), 0.2):  # noqa: B023
            break
    assert rig.spin_until(lambda: int(rig.value("frames", "pairs_published") or 0) > 0, 5), rig.output()
    rig.statuses.clear()  # the next diagnostics are newer than all that was published
    assert rig.spin_until(lambda: nothing_in_flight(rig), 5), rig.output()
    rig.published_before_counting = int(rig.value("frames", "pairs_published"))
    rig.fused.clear()
    rig.fused_infos.clear()
    return index + 1


def has_come(rig, index: int) -> bool:
    """Whether the newest fused image and info are of this pair, so that no earlier one is still on its way."""
    return all(
        messages and to_ns(messages[-1].header.stamp) == rgb_frame(index).stamp_ns
        for messages in (rig.fused, rig.fused_infos)
    )


def nothing_in_flight(rig) -> bool:
    return all(rig.value("frames", f"{account}_in_flight") == "0" for account in ("thermal", "rgb", "pairs"))


def published_pairs(rig) -> int:
    """Pairs published since the counting began, by the newest diagnostics."""
    return int(rig.value("frames", "pairs_published") or 0) - rig.published_before_counting


def settled(rig) -> bool:
    """Whether the newest diagnostics show nothing in flight, and as many published pairs as came here."""
    return nothing_in_flight(rig) and published_pairs(rig) == len(rig.fused)


def test_pairs_come_out_fused_with_the_rgb_cameras_identity(rig) -> None:
    first = start_streaming(rig)
    for index in range(first, first + 10):
        fuse_pair(rig, index)
    expected_stamps = [rgb_frame(index).stamp_ns for index in range(first, first + 10)]
    assert [to_ns(image.header.stamp) for image in rig.fused] == expected_stamps
    assert rig.spin_until(lambda: len(rig.fused_infos) == 10, 5)
    for image, info in zip(rig.fused, rig.fused_infos, strict=True):
        assert (image.header.frame_id, image.encoding, image.width, image.height) == (
            "rgb_optical_frame",
            "bgr8",
            *SIZE,
        )
        assert info.header == image.header
        assert (info.width, info.height, info.k[0]) == (SIZE.width, SIZE.height, 100.0)
    # Pixels: what the pipeline makes of the same frames. The node's normaliser has followed the scene for a moment
    # longer, so grey levels may differ by its smoothing, not by more.
    pipeline = FusionPipeline(create_engine(EngineRequest(), SIZE), ThermalNormalizer())
    for index in range(first + 10):
        expected = pipeline.fuse(thermal_frame(index), rgb_frame(index)).pixels
    last = np.frombuffer(rig.fused[-1].data, np.uint8).reshape(SIZE.height, SIZE.width, 3)
    assert np.abs(last.astype(int) - expected).mean() < 1.0
    assert rig.spin_until(lambda: published_pairs(rig) == 10, 5)
    assert rig.value("frames", "balanced") == "True"
    assert rig.value("frames", "pairs_failed") == "0"


def test_diagnostics_hold_every_value_of_the_contract(rig) -> None:
    first = start_streaming(rig)
    for index in range(first, first + 30):
        publish_pair(rig, index)
        rig.spin_for(0.03)
    assert rig.spin_until(lambda: settled(rig), 5), rig.statuses
    assert {"/fusion: rate", "/fusion: latency", "/fusion: frames", "/fusion: engine", "/fusion: alignment",
            "/fusion: thermal camera", "/fusion: rgb camera"} <= rig.statuses.keys()  # fmt: skip
    latency = rig.statuses["/fusion: latency"]
    for name in (
        "latency_ms_p50",
        "latency_ms_p95",
        "latency_ms_p99",
        "latency_ms_max",
        "sync_offset_ms_p50",
        "sync_offset_ms_max",
    ):
        assert name in latency
    for stage in ("decode", "align", "normalize", "split", "engine", "join", "publish"):
        assert float(latency[f"stage_{stage}_ms_p50"]) <= float(latency[f"stage_{stage}_ms_p99"])
    assert float(latency["sync_offset_ms_p50"]) == pytest.approx(2.0)
    engine = rig.statuses["/fusion: engine"]
    assert engine["backend"] == "openvino"
    assert engine["precision"] in ("bf16", "fp32")
    assert 0 <= float(engine["proof_mean_difference"]) < 1
    assert (engine["model"], engine["size"], len(engine["artifact_sha256"])) == ("nano", str(SIZE), 64)
    assert (engine["build"], engine["build_state"], engine["build_phase"], engine["build_time_s"]) == (
        "",
        "",
        "",
        "0.000",
    )
    assert float(rig.value("rate", "fused_rate_hz")) > 1
    subscribers = [rig.value("rate", f"fused_{topic}_subscribers") for topic in ("image", "info", "compressed")]
    assert subscribers == ["1", "1", "0"]
    assert rig.levels["/fusion: frames"] == rig.levels["/fusion: engine"] == 0


def malformed_messages() -> dict[str, tuple[str, Image]]:
    """Reason -> topic and a message that is wrong in that way."""
    rgb, thermal = to_image(rgb_frame(500)), to_image(thermal_frame(500))
    short = to_image(rgb_frame(500))
    short.data = short.data[:-7]
    empty = Image(header=rgb.header, encoding="bgr8")
    unknown = to_image(rgb_frame(500))
    unknown.encoding = "yuv9000"
    unstamped = to_image(thermal_frame(500))
    unstamped.header.stamp = to_stamp(0)
    floats = Frame(thermal_frame(500).stamp_ns, "t", "32FC1", np.full((4, 4), np.nan, np.float32))
    float_rgb = Frame(rgb_frame(500).stamp_ns, "r", "32FC1", np.ones((64, 96), np.float32))
    assert (rgb.step, thermal.step) == (288, 192)
    return {
        "rgb_rejected_by_reason_data_length": ("rgb/image_raw", short),
        "rgb_rejected_by_reason_size": ("rgb/image_raw", empty),
        "rgb_rejected_by_reason_encoding": ("rgb/image_raw", unknown),
        "thermal_rejected_by_reason_zero_stamp": ("thermal/image_raw", unstamped),
        "thermal_rejected_by_reason_not_finite": ("thermal/image_raw", to_image(floats)),
        "rgb_rejected_by_reason_encoding ": ("rgb/image_raw", to_image(float_rgb)),
    }


def test_malformed_messages_are_counted_and_cost_no_other_frame(rig) -> None:
    first = start_streaming(rig)
    bad = malformed_messages()
    for index, (topic, message) in enumerate(bad.values(), start=first):
        rig.publish(topic, message)
        fuse_pair(rig, index)
    assert rig.spin_until(lambda: settled(rig) and rig.value("frames", "rgb_rejected") == "4", 5), str(
        rig.statuses["/fusion: frames"]
    )
    reasons = {key.strip(): 1 for key in bad} | {"rgb_rejected_by_reason_encoding": 2}
    assert {key: int(rig.value("frames", key)) for key in reasons} == reasons
    assert rig.value("frames", "balanced") == "True"


def test_8_bit_cameras_are_fused(rig) -> None:
    first = start_streaming(rig)
    for index in range(first, first + 3):
        before = len(rig.fused)
        for topic, frame in (("thermal/image_raw", thermal_frame(index)), ("rgb/image_raw", rgb_frame(index))):
            grey = (frame.pixels if frame.pixels.ndim == 2 else frame.pixels[..., 0]).astype(np.uint8)
            rig.publish(topic, to_image(Frame(frame.stamp_ns, frame.frame_id, "mono8", grey)))
        assert rig.spin_until(lambda: len(rig.fused) > before, 5), rig.output()  # noqa: B023


def test_cameras_of_yuv_are_fused_in_colour(rig) -> None:
    index = start_streaming(rig)
    yuyv = np.tile(np.array([[81, 90], [81, 240]], np.uint8), (SIZE.height, SIZE.width // 2, 1))  # red
    rig.publish("thermal/image_raw", to_image(thermal_frame(index)))
    rig.publish("rgb/image_raw", to_image(replace(rgb_frame(index), encoding="yuv422_yuy2", pixels=yuyv)))
    assert rig.spin_until(lambda: bool(rig.fused), 5), rig.output()
    blue, green, red = np.frombuffer(rig.fused[-1].data, np.uint8).reshape(-1, 3).mean(axis=0)
    assert red > blue + 100
    assert red > green + 100


def test_each_fault_is_said_whatever_else_was_said_just_now(rig) -> None:
    first = start_streaming(rig)
    for index, (topic, message) in enumerate(malformed_messages().values(), start=first):
        rig.publish(topic, message)
        fuse_pair(rig, index)
    for said in ("holds 18425 bytes", "has no pixels", "'yuv9000'", "the stamp is zero", "no finite pixel"):
        assert rig.output().count(said) == 1, rig.output()


def test_a_thermal_frame_that_is_rejected_is_not_passed_through(rig) -> None:
    start_streaming(rig, camera_timeout_ms=100.0)
    unstamped = to_image(thermal_frame(0))
    unstamped.header.stamp = to_stamp(0)
    for _ in range(10):  # alone for longer than the timeout
        rig.publish("thermal/image_raw", unstamped)
        rig.spin_for(0.05)
    assert rig.spin_until(lambda: rig.value("frames", "thermal_rejected_by_reason_zero_stamp") == "10", 5)
    assert (rig.value("frames", "passed_through"), rig.fused) == ("0", [])


def test_other_sizes_are_fused_at_the_rgb_size(rig) -> None:
    first = start_streaming(rig)
    bigger = ImageSize(130, 97)
    fuse_pair(rig, first, bigger)
    assert rig.spin_until(lambda: bool(rig.fused_infos), 5)
    assert rig.fused[-1].width == bigger.width
    assert (rig.fused[-1].height, rig.fused_infos[-1].width) == (bigger.height, bigger.width)
    assert rig.spin_until(lambda: rig.value("engine", "size") == str(bigger), 5)


def test_missing_camera_is_bridged_and_recovers(rig) -> None:
    first = start_streaming(rig, camera_timeout_ms=300.0)
    sources: list[str] = []
    latched = QoSProfile(depth=5, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    rig.node.create_subscription(String, "fused/source", lambda said: sources.append(said.data), latched)
    assert rig.spin_until(lambda: sources == ["fused"], 5), sources
    rig.spin_for(0.5)
    index = first
    while len(rig.fused) < 3 and index < first + 100:
        rig.publish("rgb/image_raw", to_image(rgb_frame(index)))
        rig.spin_for(0.05)
        index += 1
    passed = np.frombuffer(rig.fused[-1].data, np.uint8).reshape(SIZE.height, SIZE.width, 3)
    shown = next(i for i in range(first, index) if rgb_frame(i).stamp_ns == to_ns(rig.fused[-1].header.stamp))
    assert np.abs(passed.astype(int) - rgb_frame(shown).pixels).max() <= 3  # the RGB picture itself, through YCbCr
    assert rig.spin_until(lambda: rig.levels["/fusion: thermal camera"] == 1, 5)
    published = published_pairs(rig)
    for later in range(index, index + 5):
        fuse_pair(rig, later)
    assert rig.spin_until(lambda: published_pairs(rig) >= published + 4, 5)
    assert rig.spin_until(lambda: sources == ["fused", "rgb", "fused"], 5), sources
    assert int(rig.value("frames", "passed_through")) >= 3
    assert rig.spin_until(lambda: rig.value("frames", "balanced") == "True", 3)


def test_compressed_image_is_published_only_on_demand(rig) -> None:
    first = start_streaming(rig)
    received: list[CompressedImage] = []
    rig.node.create_subscription(CompressedImage, "fused/image_raw/compressed", received.append, 10)
    index = first
    while not received and index < first + 100:
        publish_pair(rig, index)
        rig.spin_for(0.05)
        index += 1
    assert bytes(received[0].data[:2]) == b"\xff\xd8"
    assert received[0].format == "bgr8; jpeg compressed bgr8"


def set_parameter(rig, name: str, value: object) -> tuple[bool, str]:
    client = rig.node.create_client(SetParameters, "/fusion/set_parameters")
    assert rig.spin_until(client.service_is_ready)
    request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
    future = client.call_async(request)
    assert rig.spin_until(future.done, 5)
    result = future.result().results[0]
    return result.successful, result.reason


def test_bad_parameters_are_refused_with_a_sentence_and_good_ones_take_effect(rig) -> None:
    first = start_streaming(rig)
    refused, reason = set_parameter(rig, "sync.slop_ms", -5.0)
    assert not refused
    assert reason == "The parameter sync.slop_ms cannot be -5.0: it must be a number from 0.1 to 1000 ms."
    refused, reason = set_parameter(rig, "on_missing", "explode")
    assert not refused
    assert "explode" in reason
    assert "passthrough, skip" in reason
    accepted, _ = set_parameter(rig, "sync.slop_ms", 1)  # a whole number will do
    assert accepted
    unpaired = int(rig.value("frames", "rgb_unpaired"))
    publish_pair(rig, first)  # 2 ms apart: outside the new slop
    assert rig.spin_until(lambda: int(rig.value("frames", "rgb_unpaired")) == unpaired + 1, 5)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"sync__slop_ms": -1.0}, "The parameter sync.slop_ms cannot be -1.0"),
        ({"on_missing": "explode"}, "The parameter on_missing cannot be 'explode'"),
        ({"model": "no/such.onnx"}, "The model file no/such.onnx does not exist; check the path."),
        ({"sync__policy": "approximate"}, "message_filters"),
    ],
)
def test_what_cannot_start_says_why_in_one_line_and_exits_1(rig, parameters, sentence) -> None:
    if "sync__policy" in parameters:
        try:
            import message_filters  # noqa: F401
        except ImportError:
            pass
        else:
            pytest.skip("message_filters is installed here")
    process = rig.start("fusion_node", **parameters)
    assert process.wait(20) == 1
    last_line = process.output.strip().splitlines()[-1]
    assert last_line.startswith("error: ")
    assert sentence in last_line
    assert "Traceback" not in process.output


@pytest.mark.parametrize("override", ["rgb/image_raw:=bad topic", "__ns:=car"])
def test_what_ros_itself_refuses_is_one_line_too(rig, override) -> None:
    command = [sys.executable, "-m", "refinefuse_ros.nodes.fusion_node", "--ros-args", "-r", override]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines()[-1].startswith("error: ROS refuses to start the node: ")
    assert override in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("topic", ["/fused/image_raw.publisher", "/rgb/image_raw.subscription"])
def test_a_qos_override_that_is_none_ends_it_with_a_sentence(rig, topic) -> None:
    process = rig.start("fusion_node", **{f"qos_overrides.{topic}.reliability": "nonsense"})
    assert process.wait(20) == 1
    assert "A QoS override cannot be used: " in process.output.strip().splitlines()[-1]
    assert "nonsense" in process.output


def change_state(rig, transition: int):
    client = rig.node.create_client(ChangeState, "/fusion/change_state")
    assert rig.spin_until(client.service_is_ready)
    return client.call_async(ChangeState.Request(transition=Transition(id=transition)))


def test_a_lifecycle_manager_leads_it_through_all_states_twice(rig) -> None:
    rig.start("fusion_node", **SMALL_ENGINE, autostart=False)
    index = 0
    for _ in range(2):
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            done = change_state(rig, transition)
            assert rig.spin_until(done.done, 10), rig.output()
            assert done.result().success
        rig.fused.clear()
        while not rig.fused and index < 200:
            publish_pair(rig, index)
            rig.spin_for(0.1)
            index += 1
        assert rig.fused, rig.output()
        for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP):
            done = change_state(rig, transition)
            assert rig.spin_until(done.done, 10), rig.output()
            assert done.result().success


def test_what_is_not_live_waits_for_configure_not_for_activate(rig) -> None:
    first = start_streaming(rig)
    waits = "thermal.transport takes effect when the node is configured again."
    assert set_parameter(rig, "thermal.transport", "compressed") == (True, waits)
    for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE):
        done = change_state(rig, transition)
        assert rig.spin_until(done.done, 10), rig.output()
    assert rig.spin_until(rig.matched, 10), "thermal/image_raw is no longer subscribed"
    fuse_pair(rig, first)


def test_a_transition_that_is_not_possible_is_answered_and_changes_nothing(rig) -> None:
    first = start_streaming(rig)
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE, 77):
        done = change_state(rig, transition)
        assert rig.spin_until(done.done, 10), rig.output()
        assert not done.result().success
    assert "The transition 3 was refused: it is not possible in the state active." in rig.output()
    assert "Traceback" not in rig.output()
    fuse_pair(rig, first)


def test_a_looping_recording_keeps_being_fused(rig) -> None:
    start_streaming(rig)
    for _ in range(2):
        for index in range(1000, 1010):  # the second round jumps back
            fuse_pair(rig, index)
    assert rig.spin_until(lambda: rig.value("frames", "resets") == "1" and settled(rig), 5)


def test_compressed_cameras_are_fused(rig) -> None:
    topics = {camera: f"{camera}/image_raw/compressed" for camera in ("thermal", "rgb")}
    publishers = {camera: rig.node.create_publisher(CompressedImage, topic, 10) for camera, topic in topics.items()}
    rig.start("fusion_node", **SMALL_ENGINE, thermal__transport="compressed", rgb__transport="compressed")
    assert rig.spin_until(lambda: all(p.get_subscription_count() for p in publishers.values())), rig.output()
    for index in range(100):
        for camera, frame, suffix in (("thermal", thermal_frame(index), ".png"), ("rgb", rgb_frame(index), ".jpg")):
            data = cv2.imencode(suffix, frame.pixels)[1].tobytes()
            codec = {"thermal": "mono16; png compressed ", "rgb": "bgr8; jpeg compressed bgr8"}[camera]
            publishers[camera].publish(CompressedImage(header=header(frame), format=codec, data=data))
        if rig.spin_until(lambda: bool(rig.fused), 0.2):
            break
    assert (rig.fused[0].width, rig.fused[0].height) == SIZE


def test_truncated_model_is_refused(rig, tmp_path) -> None:
    from refinefuse_ros.engine.artifacts import find_model

    broken = tmp_path / "broken.onnx"
    broken.write_bytes(find_model("nano").graph.read_bytes()[:5000])
    process = rig.start("fusion_node", model=str(broken))
    assert process.wait(20) == 1
    assert "is not a readable ONNX file" in process.output.strip().splitlines()[-1]


def test_ctrl_c_ends_it_in_time_whatever_it_does(rig) -> None:
    start_streaming(rig)
    process = rig._processes[0]
    process.interrupt()
    assert process.wait(3) == 0
    assert "Traceback" not in process.output


def test_ctrl_c_ends_it_well_after_its_engine_was_replaced(rig) -> None:
    fuse_pair(rig, start_streaming(rig), ImageSize(130, 97))
    process = rig._processes[0]
    process.interrupt()
    assert process.wait(3) == 0, process.output
    assert "Traceback" not in process.output
