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

"""A fusion node's diagnostic statuses, as those see them who watch it from outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray


@dataclass(frozen=True)
class Status:
    """One status: its level (of `stream.health.Level`), its message and its values as they travel."""

    level: int
    message: str
    values: Mapping[str, str]


def statuses_of(message: DiagnosticArray, node: str = "") -> dict[str, Status]:
    """The statuses by what stands after the node's name, such as "latency"; of one node or, unnamed, of all."""
    found = {}
    for status in message.status:
        whose, _, name = status.name.partition(": ")
        if name and (not node or whose == node):
            found[name] = Status(status.level[0], status.message, {pair.key: pair.value for pair in status.values})
    return found
