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

"""Watches a fusion node from outside, as its user would, and tells it and the cameras what to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.client import Client
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image

from refinefuse_ros.errors import UserError
from refinefuse_ros.nodes.faulty_camera import shows_both
from refinefuse_ros.nodes.playing import start_thread
from refinefuse_ros.nodes.running import use_large_image_transport
from refinefuse_ros.nodes.statuses import Status, statuses_of
from refinefuse_ros.stream.outcome import Stream

ANSWER_S = 30.0


class NoAnswerError(UserError):
    """A node did not answer a request, or refused it; the message is one sentence."""


class Seen(NamedTuple):
    """A fused image: when it came, s of the monotonic clock, and whether both cameras are in it."""

    at_s: float
    both: bool


class Report(NamedTuple):
    """One message of /diagnostics: when it came, and the statuses by what stands after the node's name."""

    at_s: float
    statuses: Mapping[str, Status]


class SoakObserver:
    """Subscribes the fused images, both cameras' infos and /diagnostics in a thread of its own.

    Attributes:
        fused: every fused image, in the order of arrival.
        reports: every message of the fusion node's diagnostics.
        frames: when each camera last sent, s of the monotonic clock.
        failure: why nothing is seen any more; None while it is.

    Args:
        domain: the ROS domain.
    """

    def __init__(self, domain: int) -> None:
        self.fused: list[Seen] = []
        self.reports: list[Report] = []
        self.frames: dict[Stream, float] = {}
        self.failure: UserError | None = None
        use_large_image_transport()
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node("soak", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        reliable = QoSProfile(depth=30, reliability=ReliabilityPolicy.RELIABLE)
        best_effort = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._node.create_subscription(Image, "fused/image_raw", self._on_fused, reliable)
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        for stream in Stream:
            on_info = partial(self._on_info, stream)
            self._node.create_subscription(CameraInfo, f"{stream}/camera_info", on_info, best_effort)
        self._clients: dict[str, Client] = {}
        self._stop = threading.Event()
        self._thread = start_thread(self._spin, self._fail)

    def close(self) -> None:
        """Leave."""
        self._stop.set()
        self._thread.join()
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def set_parameter(self, node: str, name: str, value: Any) -> bool:
        """Set a parameter of a node; whether it was taken.

        Raises:
            NoAnswerError: the node does not answer.
        """
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        return self._ask(SetParameters, f"{node}/set_parameters", request).results[0].successful

    def change_state(self, node: str, transition: str) -> None:
        """Lead a lifecycle node through a transition: configure, activate, deactivate, cleanup.

        Raises:
            NoAnswerError: it does not answer, or the transition fails.
        """
        number = getattr(Transition, f"TRANSITION_{transition.upper()}")
        request = ChangeState.Request(transition=Transition(id=number))
        if not self._ask(ChangeState, f"{node}/change_state", request).success:
            raise NoAnswerError(f"{node} could not {transition}; see its log.")

    def _ask(self, kind: type, service: str, request: Any) -> Any:
        if service not in self._clients:
            self._clients[service] = self._node.create_client(kind, service)
        client = self._clients[service]
        if not client.wait_for_service(ANSWER_S):
            raise NoAnswerError(f"Nobody offers {service} within {ANSWER_S:.0f} s.")
        answered = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: answered.set())
        if not answered.wait(ANSWER_S):
            raise NoAnswerError(f"{service} did not answer within {ANSWER_S:.0f} s.")
        return future.result()

    def _fail(self, error: UserError) -> None:
        self.failure = error

    def _spin(self) -> None:
        while not self._stop.is_set():
            self._executor.spin_once(timeout_sec=0.05)

    def _on_fused(self, message: Image) -> None:
        pixels = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)
        is_rgb = message.header.frame_id.startswith(str(Stream.RGB))
        self.fused.append(Seen(time.monotonic(), is_rgb and shows_both(pixels)))

    def _on_info(self, stream: Stream, message: CameraInfo) -> None:
        self.frames[stream] = time.monotonic()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        statuses = statuses_of(message)
        if "frames" in statuses:
            self.reports.append(Report(time.monotonic(), statuses))
