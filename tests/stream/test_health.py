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

"""Each diagnostic status gets the level that the contract gives it, and one sentence."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from refinefuse_ros.stream.health import (
    CameraHealth,
    CameraReading,
    Judgement,
    Level,
    judge_alignment,
    judge_camera,
    judge_engine,
    judge_latency,
    judge_rate,
    sends_alone,
)
from refinefuse_ros.stream.outcome import Stream
from refinefuse_ros.stream.timing import NS_PER_MS, NS_PER_S, Percentiles

NEVER = CameraReading(ever_received=False, age_ms=math.nan, streaming_ms=0.0, rate_hz=0.0, timeout_ms=1000.0)
LIVE = CameraReading(ever_received=True, age_ms=20.0, streaming_ms=5000.0, rate_hz=30.0, timeout_ms=1000.0)
GONE = CameraReading(ever_received=True, age_ms=2500.0, streaming_ms=5000.0, rate_hz=0.0, timeout_ms=1000.0)


def is_one_sentence(judgement: Judgement) -> bool:
    return judgement.message[0].isupper() and judgement.message.endswith(".") and ". " not in judgement.message


@pytest.mark.parametrize(
    ("rate_hz", "ever_published", "level"),
    [(0.0, False, Level.STALE), (9.9, True, Level.WARN), (10.0, True, Level.OK), (0.0, True, Level.WARN)],
)
def test_rate(rate_hz: float, ever_published: bool, level: Level) -> None:
    judgement = judge_rate(rate_hz, min_rate_hz=10.0, ever_published=ever_published)
    assert judgement.level is level
    assert is_one_sentence(judgement)


@pytest.mark.parametrize(
    ("p99", "count", "level"), [(math.nan, 0, Level.STALE), (51.0, 9, Level.WARN), (50.0, 9, Level.OK)]
)
def test_latency(p99: float, count: int, level: Level) -> None:
    judgement = judge_latency(Percentiles(p50=p99, p95=p99, p99=p99, max=p99, count=count), budget_ms=50.0)
    assert judgement.level is level
    assert is_one_sentence(judgement)


def test_stamps_ahead_of_the_node_s_clock_are_no_good_latency() -> None:
    ahead = Percentiles(p50=-3_600_000.0, p95=-1.0, p99=-1.0, max=-1.0, count=9)
    level, message = judge_latency(ahead, 150.0)
    assert (level, "3600000.0 ms ahead" in message) == (Level.WARN, True)
    assert "use_sim_time" not in judge_latency(ahead, 150.0, sim_time=True).message
    behind_by_a_tick = Percentiles(p50=-8.0, p95=2.0, p99=5.0, max=5.0, count=9)
    assert judge_latency(behind_by_a_tick, 150.0).level is Level.OK


@pytest.mark.parametrize(
    ("backend", "failures", "fell_back_from", "level"),
    [
        (None, 0, None, Level.STALE),
        ("openvino", 0, None, Level.OK),
        ("openvino", 1, None, Level.WARN),
        ("openvino", 3, None, Level.ERROR),
        ("torch", 0, "openvino", Level.WARN),
        (None, 2, "openvino", Level.ERROR),
    ],
)
def test_engine(backend: str | None, failures: int, fell_back_from: str | None, level: Level) -> None:
    judgement = judge_engine(backend, failures, max_failures=3, fell_back_from=fell_back_from)
    assert judgement.level is level
    assert is_one_sentence(judgement)
    assert "None" not in judgement.message


def test_an_engine_that_waits_for_its_own_size_is_not_the_one_that_failed() -> None:
    refused = "Images of 96x64 cannot be fused: the GPU is full; this is tried again in 10 s."
    assert judge_engine("openvino", 5, max_failures=3, refused=refused) == Judgement(Level.ERROR, refused)


def test_an_engine_that_keeps_a_deadline_at_a_price_says_so() -> None:
    judgement = judge_engine("openvino", 0, max_failures=3, reduced_to="nano at half the size")
    assert judgement == (Level.WARN, "The openvino engine runs nano at half the size, to keep the deadline.")
    assert judge_engine("openvino", 3, max_failures=3, reduced_to="nano").level is Level.ERROR


@pytest.mark.parametrize("stream", list(Stream))
@pytest.mark.parametrize(
    ("camera", "other", "level"),
    [
        (LIVE, LIVE, Level.OK),
        (LIVE, GONE, Level.OK),
        (GONE, LIVE, Level.WARN),
        (NEVER, LIVE, Level.WARN),
        (GONE, GONE, Level.ERROR),
        (GONE, NEVER, Level.ERROR),
        (NEVER, GONE, Level.ERROR),
        (NEVER, NEVER, Level.STALE),
    ],
)
def test_camera(stream: Stream, camera: CameraReading, other: CameraReading, level: Level) -> None:
    judgement = judge_camera(stream, {stream: camera, stream.other: other}, passthrough=True)
    assert judgement.level is level
    assert stream.value in judgement.message
    assert "nan" not in judgement.message


def test_alignment() -> None:
    def judged(error_px: float, moments: int = 5, max_error_px: float = 10.0, calibrated: bool = False) -> Judgement:
        judgement = judge_alignment(error_px, moments, 3, max_error_px, calibrated)
        assert judgement.message[0].isupper()
        assert judgement.message.endswith(".")
        return judgement

    assert judged(4.0) == (Level.OK, "Thermal lies 4.0 px beside RGB.")
    assert judged(math.nan).level is Level.STALE
    assert "of the 3 pairs that it takes, 2 were" in judged(math.nan, moments=2).message
    assert "too little in common" in judged(math.nan).message
    level, message = judged(40.0)
    assert (level, "40 px" in message, "set alignment.file" in message) == (Level.WARN, True, True)
    assert "have moved since they were calibrated" in judged(40.0, calibrated=True).message
    assert judged(40.0, max_error_px=0.0).level is Level.OK
    assert judge_alignment(math.nan, 5, 3, 10.0, False, fault="A bug.") == (Level.STALE, "A bug.")


def test_an_alignment_at_its_bound_does_not_come_and_go() -> None:
    levels, was_over = [], False
    for error_px in (9.9, 10.1, 9.9, 10.1, 8.1, 7.9, 9.9, 10.1):
        level, message = judge_alignment(error_px, 7, 3, 10.0, False, was_over)
        was_over = level is Level.WARN
        levels.append(was_over)
        assert ("over the 10 px" in message) == (error_px > 10)
    assert levels == [False, True, True, True, True, False, False, True]


def test_a_camera_that_never_came_is_a_mistake_and_no_pause() -> None:
    def level(camera: CameraReading, watched_ms: float) -> Level:
        cameras = {Stream.THERMAL: camera, Stream.RGB: LIVE}
        return judge_camera(Stream.THERMAL, cameras, passthrough=True, watched_ms=watched_ms).level

    assert [level(NEVER, watched_ms) for watched_ms in (2000.0, 9000.0, 11_000.0)] == [Level.WARN] * 2 + [Level.ERROR]
    assert level(GONE, 60_000.0) is Level.WARN  # it is there, and was unplugged
    assert level(replace(NEVER, sends=True), 60_000.0) is Level.WARN  # it is there, and its frames are refused


def test_missing_camera_says_what_is_published() -> None:
    cameras = {Stream.THERMAL: GONE, Stream.RGB: LIVE}
    assert "rgb camera is passed through" in judge_camera(Stream.THERMAL, cameras, passthrough=True).message
    assert "nothing is published" in judge_camera(Stream.THERMAL, cameras, passthrough=False).message


def test_camera_is_live_until_the_timeout_and_recovers() -> None:
    camera = CameraHealth(timeout_ms=500.0)
    assert not camera.read(NS_PER_S).ever_received
    for i in range(31):
        camera.arrived(NS_PER_S + i * NS_PER_S // 30)
    assert camera.read(2 * NS_PER_S).rate_hz == pytest.approx(30.0, rel=1e-3)
    assert camera.read(2 * NS_PER_S + NS_PER_S // 2).live
    late = camera.read(2 * NS_PER_S + NS_PER_S // 2 + 1)
    assert not late.live
    assert late.age_ms == pytest.approx(500.0)
    camera.arrived(3 * NS_PER_S)
    assert camera.read(3 * NS_PER_S).live


def test_camera_still_times_out_after_the_clock_jumps_back() -> None:
    camera = CameraHealth(timeout_ms=500.0)
    camera.arrived(100 * NS_PER_S)
    assert camera.read(NS_PER_S).live
    assert not camera.read(2 * NS_PER_S).live


def test_timeout_must_be_positive() -> None:
    with pytest.raises(ValueError, match="timeout_ms is 0"):
        CameraHealth(timeout_ms=0)


def test_a_camera_sends_alone_only_after_it_outlasted_the_others_timeout() -> None:
    just_back = CameraReading(ever_received=True, age_ms=0.0, streaming_ms=0.0, rate_hz=0.0, timeout_ms=1000.0)
    assert sends_alone(LIVE, GONE)
    assert sends_alone(LIVE, NEVER)
    assert not sends_alone(just_back, GONE)  # both paused: the other may be a moment behind
    assert not sends_alone(LIVE, LIVE)
    assert not sends_alone(GONE, NEVER)


def test_streaming_time_starts_anew_after_a_gap() -> None:
    camera = CameraHealth(timeout_ms=1000.0)
    for ms in (0, 500, 1000, 1500):
        camera.arrived(ms * NS_PER_MS)
    assert camera.read(1500 * NS_PER_MS).streaming_ms == 1500.0
    camera.arrived(4000 * NS_PER_MS)
    assert camera.read(4000 * NS_PER_MS).streaming_ms == 0.0


def test_a_camera_whose_frames_are_all_unusable_sends_but_is_missing() -> None:
    camera = CameraHealth(timeout_ms=1000.0)
    camera.received(NS_PER_S)
    reading = camera.read(NS_PER_S + NS_PER_S // 2)
    assert (reading.sends, reading.live, reading.ever_received) == (True, False, False)
    assert not camera.read(3 * NS_PER_S).sends


def test_why_a_camera_s_frames_are_refused_is_its_status() -> None:
    sending = CameraReading(False, math.nan, 0.0, 0.0, 1000.0, sends=True)
    cameras = {Stream.THERMAL: sending, Stream.RGB: LIVE}
    judgement = judge_camera(Stream.THERMAL, cameras, passthrough=True, refusal="Its stamps are zero")
    assert judgement == (Level.WARN, "Its stamps are zero; the rgb camera is passed through.")
    still_live = judge_camera(Stream.RGB, cameras, passthrough=True, refusal="The picture stands still")
    assert still_live == (Level.WARN, "The picture stands still.")
