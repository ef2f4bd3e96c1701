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

"""Looks at a running system from outside: which image topics there are, who is at them, and what arrives of them."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any, Final

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions
from rclpy.topic_endpoint_info import TopicEndpointInfo

from refinefuse_ros.nodes.camera_topics import camera_topics, mismatch, name_of, silence
from refinefuse_ros.nodes.published import IMAGE_TYPES, stamp_of
from refinefuse_ros.nodes.running import use_large_image_transport
from refinefuse_ros.nodes.shared_memory import same_machine, segment_bytes
from refinefuse_ros.stream.outcome import Stream
from refinefuse_ros.stream.timing import NS_PER_MS, NS_PER_S

FUSED: Final = "/fused/image_raw"
# Discovery takes seconds; the graph is believed once a fusion node is in it and nothing was added for a while.
DISCOVERY_S: Final = 10.0
SETTLED_S: Final = 2.0
DEPTH: Final = 30


@dataclass(frozen=True)
class Publisher:
    """Who publishes a topic.

    Attributes:
        node: its fully qualified name.
        type: of the messages, such as "sensor_msgs/msg/Image".
        reliable: whether it offers reliable delivery.
        here: whether it is on this machine.
        shared_bytes: the shared memory that it has for what it sends; None where that is not known.
    """

    node: str
    type: str
    reliable: bool
    here: bool
    shared_bytes: int | None = None


@dataclass(frozen=True)
class Arrivals:
    """What came of a topic while it was listened to.

    Attributes:
        count: messages.
        rate_hz: of the arrivals, Hz; None for fewer than two.
        lost: the share of the frames that did not come, by the gaps in the stamps; None where they say nothing.
        delay_ms: median time from stamp to arrival by this machine's clock, ms; None for messages without stamps.
        encoding: of the first message: an encoding, or the format of a compressed image.
        size: of the first message, such as "640x480"; empty for a compressed image.
        message_bytes: of the first message.
    """

    count: int = 0
    rate_hz: float | None = None
    lost: float | None = None
    delay_ms: float | None = None
    encoding: str = ""
    size: str = ""
    message_bytes: int = 0


@dataclass(frozen=True)
class SurveyedTopic:
    """A camera's image topic.

    Attributes:
        name: its fully qualified name.
        type: that is asked for.
        publishers: who publishes it.
        mismatch: why a publisher and the fusion node do not come together, by their quality of service; empty where
            they do.
        silence: where nobody publishes it, what may be meant, as a clause.
        arrivals: what came.
    """

    name: str
    type: str
    publishers: tuple[Publisher, ...]
    mismatch: str = ""
    silence: str = ""
    arrivals: Arrivals = Arrivals()


@dataclass(frozen=True)
class Survey:
    """A running system.

    Attributes:
        domain: its ROS domain.
        nodes: the other nodes' fully qualified names.
        fusion_nodes: those that publish a fused image.
        topics: the cameras' image topics: those that the fusion nodes subscribe, else those that one would.
        statuses: of the fusion nodes' diagnostics: level and message by name.
    """

    domain: int
    nodes: tuple[str, ...]
    fusion_nodes: tuple[str, ...]
    topics: tuple[SurveyedTopic, ...]
    statuses: Mapping[str, tuple[int, str]] = field(default_factory=dict)


def survey(seconds: float) -> Survey:
    """Wait for discovery, then listen to the cameras and the diagnostics for some seconds."""
    use_large_image_transport()
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = Node("doctor", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        return _Surveyor(node, executor).survey(seconds)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)


class _Surveyor:
    def __init__(self, node: Node, executor: SingleThreadedExecutor) -> None:
        self._node = node
        self._executor = executor
        self._came: dict[str, list[tuple[int, int]]] = {}  # stamps and arrivals, ns
        self._first: dict[str, bytes] = {}
        self._statuses: dict[str, tuple[int, str]] = {}

    def survey(self, seconds: float) -> Survey:
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._discover()
        fusion_nodes = self._fusion_nodes()
        topics = self._subscribed(fusion_nodes) or [self._expected(stream) for stream in Stream]
        best_effort = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
        for name, kind, _ in topics:
            self._came[name] = []
            on_image = partial(self._on_image, name)
            self._node.create_subscription(IMAGE_TYPES[kind], name, on_image, best_effort, raw=True)
        if self._others():
            self._spin(seconds)
        return Survey(
            domain=int(os.environ.get("ROS_DOMAIN_ID") or 0),
            nodes=self._others(),
            fusion_nodes=tuple(fusion_nodes),
            topics=tuple(self._surveyed(name, kind, why, fusion_nodes) for name, kind, why in topics),
            statuses={name: told for name, told in self._statuses.items() if name.partition(": ")[0] in fusion_nodes},
        )

    # -- who is there --------------------------------------------------------------------------------------------------

    def _discover(self) -> None:
        """Wait for a fusion node, and until the graph has not changed for a while."""
        known: Any = None
        started_s = changed_s = time.monotonic()
        while (now_s := time.monotonic()) - started_s < DISCOVERY_S:
            seen = self._others(), sorted(name for name, _ in self._node.get_topic_names_and_types())
            if seen != known:
                known, changed_s = seen, now_s
            if now_s - changed_s > SETTLED_S and self._fusion_nodes():
                return
            self._spin(0.1)

    def _others(self) -> tuple[str, ...]:
        own = self._node.get_fully_qualified_name()
        found = self._node.get_node_names_and_namespaces()
        names = {f"{namespace.rstrip('/')}/{name}" for name, namespace in found}
        return tuple(sorted(names - {own}))

    def _fusion_nodes(self) -> list[str]:
        found = set()
        for topic, _ in self._node.get_topic_names_and_types():
            if topic.endswith(FUSED):
                found |= {name_of(one) for one in self._node.get_publishers_info_by_topic(topic)}
        return sorted(found)

    def _subscribed(self, fusion_nodes: list[str]) -> list[tuple[str, str, str]]:
        """The image topics that the fusion nodes subscribe: name, type, and nothing to say of them."""
        topics = []
        for topic, _ in self._node.get_topic_names_and_types():
            for subscriber in self._node.get_subscriptions_info_by_topic(topic):
                if name_of(subscriber) in fusion_nodes and subscriber.topic_type in IMAGE_TYPES:
                    topics.append((topic, subscriber.topic_type, ""))
        return sorted(set(topics))

    def _expected(self, stream: Stream) -> tuple[str, str, str]:
        """The image topic that a fusion node here would subscribe, and why nothing may come of it."""
        topics = camera_topics(self._node, stream, "raw")
        why = "" if self._node.count_publishers(topics.image) else silence(self._node, topics, QoSProfile(depth=1))
        return topics.image, topics.type_name, why

    def _surveyed(self, name: str, kind: str, why: str, fusion_nodes: list[str]) -> SurveyedTopic:
        (own,) = (
            one
            for one in self._node.get_subscriptions_info_by_topic(name)
            if name_of(one) == self._node.get_fully_qualified_name()
        )
        published = self._node.get_publishers_info_by_topic(name)
        publishers = []
        for one in published:
            here = same_machine(one.endpoint_gid, own.endpoint_gid)
            shared = segment_bytes(one.endpoint_gid) if here else None
            reliable = one.qos_profile.reliability == ReliabilityPolicy.RELIABLE
            publishers.append(Publisher(name_of(one), one.topic_type, reliable, here, shared))
        subscribers = [one for one in self._node.get_subscriptions_info_by_topic(name) if name_of(one) in fusion_nodes]
        return SurveyedTopic(
            name, kind, tuple(publishers), _mismatch(published, subscribers), why, self._arrivals(name, kind)
        )

    # -- what comes ----------------------------------------------------------------------------------------------------

    def _spin(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=min(left_s, 0.1))

    def _on_image(self, name: str, serialized: bytes) -> None:
        now_ns = time.time_ns()
        self._first.setdefault(name, serialized)
        try:
            self._came[name].append((stamp_of(serialized), now_ns))
        except struct.error:
            return  # shorter than a header: no image

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self._statuses[status.name] = status.level[0], status.message

    def _arrivals(self, name: str, kind: str) -> Arrivals:
        came = self._came[name]
        if not came:
            return Arrivals()
        first = deserialize_message(self._first[name], IMAGE_TYPES[kind])
        arrived_ns = [at for _, at in came]
        stamps_ns = sorted({stamp for stamp, _ in came if stamp > 0})
        span_ns = arrived_ns[-1] - arrived_ns[0]
        return Arrivals(
            count=len(came),
            rate_hz=(len(came) - 1) * NS_PER_S / span_ns if span_ns > 0 else None,
            lost=_lost(stamps_ns),
            delay_ms=median((at - stamp) / NS_PER_MS for stamp, at in came if stamp > 0) if stamps_ns else None,
            encoding=getattr(first, "encoding", "") or getattr(first, "format", ""),
            size=f"{first.width}x{first.height}" if hasattr(first, "width") else "",
            message_bytes=len(self._first[name]),
        )


def _lost(stamps_ns: list[int]) -> float | None:
    """The share of the frames whose stamps are missing, where the others tell a period."""
    if len(stamps_ns) < 5:
        return None
    intervals = [later - earlier for earlier, later in pairwise(stamps_ns)]
    period_ns = median(intervals)
    expected = sum(max(round(interval / period_ns), 1) for interval in intervals)
    return 1 - len(intervals) / expected


def _mismatch(publishers: list[TopicEndpointInfo], subscribers: list[TopicEndpointInfo]) -> str:
    for subscriber in subscribers:
        for publisher in publishers:
            if why := mismatch(publisher.qos_profile, subscriber.qos_profile):
                return f"{name_of(publisher)} and {name_of(subscriber)} do not come together: {why}"
    return ""
