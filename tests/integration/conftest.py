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

"""Real processes over real DDS: each test on its own ROS domain, every wait bounded, every process ended by its id."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402

from refinefuse_ros.commands.processes import node_command  # noqa: E402
from refinefuse_ros.nodes.running import use_large_image_transport  # noqa: E402

WAIT_S = 30.0
_domains = itertools.count(os.getpid() * 7)


class Process:
    """One of the package's nodes as a process of its own."""

    def __init__(self, executable: str, domain: int, log: Path, **parameters: object) -> None:
        self._log = log
        environment = os.environ | {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        with log.open("w") as output:
            self._process = subprocess.Popen(
                node_command(executable, {name.replace("__", "."): value for name, value in parameters.items()}),
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._log.read_text()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def interrupt(self, number: int = signal.SIGINT) -> None:
        self._process.send_signal(number)

    def wait(self, timeout_s: float) -> int:
        return self._process.wait(timeout_s)

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Rig:
    """A test's side of the wire: publishes camera messages, collects what the fusion node publishes."""

    def __init__(self, domain: int, tmp_path: Path) -> None:
        self.domain = domain
        self._tmp_path = tmp_path
        self._processes: list[Process] = []
        use_large_image_transport()
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = Node("rig", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.fused: list[Image] = []
        self.fused_infos: list[CameraInfo] = []
        self.statuses: dict[str, dict[str, str]] = {}
        self.levels: dict[str, int] = {}
        self.messages: dict[str, str] = {}
        reliable = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
        self.node.create_subscription(Image, "fused/image_raw", self.fused.append, reliable)
        self.node.create_subscription(CameraInfo, "fused/camera_info", self.fused_infos.append, reliable)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.publishers = {
            name: self.node.create_publisher(kind, name, 20)
            for camera in ("thermal", "rgb")
            for kind, name in ((Image, f"{camera}/image_raw"), (CameraInfo, f"{camera}/camera_info"))
        }

    def start(self, executable: str, **parameters: object) -> Process:
        process = Process(executable, self.domain, self._tmp_path / f"{len(self._processes)}.log", **parameters)
        self._processes.append(process)
        return process

    def publish(self, topic: str, message: Image | CameraInfo) -> None:
        self.publishers[topic].publish(message)

    def matched(self) -> bool:
        """Whether somebody hears each of the rig's cameras."""
        return all(publisher.get_subscription_count() >= 1 for publisher in self.publishers.values())

    def hears_fusion(self, subscribers: int = 1) -> bool:
        """Whether the fusion node knows that many readers of its images and infos, the rig's own among them.

        The node alone can tell: a reader knows a writer before the writer knows it, and until then hears nothing.
        """
        return all(
            int(self.value("rate", f"fused_{topic}_subscribers") or 0) >= subscribers for topic in ("image", "info")
        )

    def spin_until(self, condition: Callable[[], bool], timeout_s: float = WAIT_S) -> bool:
        """Handle callbacks until the condition holds; whether it came to hold in time."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            self._executor.spin_once(timeout_sec=0.02)
        return True

    def spin_for(self, seconds: float) -> None:
        self.spin_until(lambda: False, seconds)

    def value(self, status: str, key: str) -> str | None:
        return self.statuses.get(f"/fusion: {status}", {}).get(key)

    def output(self) -> str:
        return "\n".join(process.output for process in self._processes)

    def close(self) -> None:
        for process in self._processes:
            process.stop()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.statuses[status.name] = {pair.key: pair.value for pair in status.values}
            self.levels[status.name] = status.level[0]
            self.messages[status.name] = status.message


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    # 1 to 101: the domains whose ports lie below Linux's ephemeral range
    rig = Rig(1 + next(_domains) % 101, tmp_path)
    try:
        yield rig
    finally:
        rig.close()
        print(rig.output(), file=sys.stderr)
