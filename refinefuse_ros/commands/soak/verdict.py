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

"""The verdict on a soak: what was measured of each fault, and what of it is not as it should be."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any, Final

from refinefuse_ros.stream.clocks import LONGEST_INTERVAL_MS

# Bounds of the verdict; that of pairs is the longest hold that the node chooses by itself.
RECOVERY_S: Final = 1.0
CALM_S: Final = 12.0
SILENCE_S: Final = 2.0
GROWTH: Final = 0.05
# Of so many faults the memory tells whether it grows.
_ENOUGH: Final = 9
# The node is at full rate again with so much of what it fused before, over so many seconds.
FULL: Final = 0.9
RATE_WINDOW_S: Final = 1.0


@dataclass
class Faced:
    """One fault, and how the node stood it.

    Attributes:
        fault: what went wrong.
        lasted_s: for how long.
        said: whether /diagnostics said what fits it; None where nothing need be said.
        expected: what was expected, and what the status said instead, where it did not.
        within_s: how soon after its end the node is to fuse at full rate again.
        recovered_s: from its end until the node fused at full rate again; None where it did not in time.
        calm_s: from its end until no status complained any more; None where one still did.
        silence_s: the longest time without a fused image; None where nothing could be shown.
        memory_mb: the node's resident memory afterwards.
    """

    fault: str
    lasted_s: float
    said: bool | None = None
    expected: str = ""
    within_s: float = RECOVERY_S
    recovered_s: float | None = None
    calm_s: float | None = None
    silence_s: float | None = None
    memory_mb: float = 0.0

    @property
    def kind(self) -> str:
        """The fault without what is drawn anew each time."""
        return self.fault.partition(" (")[0]

    def __str__(self) -> str:
        said = {True: "named", False: "NOT NAMED", None: ""}[self.said]
        recovered = "NOT RECOVERED" if self.recovered_s is None else f"full rate after {self.recovered_s:.2f} s"
        calm = "still complains" if self.calm_s is None else f"calm after {self.calm_s:.1f} s"
        silence = "" if self.silence_s is None else f"longest silence {self.silence_s:.2f} s"
        memory = f"{self.memory_mb:.0f} MB"
        return f"{self.fault}: " + ", ".join(filter(None, (said, recovered, calm, silence, memory)))


@dataclass
class Soaked:
    """All that was measured.

    Attributes:
        rate_hz: fused pairs a second before the first fault.
        faced: each fault.
        reports: how many messages of /diagnostics were looked at.
        unbalanced: in how many of them the ledger did not balance.
        furthest_ms: the largest distance of two stamps that were fused.
        broken: what ended the soak early; empty where nothing did.
    """

    rate_hz: float = 0.0
    faced: list[Faced] = field(default_factory=list)
    reports: int = 0
    unbalanced: int = 0
    furthest_ms: float = 0.0
    broken: str = ""

    @property
    def memory_growth(self) -> float:
        """How much the node's memory grew from the first third of the faults to the last, as a share.

        What was before each fault had happened once does not count, where enough came after: the node keeps what it has
        freed, so that its memory grows until it has been in each situation.
        """
        kinds = [one.kind for one in self.faced]
        once = max(map(kinds.index, kinds), default=0)
        counted = self.faced[once:] if len(self.faced) - once >= _ENOUGH else self.faced
        sizes = [one.memory_mb for one in counted if one.memory_mb]
        part = max(len(sizes) // 3, 1)
        return median(sizes[-part:]) / median(sizes[:part]) - 1 if sizes else 0.0

    def failures(self) -> list[str]:
        """A sentence for each thing that is not as it should be; none where the node has passed."""
        found = [self.broken] if self.broken else []
        if not self.reports:
            found.append("No diagnostics came.")
        if self.unbalanced:
            found.append(f"The frame ledger did not balance in {self.unbalanced} of {self.reports} reports.")
        if self.furthest_ms > LONGEST_INTERVAL_MS:
            found.append(f"A pair lay {self.furthest_ms:.0f} ms apart, over {LONGEST_INTERVAL_MS:.0f} ms.")
        if self.memory_growth > GROWTH:
            found.append(f"Memory grew by {self.memory_growth:.1%}, over {GROWTH:.0%}.")
        for one in self.faced:
            found += _failures_of(one)
        return found

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        failures = self.failures()
        recoveries = [one.recovered_s for one in self.faced if one.recovered_s is not None]
        silences = [one.silence_s for one in self.faced if one.silence_s is not None]
        return {
            "passed": not failures,
            "failures": failures,
            "rate_hz": self.rate_hz,
            "faults": len(self.faced),
            "named": sum(one.said is True for one in self.faced),
            "to_be_named": sum(one.said is not None for one in self.faced),
            "recovery_s_p50": median(recoveries) if recoveries else None,
            "recovery_s_max": max(recoveries, default=None),
            "longest_silence_s": max(silences, default=None),
            "memory_growth": self.memory_growth,
            "reports": self.reports,
            "unbalanced": self.unbalanced,
            "furthest_ms": self.furthest_ms,
            "faced": [asdict(one) for one in self.faced],
        }


def recovered_after(fused_s: Sequence[float], ended_s: float, rate_hz: float) -> float | None:
    """How long after `ended_s` a second began in which pairs were fused at nearly `rate_hz`; None where none has yet.

    Args:
        fused_s: when each fused pair came, ascending, s.
        ended_s: when the fault ended, by the same clock.
        rate_hz: the full rate.
    """
    first = bisect_left(fused_s, ended_s)
    needed = max(round(FULL * rate_hz * RATE_WINDOW_S), 1)
    for index in range(first, len(fused_s) - needed + 1):
        if fused_s[index + needed - 1] - fused_s[index] <= RATE_WINDOW_S:
            return fused_s[index] - ended_s
    return None


def longest_silence(shown_s: Sequence[float], began_s: float, ended_s: float) -> float:
    """The longest time without an image between two moments, s; `shown_s`: when each came, ascending."""
    inside = [at for at in shown_s if began_s <= at <= ended_s]
    moments = [began_s, *inside, ended_s]
    return max(later - earlier for earlier, later in pairwise(moments))


def _failures_of(one: Faced) -> list[str]:
    found = []
    if one.said is False:
        found.append(f"{one.fault}: {one.expected}")
    if one.recovered_s is None:
        found.append(f"{one.fault}: the node did not come back to its full rate.")
    elif one.recovered_s > one.within_s:
        found.append(f"{one.fault}: back to full rate after {one.recovered_s:.2f} s, over {one.within_s:g} s.")
    if one.calm_s is None:
        found.append(f"{one.fault}: /diagnostics still complains {CALM_S:.0f} s after it ended.")
    if one.silence_s is not None and one.silence_s > SILENCE_S:
        found.append(f"{one.fault}: no image for {one.silence_s:.2f} s, over {SILENCE_S:g} s.")
    return found
