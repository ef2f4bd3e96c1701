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

"""The fusion node's latency over time, from the diagnostics in a recording."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from refinefuse_ros.evaluation.recording import LiveLatency
from refinefuse_ros.image.codec import MalformedImage
from refinefuse_ros.recordings.reading import deserialize
from refinefuse_ros.recordings.salvage import StoredMessage
from refinefuse_ros.stream.timing import NS_PER_S

_LATENCY: Final = ": latency"
_RATE: Final = ": rate"
_P50, _P99, _FUSED_RATE = "latency_ms_p50", "latency_ms_p99", "fused_rate_hz"
_STAGE, _STAGE_P50 = "stage_", "_ms_p50"


@dataclass(frozen=True)
class _Entry:
    stamp_ns: int
    p50_ms: float
    p99_ms: float
    stages_ms_p50: dict[str, float]
    rate_hz: float


class LatencyReader:
    """Takes the diagnostics messages one by one; of several fusion nodes the first one is followed."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._node: str | None = None

    def add(self, message: StoredMessage) -> None:
        """Take a message; what is no latency of the fusion node, or cannot be read, is left out."""
        try:
            array = deserialize(message)
        except MalformedImage:
            return
        statuses = {status.name: {pair.key: pair.value for pair in status.values} for status in array.status}
        for name, values in statuses.items():
            node = name.removesuffix(_LATENCY)
            if node != name and _P50 in values and (self._node or node) == node:
                stamp = array.header.stamp
                entry = _entry(stamp.sec * NS_PER_S + stamp.nanosec, values, statuses.get(node + _RATE, {}))
                if entry is not None:
                    self._node = node
                    self._entries.append(entry)

    def summary(self, start_ns: int) -> LiveLatency | None:
        """Everything that was read, with times from `start_ns` on; None where there was nothing."""
        if not self._entries:
            return None
        entries = self._entries
        stages = [name for name in entries[0].stages_ms_p50 if all(name in entry.stages_ms_p50 for entry in entries)]
        return LiveLatency(
            seconds=[(entry.stamp_ns - start_ns) / NS_PER_S for entry in entries],
            p50_ms=[entry.p50_ms for entry in entries],
            p99_ms=[entry.p99_ms for entry in entries],
            stages_ms_p50={name: [entry.stages_ms_p50[name] for entry in entries] for name in stages},
            rate_hz=[entry.rate_hz for entry in entries],
        )


def _entry(stamp_ns: int, latency: dict[str, Any], rate: dict[str, Any]) -> _Entry | None:
    """One message's numbers; None where one is missing or no number."""
    try:
        numbers = {key: float(value) for key, value in latency.items()} | {_FUSED_RATE: float(rate[_FUSED_RATE])}
        entry = _Entry(
            stamp_ns,
            numbers[_P50],
            numbers[_P99],
            {
                key[len(_STAGE) : -len(_STAGE_P50)]: value
                for key, value in numbers.items()
                if key.startswith(_STAGE) and key.endswith(_STAGE_P50)
            },
            numbers[_FUSED_RATE],
        )
    except (KeyError, ValueError):
        return None
    return entry if all(map(math.isfinite, numbers.values())) else None
