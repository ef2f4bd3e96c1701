# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Watches the fused stream as a viewer would: writes it to MP4, keeps moments, measures what arrives.

It ends by itself once the camera player says that it has finished and the fusion node's ledger has nothing in flight.
Its progress goes to standard output, one JSON object per line, for the program that started it.
"""

from __future__ import annotations

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

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, Image

from refinefuse_ros.image.contact_sheet import Moment, write_contact_sheet
from refinefuse_ros.image.frame import Frame
from refinefuse_ros.image.video import Mp4Writer
from refinefuse_ros.nodes.messages import to_frame, to_ns
from refinefuse_ros.nodes.parameters import DeclaredParameters, parameter
from refinefuse_ros.nodes.running import StartError, run_node
from refinefuse_ros.stream.outcome import Stream
from refinefuse_ros.stream.timing import NS_PER_MS, NS_PER_S, LatencyWindow, RateMeter

REPORT_PERIOD_S = 0.5
# How long the last frames and diagnostics may take to come in after the player has finished.
DRAIN_S = 5.0
KEPT_FRAMES = 10
WRITER_NICENESS = 19


@dataclass(frozen=True)
class RecorderParameters:
    """Every parameter of the recorder, typed."""

    output: str = parameter("recording", "output", "Folder for fused.mp4 and contact_sheet.png.")
    rate_hz: float = parameter(30.0, "rate_hz", "Frame rate of the video file.", unit="Hz", between=(1, 240))
    moments: int = parameter(6, "moments", "Rows of the contact sheet.", between=(1, 50))
    duration_s: float = parameter(
        20.0,
        "duration_s",
        "How long the stream will last: spreads the contact sheet's moments.",
        unit="s",
        between=(0.01, 1e6),
    )


class Recorder(Node):
    """Subscribes fused/, thermal/ and rgb/ image_raw and /diagnostics.

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
        except OSError as error:
            raise StartError(f"The output folder {self._output} cannot be made: {error.strerror}.") from error
        self.finished = False
        self._latency = LatencyWindow(size=100_000)
        self._rate = RateMeter()
        self._arrivals: list[int] = []
        self._statuses: dict[str, dict] = {}
        self._finished_at_ns: int | None = None
        self._recent: dict[Stream, deque[bytes]] = {stream: deque(maxlen=KEPT_FRAMES) for stream in Stream}
        self._moments: list[Moment] = []
        self._to_write: queue.SimpleQueue[np.ndarray | None] = queue.SimpleQueue()
        self._writer_error = ""
        self._writer = threading.Thread(target=self._write_video, name="video writer")
        self._writer.start()
        reliable = QoSProfile(depth=30, reliability=ReliabilityPolicy.RELIABLE)
        self._fused = self.create_subscription(Image, "fused/image_raw", self._on_fused, reliable)
        self._fused_info_count = 0
        self.create_subscription(CameraInfo, "fused/camera_info", self._on_fused_info, reliable)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._cameras: dict[Stream, Subscription] = {}
        self.create_timer(REPORT_PERIOD_S, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def close(self) -> None:
        """Finish the files and print the last report."""
        self._to_write.put(None)
        self._writer.join()
        if self._moments:
            write_contact_sheet(self._output / "contact_sheet.png", self._moments)
        self._print_report(final=True)

    def _watch_cameras(self) -> None:
        """Subscribe to the cameras until the next moment is kept: all the time, it would slow what is measured here."""
        if self._cameras:
            return
        for stream in Stream:
            qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
            on_image = partial(self._on_camera, stream)
            self._cameras[stream] = self.create_subscription(Image, f"{stream}/image_raw", on_image, qos, raw=True)

    def _leave_cameras(self) -> None:
        for stream, subscription in self._cameras.items():
            self.destroy_subscription(subscription)
            self._recent[stream].clear()
        self._cameras = {}

    def _on_camera(self, stream: Stream, serialized: bytes) -> None:
        self._recent[stream].append(serialized)

    def _on_fused_info(self, message: CameraInfo) -> None:
        self._fused_info_count += 1

    def _on_fused(self, message: Image) -> None:
        now_ns = self.get_clock().now().nanoseconds
        fused = to_frame(message)
        self._latency.add((now_ns - fused.stamp_ns) / NS_PER_MS)
        self._arrivals.append(now_ns)
        self._rate.tick(now_ns)
        self._to_write.put(fused.pixels)
        elapsed_s = (self._arrivals[-1] - self._arrivals[0]) / NS_PER_S
        due_s = len(self._moments) * self._settings.duration_s / self._settings.moments
        if elapsed_s >= due_s and len(self._moments) < self._settings.moments:
            self._watch_cameras()
            self._keep_moment(f"{elapsed_s:.1f} s", fused)

    def _keep_moment(self, caption: str, fused: Frame) -> None:
        thermal, rgb = (self._source_of(fused, stream) for stream in (Stream.THERMAL, Stream.RGB))
        if thermal is not None and rgb is not None:
            self._moments.append(Moment(caption, thermal, rgb, fused))
            self._leave_cameras()

    def _source_of(self, fused: Frame, stream: Stream) -> Frame | None:
        """The camera's frame with the fused frame's stamp, if it has come."""
        for serialized in reversed(self._recent[stream]):
            message = deserialize_message(serialized, Image)
            if to_ns(message.header.stamp) == fused.stamp_ns:
                return to_frame(message)
        return None

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            self._statuses[status.name] = {
                "level": status.level[0],
                "message": status.message,
                "values": values,
            }
        now_ns = time.monotonic_ns()
        if self._finished_at_ns is None:
            if self._value("camera_player: playback", "finished") == "True":
                self._finished_at_ns = now_ns
        elif self._drained() or now_ns - self._finished_at_ns > DRAIN_S * NS_PER_S:
            self.finished = True

    def _drained(self) -> bool:
        """Whether the fusion node says that everything the player sent has found its account and arrived here."""
        sent = self._value("camera_player: playback", "published_pairs")
        frames = ("fusion: frames", "rgb_received"), ("fusion: frames", "thermal_received")
        in_flight = [self._value("fusion: frames", f"{of}_in_flight") for of in ("thermal", "rgb", "pairs")]
        published = self._value("fusion: frames", "pairs_published")
        return (
            all(self._value(*where) == sent for where in frames)
            and in_flight == ["0", "0", "0"]
            and published == str(len(self._arrivals))
        )

    def _value(self, status: str, key: str) -> str | None:
        return self._statuses.get(status, {}).get("values", {}).get(key)

    def _write_video(self) -> None:
        # The encoder (its own threads inherit this) yields to the stream that is being measured.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), WRITER_NICENESS)
        try:
            with Mp4Writer(self._output / "fused.mp4", self._settings.rate_hz, preset="ultrafast") as writer:
                while (pixels := self._to_write.get()) is not None:
                    writer.write(pixels)
        except OSError as error:
            self._writer_error = f"The video cannot be written: {error}."
            self.get_logger().error(self._writer_error)

    def _report(self) -> None:
        if not self._arrivals and self.count_publishers("fused/image_raw"):
            self._watch_cameras()  # the player waits for this: from now on nothing of the stream is missed
        self._print_report(final=False)

    def _print_report(self, final: bool) -> None:
        latency = self._latency.percentiles()
        span_ns = self._arrivals[-1] - self._arrivals[0] if self._arrivals else 0
        report = {
            "final": final,
            "fused_frames": len(self._arrivals),
            "fused_infos": self._fused_info_count,
            "recent_rate_hz": self._rate.rate_hz(self.get_clock().now().nanoseconds),
            "fused_rate_hz": (len(self._arrivals) - 1) * NS_PER_S / span_ns if span_ns else 0.0,
            "viewer_latency_ms_p50": latency.p50 if latency.count else None,
            "viewer_latency_ms_p99": latency.p99 if latency.count else None,
            "viewer_latency_ms_max": latency.max if latency.count else None,
            "statuses": self._statuses,
            "error": self._writer_error,
        }
        print(json.dumps(report), flush=True)


def main() -> int:
    return run_node(Recorder)


if __name__ == "__main__":
    sys.exit(main())
