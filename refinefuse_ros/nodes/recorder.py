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

"""Watches the fused stream as a viewer would: writes it to MP4, keeps moments, measures arrivals, gives the verdict.

It ends by itself once the player says that it has finished, or the cameras are gone, and the fusion node's ledger has
nothing in flight. The verdict then goes to report.json and, in words, to standard output.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image

from refinefuse_ros.errors import UserError, in_words
from refinefuse_ros.image.codec import MalformedImage
from refinefuse_ros.image.contact_sheet import Moment, write_contact_sheet
from refinefuse_ros.image.frame import Frame
from refinefuse_ros.image.video import Mp4Writer
from refinefuse_ros.nodes.live_report import (
    CONTACT_SHEET,
    FRAMES,
    REPORT,
    VIDEO,
    LatencyFrom,
    LiveRun,
    fusion_values,
    live_report,
    playback_values,
    sent_values,
    summary,
)
from refinefuse_ros.nodes.messages import to_frame
from refinefuse_ros.nodes.parameters import DeclaredParameters, parameter
from refinefuse_ros.nodes.published import IMAGE_TYPES, PublishedTopic, find_images, stamp_of
from refinefuse_ros.nodes.running import StartError, run_node
from refinefuse_ros.nodes.sent_times import read_sent_times
from refinefuse_ros.stream.delivery import Delivery, Timed, join, summarize, summarize_round
from refinefuse_ros.stream.outcome import Stream
from refinefuse_ros.stream.timing import NS_PER_MS, NS_PER_S, LatencyWindow, RateMeter
from refinefuse_ros.writing import write_whole

REPORT_PERIOD_S = 0.5
# How long the last frames and diagnostics may take to come in after the player has finished.
DRAIN_S = 5.0
# Diagnostics come once a second: one that came so long after the end was made after it.
SETTLED_S = 1.2
KEPT_FRAMES = 10
WRITER_NICENESS = 19
# Frames that wait for the video encoder at most: 0.3 GB of 640x480.
VIDEO_QUEUE = 300
# From so many stamps the video's frame rate is taken, where none is given.
RATE_FRAMES = 30
DEFAULT_RATE_HZ = 30.0


@dataclass(frozen=True)
class RecorderParameters:
    """Every parameter of the recorder, typed."""

    output: str = parameter("recording", "Folder for fused.mp4, contact_sheet.png and report.json.")
    source: str = parameter("", "Name of what is played, for the report.")
    rate_hz: float = parameter(
        0.0, "Frame rate of the video file; 0 takes that of the stamps.", unit="Hz", between=(0, 240)
    )
    moments: int = parameter(6, "Rows of the contact sheet.", between=(1, 50))
    duration_s: float = parameter(
        20.0,
        "How long the stream will last: spreads the contact sheet's moments.",
        unit="s",
        between=(0.01, 1e6),
    )
    replay: bool = parameter(False, "The stamps are a recording's: they say nothing about latency.")
    sent_times: str = parameter(
        "", "For a replay: the file in which the bag player tells when it published each stamp."
    )
    json: bool = parameter(False, "Print progress and report as lines of JSON, and nothing else.")


class Seen(NamedTuple):
    """A fused image's arrival: its stamp, and the node's clock and the system's monotonic one, all in ns."""

    stamp_ns: int
    clock_ns: int
    monotonic_ns: int


class Recorder(Node):
    """Subscribes fused/, thermal/ and rgb/ images and /diagnostics.

    Attributes:
        finished: whether all has come in; ends `run_node`.
        failure: why there is no verdict.

    Raises:
        StartError: the output folder cannot be made.
        ParameterError: a parameter is not allowed.
    """

    def __init__(self) -> None:
        super().__init__("recorder")
        self._settings = DeclaredParameters(self, RecorderParameters).read()
        self._output = Path(self._settings.output)
        try:
            self._output.mkdir(parents=True, exist_ok=True)
            for name in (VIDEO, CONTACT_SHEET, REPORT):
                (self._output / name).unlink(missing_ok=True)  # an earlier run's, which would look like this one's
        except OSError as error:
            raise StartError(f"The output folder {self._output} cannot be used: {error.strerror}.") from error
        self.finished = False
        self.failure: UserError | None = None
        self._latency = LatencyWindow(size=100_000)
        self._rate = RateMeter()
        self._seen: list[Seen] = []
        self._newest_ns = 0
        self._statuses: dict[str, dict[str, Any]] = {}
        self._frames_status_ns = 0
        # The fusion node's count of unpaired RGB frames, by when it came: it tells the rounds apart.
        self._unpaired: list[tuple[int, int]] = []
        self._ended_at_ns: int | None = None
        self._recent: dict[Stream, deque[bytes]] = {stream: deque(maxlen=KEPT_FRAMES) for stream in Stream}
        self._moments: list[Moment] = []
        self._to_write: queue.Queue[Frame | None] = queue.Queue(VIDEO_QUEUE)
        self._video_frames = 0
        self._writer_error = ""
        self._writer = threading.Thread(target=self._write_video, name="video writer")
        self._writer.start()
        reliable = QoSProfile(depth=30, reliability=ReliabilityPolicy.RELIABLE)
        self.create_subscription(Image, "fused/image_raw", self._on_fused, reliable)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._cameras: dict[Stream, Subscription] = {}
        self._camera_topics: dict[Stream, PublishedTopic] = {}
        self.create_timer(REPORT_PERIOD_S, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def close(self) -> None:
        """Finish the files and give the verdict."""
        self._to_write.put(None)
        self._writer.join()
        if self._moments:
            write_contact_sheet(self._output / CONTACT_SHEET, self._moments)
        report = live_report(self._run()) if self._seen else None
        if report is not None:
            write_whole(self._output / REPORT, (json.dumps(report, indent=2) + "\n").encode())
        if self._settings.json:
            self._print({"final": True, "error": self._writer_error, "report": report})
        elif report is not None:
            print(summary(report), flush=True)
        if self._writer_error and self.failure is None:
            self.failure = UserError(self._writer_error)

    # -- the cameras, for the pictures ---------------------------------------------------------------------------------

    def _watch_cameras(self) -> None:
        """Subscribe to the cameras until the next moment is kept: all the time, it would slow what is measured here."""
        if self._cameras:
            return
        found = {stream: find_images(self, f"{stream}/image_raw") for stream in Stream}
        if None in found.values():
            return
        self._camera_topics = found
        for stream, topic in found.items():
            on_image = partial(self._on_camera, stream)
            qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
            self._cameras[stream] = self.create_subscription(
                IMAGE_TYPES[topic.type], topic.name, on_image, qos, raw=True
            )

    def _leave_cameras(self) -> None:
        for stream, subscription in self._cameras.items():
            self.destroy_subscription(subscription)
            self._recent[stream].clear()
        self._cameras = {}

    def _on_camera(self, stream: Stream, serialized: bytes) -> None:
        self._recent[stream].append(serialized)

    def _keep_moment(self, caption: str, fused: Frame) -> None:
        """Keep the fused frame with its RGB frame and the thermal frame nearest to it, if they have come."""
        thermal = min(
            self._recent[Stream.THERMAL], key=lambda frame: abs(stamp_of(frame) - fused.stamp_ns), default=None
        )
        rgb = next((frame for frame in self._recent[Stream.RGB] if stamp_of(frame) == fused.stamp_ns), None)
        if thermal is None or rgb is None:
            return
        try:
            moment = Moment(caption, self._decode(Stream.THERMAL, thermal), self._decode(Stream.RGB, rgb), fused)
        except MalformedImage:
            return  # the next one will do
        self._moments.append(moment)
        self._leave_cameras()

    def _decode(self, stream: Stream, serialized: bytes) -> Frame:
        return to_frame(deserialize_message(serialized, IMAGE_TYPES[self._camera_topics[stream].type]))

    # -- the fused stream ----------------------------------------------------------------------------------------------

    def _on_fused(self, message: Image) -> None:
        now_ns, monotonic_ns = self.get_clock().now().nanoseconds, time.monotonic_ns()
        try:
            fused = to_frame(message)
        except MalformedImage as error:
            self.get_logger().warning(f"A fused image cannot be used: {error}", once=True)
            return
        self._seen.append(Seen(fused.stamp_ns, now_ns, monotonic_ns))
        self._latency.add((now_ns - fused.stamp_ns) / NS_PER_MS)
        self._rate.tick(monotonic_ns)
        if fused.stamp_ns > self._newest_ns:  # video and pictures are of the first round
            self._newest_ns = fused.stamp_ns
            self._keep(fused)

    def _keep(self, fused: Frame) -> None:
        """For the video, and when it is time for the contact sheet."""
        try:
            self._to_write.put_nowait(fused)
            self._video_frames += 1
        except queue.Full:
            self.get_logger().warning("The video lacks a frame: the encoder does not keep up.", once=True)
        elapsed_s = (fused.stamp_ns - self._seen[0].stamp_ns) / NS_PER_S
        due_s = len(self._moments) * self._settings.duration_s / self._settings.moments
        if elapsed_s >= due_s and len(self._moments) < self._settings.moments:
            self._watch_cameras()
            self._keep_moment(f"{elapsed_s:.1f} s", fused)

    def _write_video(self) -> None:
        frames = iter(self._to_write.get, None)
        try:
            # The encoder (its own threads inherit this) yields to the stream that is being measured.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), WRITER_NICENESS)
            first = [] if self._settings.rate_hz else list(itertools.islice(frames, RATE_FRAMES))
            with Mp4Writer(
                self._output / VIDEO, self._settings.rate_hz or _rate_of(first), preset="ultrafast"
            ) as writer:
                for frame in itertools.chain(first, frames):
                    writer.write(frame.pixels)
        except Exception as error:
            self._writer_error = f"The video cannot be written: {in_words(error)}"
            self.get_logger().error(self._writer_error)
            for _ in frames:
                continue  # so that nobody waits for room in the queue

    # -- when it is over -----------------------------------------------------------------------------------------------

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        now_ns = time.monotonic_ns()
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            self._statuses[status.name] = {"level": status.level[0], "message": status.message, "values": values}
            if status.name.endswith(FRAMES):
                if not self._unpaired:
                    self.get_logger().info("the fusion node is active")  # replay.launch.py waits for this
                self._frames_status_ns = now_ns
                self._unpaired.append((now_ns, int(values.get("rgb_unpaired", 0))))

    def _tick(self) -> None:
        if not self._seen and fusion_values(self._statuses, "rate").get("fused_image_subscribers"):
            self._watch_cameras()  # the player waits for this: from now on nothing of the stream is missed
        now_ns = time.monotonic_ns()
        if self._ended_at_ns is None:
            if playback_values(self._statuses).get("finished") or self._cameras_gone():
                self._ended_at_ns = now_ns
        elif self._drained() or now_ns - self._ended_at_ns > DRAIN_S * NS_PER_S:
            if not self._seen:
                self.failure = UserError("No fused image arrived; see what the fusion node says.")
            self.finished = True
        if self._settings.json and not self.finished:
            self._print(self._progress())

    def _cameras_gone(self) -> bool:
        return bool(self._camera_topics) and all(find_images(self, f"{stream}/image_raw") is None for stream in Stream)

    def _drained(self) -> bool:
        """Whether the fusion node says that everything the player sent has found its account and arrived here.

        A thermal frame after the last RGB frame may wait for a partner for ever.
        """
        frames, playback = fusion_values(self._statuses, "frames"), playback_values(self._statuses)
        if playback:
            received = all(frames.get(f"{of}_received") == playback[f"{of}_published"] for of in Stream)
        else:
            received = self._frames_status_ns - self._ended_at_ns > SETTLED_S * NS_PER_S
        return (
            received
            and frames["rgb_in_flight"] == frames["pairs_in_flight"] == 0
            and frames["pairs_published"] + frames["passed_through"] == len(self._seen)
        )

    # -- the verdict ---------------------------------------------------------------------------------------------------

    def _run(self) -> LiveRun:
        rounds, latency_from = self._rounds()
        return LiveRun(
            source=self._settings.source,
            statuses=self._statuses,
            rounds=rounds,
            latency_from=latency_from,
            seconds=(self._newest_ns - self._seen[0].stamp_ns) / NS_PER_S,
            fused_frames=len(self._seen),
            video_frames=self._video_frames,
            output=self._output,
        )

    def _rounds(self) -> tuple[list[Delivery], LatencyFrom]:
        if self._settings.sent_times and self._ended_at_ns is not None:
            try:
                return self._timed_rounds(read_sent_times(Path(self._settings.sent_times))), LatencyFrom.PUBLICATION
            except (OSError, ValueError) as error:
                self.get_logger().warning(f"The times of publication are not there, so latency is not known: {error}")
        arrived_ns = [seen.monotonic_ns for seen in self._seen]
        sent = sent_values(self._statuses).get("rgb_published")
        unpaired = self._unpaired[-1][1] if self._unpaired else 0
        if self._settings.replay:
            return [summarize([], arrived_ns, sent, unpaired)], LatencyFrom.NOWHERE
        latencies_ms = [(seen.clock_ns - seen.stamp_ns) / NS_PER_MS for seen in self._seen]
        return [summarize(latencies_ms, arrived_ns, sent, unpaired)], LatencyFrom.STAMP

    def _timed_rounds(self, rounds: list[list[Timed]]) -> list[Delivery]:
        joined = join(rounds, [Timed(seen.stamp_ns, seen.monotonic_ns) for seen in self._seen])
        starts_ns = [sent[0].at_ns if sent else 0 for sent in rounds]
        unpaired = [self._unpaired_before(start_ns) for start_ns in [*starts_ns, sys.maxsize]]
        return [
            summarize_round(delivered, len(sent), after - before)
            for delivered, sent, before, after in zip(joined, rounds, unpaired, unpaired[1:], strict=False)
        ]

    def _unpaired_before(self, time_ns: int) -> int:
        return max((count for at_ns, count in self._unpaired if at_ns < time_ns), default=0)

    def _progress(self) -> dict[str, Any]:
        latency = self._latency.percentiles()
        known = latency.count and not self._settings.replay
        return {
            "final": False,
            "fused_frames": len(self._seen),
            "recent_rate_hz": self._rate.rate_hz(time.monotonic_ns()),
            "viewer_latency_ms_p50": latency.p50 if known else None,
            "viewer_latency_ms_p99": latency.p99 if known else None,
            "statuses": self._statuses,
        }

    def _print(self, line: dict[str, Any]) -> None:
        print(json.dumps(line), flush=True)


def _rate_of(frames: list[Frame]) -> float:
    """The frame rate of frames with ascending stamps, on average, within what a video can have."""
    if len(frames) < 2:
        return DEFAULT_RATE_HZ
    span_ns = frames[-1].stamp_ns - frames[0].stamp_ns
    return min(max((len(frames) - 1) * NS_PER_S / span_ns, 1.0), 240.0)


def main() -> int:
    return run_node(Recorder)


if __name__ == "__main__":
    sys.exit(main())
