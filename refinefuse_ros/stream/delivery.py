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

"""How frames came through from a player to a viewer: each one timed from its publication to its arrival, by its stamp.

The method is that of NVIDIA's ros2_benchmark: the stamps of a recording say nothing about now, so the player notes when
it published each of them and the viewer when it saw each of them, by one clock; a recording is played several times and
the best and the worst round do not count.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any, NamedTuple

from refinefuse_ros.stream.timing import NS_PER_MS, NS_PER_S, percentile

# Of fewer rounds none can be spared.
LEAST_ROUNDS_TO_DROP = 3


class Timed(NamedTuple):
    """A frame's stamp, ns, and when it was published or arrived, ns of the system's monotonic clock."""

    stamp_ns: int
    at_ns: int


class Delivered(NamedTuple):
    """When one frame was published and when its fused image arrived, ns of one clock."""

    sent_ns: int
    arrived_ns: int


@dataclass(frozen=True)
class Delivery:
    """The numbers of one round, or the mean of several. None where nothing was measured.

    Attributes:
        sent: RGB frames that the player published.
        fused: of those, how many arrived fused.
        unpaired: those for which the fusion node found no thermal frame.
        missed: the rest: superseded by a newer pair, failed, or lost in transport.
        rate_hz: fused images per second between the first and the last arrival.
        latency_ms_p50, latency_ms_p90, latency_ms_p99, latency_ms_max: from publication to arrival, ms.
        jitter_ms: mean absolute difference of the latencies of successive arrivals, ms.
    """

    sent: float | None
    fused: float
    unpaired: float
    missed: float | None
    rate_hz: float | None
    latency_ms_p50: float | None
    latency_ms_p90: float | None
    latency_ms_p99: float | None
    latency_ms_max: float | None
    jitter_ms: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def join(rounds: Sequence[Sequence[Timed]], arrivals: Sequence[Timed]) -> list[list[Delivered]]:
    """For each round the frames that arrived, in order of arrival.

    An arrival belongs to the newest publication of its stamp before it; one without, and a second one, to none.
    """
    published: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number, sent in enumerate(rounds):
        for frame in sent:
            published[frame.stamp_ns].append((frame.at_ns, number))
    joined: list[list[Delivered]] = [[] for _ in rounds]
    taken: set[tuple[int, int]] = set()
    for arrival in arrivals:
        candidates = published.get(arrival.stamp_ns, [])
        newest = bisect_right(candidates, (arrival.at_ns, len(rounds))) - 1
        if newest < 0 or (arrival.stamp_ns, newest) in taken:
            continue
        taken.add((arrival.stamp_ns, newest))
        sent_ns, number = candidates[newest]
        joined[number].append(Delivered(sent_ns, arrival.at_ns))
    return joined


def summarize(latencies_ms: Sequence[float], arrived_ns: Sequence[int], sent: int | None, unpaired: int) -> Delivery:
    """The numbers of one round.

    Args:
        latencies_ms: of the fused images in order of arrival; empty where they were not measured.
        arrived_ns: when the fused images arrived.
        sent: RGB frames published; None where nobody counted them.
        unpaired: RGB frames that the fusion node left without a partner, those that it then passed through included.
    """
    fused = len(arrived_ns)
    unpaired = unpaired if sent is None else max(min(unpaired, sent - fused), 0)
    ordered = sorted(latencies_ms)
    span_ns = arrived_ns[-1] - arrived_ns[0] if fused > 1 else 0
    steps = [abs(after - before) for before, after in pairwise(latencies_ms)]
    return Delivery(
        sent=sent,
        fused=fused,
        unpaired=unpaired,
        missed=None if sent is None else sent - fused - unpaired,
        rate_hz=(fused - 1) * NS_PER_S / span_ns if span_ns else None,
        latency_ms_p50=percentile(ordered, 50) if ordered else None,
        latency_ms_p90=percentile(ordered, 90) if ordered else None,
        latency_ms_p99=percentile(ordered, 99) if ordered else None,
        latency_ms_max=ordered[-1] if ordered else None,
        jitter_ms=sum(steps) / len(steps) if steps else None,
    )


def summarize_round(delivered: Sequence[Delivered], sent: int, unpaired: int) -> Delivery:
    """The numbers of one round of `join`."""
    latencies_ms = [(frame.arrived_ns - frame.sent_ns) / NS_PER_MS for frame in delivered]
    return summarize(latencies_ms, [frame.arrived_ns for frame in delivered], sent, unpaired)


def counted(rounds: Sequence[Delivery]) -> list[bool]:
    """Which rounds count: of three or more, all but the best and the worst.

    The better one of two rounds is that with more fused images, and of equally many that with the lower median latency.
    """
    if len(rounds) < LEAST_ROUNDS_TO_DROP:
        return [True] * len(rounds)
    ranked = sorted(range(len(rounds)), key=lambda number: (-rounds[number].fused, rounds[number].latency_ms_p50 or 0))
    return [number not in (ranked[0], ranked[-1]) for number in range(len(rounds))]


def mean(rounds: Sequence[Delivery]) -> Delivery:
    """Each number's mean over the rounds that have it. One round stays as it is."""
    if len(rounds) == 1:
        return rounds[0]
    means: dict[str, float | None] = {}
    for field in fields(Delivery):
        values = [value for one in rounds if (value := getattr(one, field.name)) is not None]
        means[field.name] = sum(values) / len(values) if values else None
    return Delivery(**means)
