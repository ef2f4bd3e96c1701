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

"""Judgement for /diagnostics: from plain numbers to a level and one sentence per status."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from refinefuse_ros.stream.outcome import Stream
from refinefuse_ros.stream.timing import NS_PER_MS, Percentiles, RateMeter

# A camera of which nothing came for so long is not one that starts late: its topic's name is wrong, or it is not there.
NEVER_CAME_MS: Final = 10_000.0
# An alignment that was over its bound is not before it is so far below: measurements scatter.
WELL_BELOW: Final = 0.8


class Level(IntEnum):
    """The levels of diagnostic_msgs/DiagnosticStatus, with its numbers."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


class Judgement(NamedTuple):
    """The level and message of one diagnostic status."""

    level: Level
    message: str


@dataclass(frozen=True)
class CameraReading:
    """A camera at one moment.

    Attributes:
        ever_received: whether any usable frame has arrived yet.
        age_ms: time since the last usable frame, ms; NaN before the first.
        streaming_ms: for how long they have been arriving without a gap over the timeout, ms; 0 before the first.
        rate_hz: usable frames per second, Hz.
        timeout_ms: the age, ms, beyond which the camera counts as missing.
        sends: whether messages arrive, usable or not.
    """

    ever_received: bool
    age_ms: float
    streaming_ms: float
    rate_hz: float
    timeout_ms: float
    sends: bool = False

    @property
    def live(self) -> bool:
        """Whether usable frames are arriving: the last one is at most `timeout_ms` old."""
        return self.ever_received and self.age_ms <= self.timeout_ms


class CameraHealth:
    """Watches the arrivals of one camera's frames: of those that can be used, and of messages at all. Thread-safe.

    Args:
        timeout_ms: the camera counts as missing when its last frame is older than this, ms.
        window_s: the rate is taken over this long, s.

    Raises:
        ValueError: a value is not above 0.
    """

    def __init__(self, timeout_ms: float = 1000.0, window_s: float = 2.0) -> None:
        if not timeout_ms > 0:
            raise ValueError(f"timeout_ms is {timeout_ms}: give a number of milliseconds above 0.")
        self._lock = threading.Lock()
        self._timeout_ms = timeout_ms
        self._rate = RateMeter(window_s)
        self._last_ns: int | None = None
        self._last_message_ns: int | None = None
        self._streaming_since_ns = 0

    def received(self, now_ns: int) -> None:
        """A message came at `now_ns`, whatever it is worth."""
        with self._lock:
            self._last_message_ns = now_ns

    def arrived(self, now_ns: int) -> None:
        """A new frame that can be used arrived at `now_ns`."""
        self._rate.tick(now_ns)
        self.received(now_ns)
        with self._lock:
            if self._last_ns is None or now_ns - self._last_ns > self._timeout_ms * NS_PER_MS:
                self._streaming_since_ns = now_ns
            self._last_ns = now_ns

    def read(self, now_ns: int) -> CameraReading:
        """The camera at `now_ns`; after a clock that stepped back, the age counts from now."""
        rate_hz = self._rate.rate_hz(now_ns)
        with self._lock:
            last_message_ns = self._last_message_ns
            sends = last_message_ns is not None and abs(now_ns - last_message_ns) <= self._timeout_ms * NS_PER_MS
            if self._last_ns is None:
                return CameraReading(False, math.nan, 0.0, 0.0, self._timeout_ms, sends)
            self._last_ns = min(self._last_ns, now_ns)
            self._streaming_since_ns = min(self._streaming_since_ns, self._last_ns)
            return CameraReading(
                ever_received=True,
                age_ms=(now_ns - self._last_ns) / NS_PER_MS,
                streaming_ms=(self._last_ns - self._streaming_since_ns) / NS_PER_MS,
                rate_hz=rate_hz,
                timeout_ms=self._timeout_ms,
                sends=sends,
            )


def sends_alone(camera: CameraReading, other: CameraReading) -> bool:
    """Whether `camera` has been sending for longer than the timeout and nothing came of `other` meanwhile.

    Two cameras that start (or come back) together do not count, whichever frame is the first.
    """
    return camera.live and camera.streaming_ms > camera.timeout_ms and not other.live


def judge_rate(rate_hz: float, min_rate_hz: float, ever_published: bool, watched: bool = True) -> Judgement:
    """Status `rate`: the rate of published fused images, Hz, against `diagnostics.min_rate_hz`, where wanted."""
    if not watched:
        return Judgement(Level.OK, "Nobody subscribes the fused image, so nothing is fused.")
    if not ever_published:
        return Judgement(Level.STALE, "No fused image has been published yet.")
    if rate_hz < min_rate_hz:
        return Judgement(Level.WARN, f"Fused images at {rate_hz:.1f} Hz, under the minimum of {min_rate_hz:.1f} Hz.")
    return Judgement(Level.OK, f"Fused images at {rate_hz:.1f} Hz.")


def judge_latency(latency: Percentiles, budget_ms: float, sim_time: bool = False) -> Judgement:
    """Status `latency`: stamp to publish, in ms, its 99th percentile against the budget.

    With `sim_time` the node's clock is /clock, which ticks behind a recording's messages: their stamps may be ahead of
    it, but not by as much as the budget.
    """
    if latency.count == 0:
        return Judgement(Level.STALE, "No latency has been measured yet.")
    if latency.p50 < -budget_ms:
        cure = "bring the cameras' clock and it together, or set use_sim_time for a recording"
        if sim_time:
            cure = "it follows /clock, which is not of the recording that the cameras' frames are of"
        return Judgement(Level.WARN, f"The stamps are {-latency.p50:.1f} ms ahead of the node's clock: {cure}.")
    if latency.p99 > budget_ms:
        return Judgement(Level.WARN, f"Latency p99 is {latency.p99:.1f} ms, over the budget of {budget_ms:.1f} ms.")
    return Judgement(Level.OK, f"Latency p99 is {latency.p99:.1f} ms.")


def judge_engine(
    backend: str | None,
    failures_in_a_row: int,
    max_failures: int,
    fell_back_from: str | None = None,
    refused: str = "",
    reduced_to: str = "",
) -> Judgement:
    """Status `engine`.

    Args:
        backend: the backend in use, None while no engine is loaded.
        failures_in_a_row: pairs that the engine failed on since its last success.
        max_failures: `engine.max_failures`; so many in a row count as a failed engine.
        fell_back_from: the backend that was given up for this one, if any.
        refused: the sentence on why there is no engine for the size that comes, or which one hangs; empty where all
            is as it should be.
    """
    if refused:
        return Judgement(Level.ERROR, refused)
    if failures_in_a_row >= max_failures or (backend is None and fell_back_from is not None):
        failed = backend or fell_back_from
        return Judgement(Level.ERROR, f"The {failed} engine failed {failures_in_a_row} times in a row.")
    if backend is None:
        return Judgement(Level.STALE, "No engine is loaded yet.")
    if failures_in_a_row:
        return Judgement(Level.WARN, f"The {backend} engine failed {failures_in_a_row} times in a row.")
    if fell_back_from is not None:
        return Judgement(Level.WARN, f"The {backend} engine runs in place of {fell_back_from}, which failed.")
    if reduced_to:
        return Judgement(Level.WARN, f"The {backend} engine runs {reduced_to}, to keep the deadline.")
    return Judgement(Level.OK, f"The {backend} engine runs.")


def judge_alignment(
    error_px: float,
    moments: int,
    enough: int,
    max_error_px: float,
    calibrated: bool,
    was_over: bool = False,
    fault: str = "",
) -> Judgement:
    """Status `alignment`.

    Args:
        error_px: how far thermal lies from where it belongs, RGB pixels; NaN where the pictures do not tell.
        moments: how many pairs were looked at of late.
        enough: how many it takes.
        max_error_px: `alignment.max_error_px`; 0 looks at none.
        calibrated: whether there is an alignment file.
        was_over: whether it was a warning when last judged: then it stays one until the error is well below.
        fault: what went wrong with the measuring, as a sentence; empty where nothing did.
    """
    if not max_error_px:
        return Judgement(Level.OK, "How well thermal lies on RGB is not watched.")
    if math.isnan(error_px):
        if fault:
            return Judgement(Level.STALE, fault)
        why = "the cameras see too little in common, or not the same part of the scene"
        if moments < enough:
            why = f"of the {enough} pairs that it takes, {moments} were looked at of late"
        return Judgement(Level.STALE, f"How well thermal lies on RGB cannot be told: {why}.")
    if error_px <= max_error_px * (WELL_BELOW if was_over else 1):
        return Judgement(Level.OK, f"Thermal lies {error_px:.1f} px beside RGB.")
    cure = (
        "the cameras have moved since they were calibrated; run refinefuse calibrate again"
        if calibrated
        else "record both cameras, run refinefuse calibrate, and set alignment.file"
    )
    return Judgement(
        Level.WARN,
        f"Thermal lies {error_px:.0f} px beside RGB, {'over' if error_px > max_error_px else 'not well below'} the"
        f" {max_error_px:.0f} px that are allowed: {cure}.",
    )


def judge_camera(
    stream: Stream,
    cameras: dict[Stream, CameraReading],
    passthrough: bool,
    refusal: str = "",
    silence: str = "",
    watched_ms: float = 0.0,
    fault: str = "",
) -> Judgement:
    """Status `thermal camera` or `rgb camera`, in the light of the other camera.

    Args:
        stream: the camera to judge.
        cameras: the readings of both, taken at the same moment.
        passthrough: whether `on_missing` is `passthrough` (else `skip`).
        refusal: why none of its frames can be used, as a clause; empty where some can.
        silence: what is known of its topic while nothing comes of it, as a clause; empty where nothing is.
        watched_ms: for how long frames have been waited for, ms: cameras may start a moment later than the node.
        fault: what seems wrong with it though its frames are used, as a clause; empty where nothing does.
    """
    camera, other = cameras[stream], cameras[stream.other]
    if camera.live:
        if fault := refusal or fault:
            return Judgement(Level.WARN, f"{fault}.")
        rate = f" at {camera.rate_hz:.1f} Hz" if camera.rate_hz else ""  # not known of the first frames
        return Judgement(Level.OK, f"The {stream} camera sends{rate}.")
    waiting = not (camera.ever_received or camera.sends) and watched_ms <= camera.timeout_ms
    if waiting and not other.ever_received:
        return Judgement(Level.STALE, f"No frame of the {stream} camera has been received yet.")
    since = f"for {camera.age_ms / 1000:.1f} s" if camera.ever_received else "so far"
    missing = f"No frame of the {stream} camera {since}"
    if silence:
        missing = f"{missing}: {silence}"
    if camera.sends and refusal:
        missing = refusal
    if not other.live:
        return Judgement(Level.ERROR, f"{missing}, and the {stream.other} camera is missing too.")
    consequence = f"the {stream.other} camera is passed through" if passthrough else "nothing is published"
    never_came = not (camera.ever_received or camera.sends) and watched_ms > NEVER_CAME_MS
    return Judgement(Level.ERROR if never_came else Level.WARN, f"{missing}; {consequence}.")
