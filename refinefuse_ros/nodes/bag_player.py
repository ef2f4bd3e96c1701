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

"""A recording played again: publishes a bag's two cameras with their own stamps, at the pace they were recorded.

For machines without rosbag2. The messages go out as they lie in the bag, byte by byte. With `clock` the recorder's time
is published as /clock; nodes follow it with use_sim_time. For measurements the messages are held in memory before the
first one goes out (`preload`), played in several rounds, and the time of each publication is noted (`sent_times`).
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from refinefuse_ros.errors import UserError
from refinefuse_ros.image.codec import MalformedImage
from refinefuse_ros.nodes.diagnostics import status
from refinefuse_ros.nodes.messages import to_stamp
from refinefuse_ros.nodes.parameters import DeclaredParameters, parameter
from refinefuse_ros.nodes.playing import ReadAhead, create_camera_publisher, start_thread, wait_for_subscribers
from refinefuse_ros.nodes.published import stamp_of
from refinefuse_ros.nodes.running import StartError, run_node
from refinefuse_ros.nodes.sent_times import write_sent_times
from refinefuse_ros.recordings.reading import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, BagMessage, deserialize, open_bag
from refinefuse_ros.recordings.replaying import NODE_TOPICS
from refinefuse_ros.recordings.storage import BagError
from refinefuse_ros.stream.delivery import Timed
from refinefuse_ros.stream.health import Judgement, Level
from refinefuse_ros.stream.outcome import Stream
from refinefuse_ros.stream.timing import NS_PER_S

READ_AHEAD = 20
CLOCK_PERIOD_S = 0.01
# Later than this the pace starts anew from now: a burst that makes up for lost time would be no camera.
LATE_S = 0.1
# How long a player that is to exit waits for its readers to confirm the last messages.
ACKNOWLEDGE_S = 2.0
# Between two rounds: the fusion node's diagnostics, one a second, come to tell the rounds apart.
ROUND_PAUSE_S = 1.5
PRELOAD_PART_OF_MEMORY = 4
MESSAGES = {IMAGE: Image, COMPRESSED_IMAGE: CompressedImage, CAMERA_INFO: CameraInfo}


@dataclass(frozen=True)
class BagPlayerParameters:
    """Every parameter of the bag player, typed."""

    bag: str = parameter("", "The bag's folder, or its .mcap or .db3 file.")
    thermal_topic: str = parameter("", "The thermal images' topic in the bag; empty guesses by name.")
    rgb_topic: str = parameter("", "The RGB images' topic in the bag; empty guesses by name.")
    rate: float = parameter(1.0, "Speed, as a multiple of the recording's own.", between=(0.01, 100))
    loop: bool = parameter(False, "Start over at the end of the bag.")
    rounds: int = parameter(1, "Play so many times, with pauses in between.", between=(1, 100))
    preload: bool = parameter(False, "Hold the messages in memory before the first one is published.")
    sent_times: str = parameter("", "File that tells a recorder when each RGB stamp was published.")
    start_s: float = parameter(0.0, "Skip so much of the recording.", unit="s", between=(0, 1e6))
    duration_s: float = parameter(0.0, "Play so much of the recording; 0 plays to its end.", unit="s", between=(0, 1e6))
    clock: bool = parameter(False, "Publish the recorder's time as /clock.")
    wait_for_subscribers: int = parameter(0, "Start once each image topic has this many subscribers.", between=(0, 100))
    exit_at_end: bool = parameter(False, "End the process after the last message.")


class Queued(NamedTuple):
    """A message to publish in the round of that number, from 0."""

    round: int
    message: BagMessage


class BagPlayer(Node):
    """Publishes a bag's cameras as thermal/... and rgb/..., /diagnostics, and with `clock` /clock.

    Images are published on image_raw, or on image_raw/compressed where the bag holds compressed ones.

    Attributes:
        finished: whether everything was played and `exit_at_end` is set, or playing failed; ends `run_node`.
        failure: why playing failed.

    Raises:
        StartError: the bag cannot be played.
        ParameterError: a parameter is not allowed.
    """

    def __init__(self) -> None:
        super().__init__("bag_player")
        self._settings = settings = DeclaredParameters(self, BagPlayerParameters).read()
        if not settings.bag:
            raise StartError("The parameter bag is empty; give a bag's folder, or its .mcap or .db3 file.")
        try:
            self._reader = open_bag(
                Path(settings.bag).expanduser(), settings.thermal_topic or None, settings.rgb_topic or None
            )
        except BagError as error:
            raise StartError(str(error)) from error
        if settings.sent_times:
            Path(settings.sent_times).unlink(missing_ok=True)  # an earlier run's
        self.finished = False
        self._done = False
        self._sent = dict.fromkeys(Stream, 0)
        self._undecodable = 0
        self._late = 0
        self._rounds: list[list[Timed]] = []
        self.failure: UserError | None = None
        self._targets = {
            (stream, kind): create_camera_publisher(self, MESSAGES[kind], f"{stream}/{NODE_TOPICS[kind]}")
            for stream in Stream
            for kind in (self._reader.types[stream], CAMERA_INFO)
        }
        self._clock_publisher = self.create_publisher(ClockMessage, "/clock", 1) if settings.clock else None
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(1.0, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._stop = threading.Event()
        self._messages = ReadAhead(self._read_all(), READ_AHEAD, self._fail)
        self._thread = start_thread(self._play, self._fail)

    def close(self) -> None:
        """Stop playing, at once."""
        self._stop.set()
        self._messages.close()
        self._thread.join()

    # -- reading, on the thread that reads ahead -----------------------------------------------------------------------

    def _read_all(self) -> Iterator[Queued]:
        """What is to be published, round after round.

        Raises:
            BagError: nothing of the bag lies in the part to play, or it is to be held in memory and too large.
        """
        held = self._held() if self._settings.preload else None
        for number in itertools.count() if self._settings.loop else range(self._settings.rounds):
            empty = True
            for message in self._readable() if held is None else held:
                empty = False
                yield Queued(number, message)
            if self._stop.is_set():
                return
            if empty:
                raise BagError(
                    f"{self._reader.path} holds no readable camera message after {self._settings.start_s:g} s."
                )

    def _held(self) -> list[BagMessage]:
        """The part to play, in memory."""
        limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // PRELOAD_PART_OF_MEMORY
        held, size = [], 0
        for message in self._readable():
            size += len(message.data)
            if size > limit:
                raise BagError(
                    f"{self._reader.path} has more than {limit / 1e9:.1f} GB of messages, a quarter of this machine's"
                    " memory, and cannot be held in it; play a shorter part of it."
                )
            held.append(message)
        return held

    def _readable(self) -> Iterator[BagMessage]:
        """The part to play, without what its readers could not decode; then the losses are said."""
        for message in self._part():
            try:
                deserialize(message)  # its readers should not be the ones to find out
            except MalformedImage:
                self._undecodable += 1
                continue
            yield message
        for sentence in self._reader.losses():
            self.get_logger().warning(sentence)

    def _part(self) -> Iterator[BagMessage]:
        """The bag's messages from start_s on, for duration_s."""
        first_ns: int | None = None
        for message in self._reader.messages():
            first_ns = message.recorded_ns if first_ns is None else first_ns
            offset_s = (message.recorded_ns - first_ns) / NS_PER_S - self._settings.start_s
            if self._stop.is_set() or (self._settings.duration_s and offset_s >= self._settings.duration_s):
                return
            if offset_s >= 0:
                yield message

    def _fail(self, error: UserError) -> None:
        self.failure = error
        self.finished = True

    # -- publishing, on a thread of its own ----------------------------------------------------------------------------

    def _play(self) -> None:
        if not wait_for_subscribers(self._image_publishers(), self._settings.wait_for_subscribers, self._stop):
            return
        self.get_logger().info(f"playing {self._reader.description}")
        if not self._publish_all() or self.failure:
            return
        if self._settings.sent_times:
            try:
                write_sent_times(Path(self._settings.sent_times), self._rounds)
            except OSError as error:
                self._fail(StartError(f"The times of publication cannot be written: {error}."))
                return
        self._done = True
        if self._settings.exit_at_end:
            for publisher in self._targets.values():
                publisher.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE_S))
            self._publish_diagnostics()
            self._diagnostics.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE_S))
            self.finished = True

    def _image_publishers(self) -> list[Publisher]:
        return [publisher for (_, kind), publisher in self._targets.items() if kind != CAMERA_INFO]

    def _publish_all(self) -> bool:
        """Publish each message when its recording time has come; whether it came to the end."""
        origin_s, origin_ns, last_ns = 0.0, 0, 0
        for number, message in self._messages:
            if number == len(self._rounds):
                if self._settings.rounds > 1 and number > 0 and self._stop.wait(ROUND_PAUSE_S):
                    return False
                self._rounds.append([])
                last_ns = sys.maxsize
            if message.recorded_ns < last_ns:  # the first one of a round, or out of order
                origin_s, origin_ns = time.perf_counter(), message.recorded_ns
            due_s = origin_s + (message.recorded_ns - origin_ns) / NS_PER_S / self._settings.rate
            if time.perf_counter() - due_s > LATE_S:
                self._late += 1
                due_s = origin_s = time.perf_counter()
                origin_ns = message.recorded_ns
            if not self._wait_until(due_s, message.recorded_ns):
                return False
            last_ns = message.recorded_ns
            self._publish(message)
        return not self._stop.is_set()

    def _publish(self, message: BagMessage) -> None:
        if message.stream is Stream.RGB and message.type != CAMERA_INFO and self._settings.sent_times:
            self._rounds[-1].append(Timed(stamp_of(message.data), time.monotonic_ns()))
        self._targets[message.stream, message.type].publish(message.data)
        self._sent[message.stream] += message.type != CAMERA_INFO

    def _wait_until(self, due_s: float, due_ns: int) -> bool:
        """Let /clock run up to a message's recording time; whether it came before the end."""
        while True:
            left_s = max(due_s - time.perf_counter(), 0.0)
            if self._clock_publisher:
                now_ns = due_ns - round(left_s * self._settings.rate * NS_PER_S)
                self._clock_publisher.publish(ClockMessage(clock=to_stamp(now_ns)))
            if self._stop.wait(min(left_s, CLOCK_PERIOD_S)):
                return False
            if left_s <= CLOCK_PERIOD_S:
                return True

    def _publish_diagnostics(self) -> None:
        playing = "finished" if self._done else ("playing" if any(self._sent.values()) else "waiting for subscribers")
        losses = self._reader.losses() if self._done else []
        values = {
            "source": self._reader.description,
            "thermal_published": self._sent[Stream.THERMAL],
            "rgb_published": self._sent[Stream.RGB],
            "rounds": len(self._rounds),
            "undecodable": self._undecodable,
            "late_messages": self._late,
            "losses": " ".join(losses),
            "finished": self._done,
        }
        level = Level.WARN if losses or self._undecodable else Level.OK
        array = DiagnosticArray(
            status=[status(self.get_fully_qualified_name(), "playback", Judgement(level, playing), values)]
        )
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)


def main() -> int:
    return run_node(BagPlayer)


if __name__ == "__main__":
    sys.exit(main())
