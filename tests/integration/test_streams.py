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

"""Cameras as people have them, live: late, wrongly stamped, unusable, slowed down; what is shown, and what is said."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock

from refinefuse_ros.image.frame import Frame
from refinefuse_ros.nodes.messages import to_image, to_stamp

pytestmark = pytest.mark.integration

ENGINE = {"engine__backend": "laplacian", "engine__width": 96, "engine__height": 64}
PERIOD_S = 1 / 20
EPOCH_NS = 1_700_000_000_000_000_000


def thermal(index: int, stamp_ns: int) -> Frame:
    counts = np.random.default_rng(index).integers(28_000, 31_000, (64, 96), np.uint16)
    return Frame(stamp_ns, "thermal_optical_frame", "mono16", counts)


def rgb(index: int, stamp_ns: int) -> Frame:
    return Frame(
        stamp_ns, "rgb_optical_frame", "bgr8", np.random.default_rng(index).integers(0, 256, (64, 96, 3), np.uint8)
    )


def stream(
    rig, until: Callable[[], bool], thermal_ns: Callable[[int], int], rgb_ns: Callable[[int], int], late: int = 0
):
    """Both cameras at 20 Hz, each stamp made of the time now, thermal messages `late` periods late; whether `until`."""
    waiting: list[Frame] = []
    for index in range(400):
        now_ns = time.time_ns()
        waiting.append(thermal(index, thermal_ns(now_ns)))
        if len(waiting) > late:
            rig.publish("thermal/image_raw", to_image(waiting.pop(0)))
        rig.publish("rgb/image_raw", to_image(rgb(index, rgb_ns(now_ns))))
        if rig.spin_until(until, PERIOD_S):
            return True
    return False


def start(rig, **parameters: object) -> None:
    rig.start("fusion_node", **ENGINE, **parameters)
    assert rig.spin_until(lambda: rig.matched() and rig.hears_fusion()), rig.output()


def message_of(rig, status: str) -> str:
    return rig.messages.get(f"/fusion: {status}", "")


def set_parameter(rig, name: str, value: object) -> None:
    client = rig.node.create_client(SetParameters, "/fusion/set_parameters")
    assert rig.spin_until(client.service_is_ready)
    request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
    future = client.call_async(request)
    assert rig.spin_until(future.done, 5)
    assert future.result().results[0].successful


def same(now_ns: int) -> int:
    return now_ns


def test_a_thermal_camera_that_is_late_is_waited_for(rig) -> None:
    start(rig)
    pairs = lambda: int(rig.value("frames", "pairs_published") or 0) >= 20  # noqa: E731
    assert stream(rig, pairs, same, same, late=4), rig.output()
    assert float(rig.value("frames", "sync_max_wait_ms")) >= 200
    assert float(rig.value("latency", "sync_offset_ms_max")) == 0


def test_an_offset_is_named_and_the_parameter_cures_it_while_streaming(rig) -> None:
    start(rig)
    ahead = lambda now_ns: now_ns + 1_200_000_000  # noqa: E731
    said = lambda: "sync.thermal_offset_ms: 1" in message_of(rig, "frames")  # noqa: E731
    logged = lambda: said() and "RGB's stamps stand +1" in rig.output()  # noqa: E731  (a little later)
    assert stream(rig, logged, same, ahead), rig.output()
    assert rig.levels["/fusion: frames"] == 1
    set_parameter(rig, "sync.thermal_offset_ms", 1200.0)
    cured = lambda: rig.levels["/fusion: frames"] == 0 and rig.value("frames", "pairs_published") != "0"  # noqa: E731
    assert stream(rig, cured, same, ahead), (rig.statuses, rig.output())


def test_a_camera_without_stamps_is_passed_by_and_paired_by_arrival(rig) -> None:
    start(rig, camera_timeout_ms=300.0)
    shown = lambda: int(rig.value("frames", "passed_through") or 0) >= 5  # noqa: E731
    assert stream(rig, shown, lambda now_ns: 0, same), rig.output()
    assert "the stamp is zero; set sync.stamps: arrival" in message_of(rig, "thermal camera")
    set_parameter(rig, "sync.stamps", "arrival")
    paired = lambda: int(rig.value("frames", "pairs_published") or 0) >= 5  # noqa: E731
    assert stream(rig, paired, lambda now_ns: 0, same), rig.output()


def test_a_slow_clock_pairs_as_a_fast_one(rig) -> None:
    """Thermal exposed 8 ms after RGB, played at a tenth of its speed: deadlines follow /clock."""
    start(rig, use_sim_time=True)
    clock = rig.node.create_publisher(Clock, "/clock", 10)
    assert rig.spin_until(lambda: clock.get_subscription_count() >= 1)
    ticks_ms, frames = range(0, 700, 4), 0
    for ms in ticks_ms:
        now_ns = EPOCH_NS + ms * 1_000_000
        clock.publish(Clock(clock=to_stamp(now_ns)))
        if ms % 32 == 0:
            frames += 1
            rig.publish("rgb/image_raw", to_image(rgb(ms, now_ns)))
        if ms % 32 == 8:
            rig.publish("thermal/image_raw", to_image(thermal(ms, now_ns)))
        rig.spin_for(0.04)
    enough = lambda: int(rig.value("frames", "pairs_published") or 0) >= frames - 3  # noqa: E731
    assert rig.spin_until(enough, 5), (rig.statuses, rig.output())


def test_what_is_subscribed_missing_and_misspelt_is_said(rig) -> None:
    rig.start("fusion_node", **ENGINE, sync__thermal_hold=120.0)
    assert rig.spin_until(lambda: "nobody publishes" in rig.output() or rig.matched()), rig.output()
    assert "subscribed: /thermal/image_raw (/thermal/camera_info), /rgb/image_raw" in rig.output()
    assert "sync.thermal_hold is not known here; did you mean sync.thermal_hold_ms?" in rig.output()
    assert rig.spin_until(lambda: "No frame of the rgb camera so far: /rig publishes /rgb/image_raw" in rig.output())
    assert rig.levels["/fusion: rgb camera"] == 2


def test_nothing_is_fused_while_nobody_watches(rig) -> None:
    start(rig)
    for subscription in list(rig.node.subscriptions):
        if subscription.topic_name.startswith("/fused"):
            rig.node.destroy_subscription(subscription)
    unwatched = lambda: int(rig.value("frames", "pairs_unwatched") or 0) >= 5  # noqa: E731
    assert stream(rig, unwatched, same, same), rig.output()
    assert rig.spin_until(lambda: "Nobody subscribes" in message_of(rig, "rate"), 5)
    assert rig.levels["/fusion: rate"] == rig.levels["/fusion: frames"] == 0
