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

"""The live node's latency from recorded diagnostics, whatever else is published there."""

from __future__ import annotations

from refinefuse_ros.evaluation.live_latency import LatencyReader
from refinefuse_ros.evaluation.recording import LiveLatency
from refinefuse_ros.recordings.reading import DIAGNOSTICS, ros_types
from refinefuse_ros.recordings.salvage import StoredMessage
from refinefuse_ros.stream.timing import NS_PER_S

LATENCY = {"latency_ms_p50": "12.500", "latency_ms_p99": "20.000", "stage_engine_ms_p50": "9.000", "x": "1"}


def diagnostics(seconds: int, **statuses: dict[str, str]) -> StoredMessage:
    """A message with statuses of the node `fusion`, or of the node that a name's part before __ says."""
    types = ros_types().types
    made = []
    for name, values in statuses.items():
        node, _, what = name.rpartition("__")
        pairs = [types["diagnostic_msgs/msg/KeyValue"](key=key, value=value) for key, value in values.items()]
        made.append(
            types["diagnostic_msgs/msg/DiagnosticStatus"](
                level=0, name=f"{node or 'fusion'}: {what}", message="", hardware_id="", values=pairs
            )
        )
    stamp = types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=0)
    header = types["std_msgs/msg/Header"](stamp=stamp, frame_id="")
    message = types[DIAGNOSTICS](header=header, status=made)
    return StoredMessage("/diagnostics", DIAGNOSTICS, 0, bytes(ros_types().serialize_cdr(message, DIAGNOSTICS)))


def test_each_message_gives_one_entry_of_each_list() -> None:
    reader = LatencyReader()
    reader.add(diagnostics(11, rate={"fused_rate_hz": "29.9"}, latency=LATENCY, frames={"rgb_received": "3"}))
    reader.add(
        diagnostics(12, rate={"fused_rate_hz": "30.0"}, latency=LATENCY | {"stage_join_ms_p50": "1.0"}),
    )
    assert reader.summary(10 * NS_PER_S) == LiveLatency(
        [1.0, 2.0], [12.5, 12.5], [20.0, 20.0], {"engine": [9.0, 9.0]}, [29.9, 30.0]
    )


def test_what_is_no_latency_is_left_out() -> None:
    reader = LatencyReader()
    rate = {"fused_rate_hz": "0.0"}
    reader.add(StoredMessage("/diagnostics", DIAGNOSTICS, 0, b"\0\1\0\0broken"))
    reader.add(diagnostics(1, rate=rate, latency={"sync_offset_ms_p50": "1"}))
    reader.add(diagnostics(1, rate=rate, latency=LATENCY | {"latency_ms_p99": "nan"}))
    reader.add(diagnostics(1, rate=rate, latency=LATENCY | {"latency_ms_p99": "long"}))
    reader.add(diagnostics(1, latency=LATENCY))
    reader.add(diagnostics(1, player__playback={"finished": "True"}))
    assert reader.summary(0) is None


def test_of_two_fusion_nodes_the_first_is_followed() -> None:
    reader = LatencyReader()
    rate = {"fused_rate_hz": "30.0"}
    for node in ("a", "b", "a"):
        reader.add(diagnostics(1, **{f"{node}__rate": rate, f"{node}__latency": LATENCY}))
    assert len(reader.summary(0).seconds) == 2
