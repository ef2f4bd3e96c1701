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

"""The script of a soak: what goes wrong, in which order, and what the node has to say of it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from refinefuse_ros.stream.advice import REASONS
from refinefuse_ros.stream.health import Level
from refinefuse_ros.stream.outcome import Stream

# A fault lasts between so many seconds: /diagnostics come once a second and judge the last ones.
LASTS_S: Final = (4.0, 6.0)
# How much longer coming back may take: until DDS has brought a new process together with the node, and until there is
# an engine of another size.
DISCOVERY_S: Final = 2.0
ENGINE_S: Final = 2.0


@dataclass(frozen=True)
class Says:
    """What /diagnostics must say while a fault lasts: a status that is no longer OK, with words that fit the fault.

    Attributes:
        status: its name, after the node's.
        pattern: a regular expression that is found in its message.
    """

    status: str
    pattern: str

    def fits(self, status: str, level: int, message: str) -> bool:
        return status == self.status and level != Level.OK and re.search(self.pattern, message) is not None


@dataclass(frozen=True)
class Act:
    """One thing that goes wrong.

    Attributes:
        name: for --only and for the verdict.
        lasts_s: how long, s.
        cameras: the fault of each camera that has one, as `camera_faults.Fault.parse` takes it.
        killed: cameras whose process is killed and started again.
        transitions: through which the node is led, the way back included.
        changes: parameters of the node that are set and, in the end, set back: name, value, value in the end.
        refused: parameters that it must refuse: name and value.
        says: what must be said; None where nothing need be.
        may_pause: whether nothing can be shown while it lasts.
        longer_s: how much longer than after other faults the node may take to come back, s.
    """

    name: str
    lasts_s: float
    cameras: Mapping[Stream, str] = field(default_factory=dict)
    killed: tuple[Stream, ...] = ()
    transitions: tuple[str, ...] = ()
    changes: tuple[tuple[str, object, object], ...] = ()
    refused: tuple[tuple[str, object], ...] = ()
    says: Says | None = None
    may_pause: bool = False
    longer_s: float = 0.0

    def __str__(self) -> str:
        faults = [f"{stream} {fault}" for stream, fault in self.cameras.items()]
        faults += [f"{stream} killed" for stream in self.killed]
        return f"{self.name} ({', '.join(faults)})" if faults else self.name


def script(seed: int, only: Collection[str] = ()) -> Iterator[Act]:
    """Acts without end: all of `ACTS` (or only those named) in a shuffled order, then all of them in another one.

    Args:
        seed: the same one gives the same script.
        only: names of `ACTS`; empty for all.
    """
    chance = random.Random(seed)
    while True:
        names = [name for name in ACTS if not only or name in only]
        chance.shuffle(names)
        for name in names:
            yield ACTS[name](name, chance)


def _camera(fault: str, *streams: Stream, **changes: Any) -> Callable[..., Act]:
    return lambda name, chance: Act(name, chance.uniform(*LASTS_S), dict.fromkeys(streams, fault), **changes)


def _amount(fault: str, low: float, high: float, stream: Stream, pattern: str) -> Callable[..., Act]:
    def act(name: str, chance: random.Random) -> Act:
        amount = f"{fault} {chance.uniform(low, high):.3g}"
        return Act(name, chance.uniform(*LASTS_S), {stream: amount}, says=Says("frames", pattern))

    return act


def _killed(stream: Stream) -> Callable[..., Act]:
    def act(name: str, chance: random.Random) -> Act:
        return Act(name, chance.uniform(*LASTS_S), killed=(stream,), says=_missing(stream), longer_s=DISCOVERY_S)

    return act


def _led(*transitions: str) -> Callable[..., Act]:
    return lambda name, chance: Act(name, 0.5, transitions=transitions, may_pause=True)


def _parameters(name: str, chance: random.Random) -> Act:
    return Act(
        name,
        2.0,
        changes=(
            ("sync.slop_ms", chance.uniform(12, 30), 20.0),
            ("sync.queue_size", chance.randint(5, 100), 60),
            ("fused.style", chance.choice(("highlight", "palette", "grey")), "natural"),
            ("thermal.normalization.mode", "fixed", "percentile"),
        ),
        refused=(("sync.slop_ms", -5.0), ("on_missing", "explode"), ("fused.style", 7)),
    )


def _missing(stream: Stream) -> Says:
    return Says(f"{stream} camera", f"No frame of the {stream} camera")


def _useless(stream: Stream, reason: str = "") -> Says:
    """For one of the reasons that have words of their own, or any."""
    why = re.escape(REASONS[reason]) if reason else ""
    return Says(f"{stream} camera", f"The {stream} camera's frames cannot be used: {why}")


_THERMAL, _RGB = Stream
_APART = "RGB's stamps stand"

ACTS: Final[Mapping[str, Callable[[str, random.Random], Act]]] = {
    "thermal-stops": _camera("stop", _THERMAL, says=_missing(_THERMAL)),
    "rgb-stops": _camera("stop", _RGB, says=_missing(_RGB)),
    "both-stop": _camera("stop", *Stream, says=_missing(_RGB), may_pause=True),
    "thermal-killed": _killed(_THERMAL),
    "rgb-killed": _killed(_RGB),
    "thermal-freezes": _camera("freeze", _THERMAL, says=_useless(_THERMAL, "frozen")),
    "rgb-freezes": _camera("freeze", _RGB, says=_useless(_RGB, "frozen")),
    "thermal-flat": _camera("flat", _THERMAL, says=_useless(_THERMAL, "flat")),
    "thermal-late": _amount("late", 140, 400, _THERMAL, _APART),
    "thermal-too-late": _amount("late", 700, 900, _THERMAL, "thermal frames come .* later"),
    "thermal-clock-back": _amount("jump", -0.9, -0.4, _THERMAL, f"{_APART}|thermal frames come"),
    "thermal-clock-ahead": _amount("jump", 1800, 7200, _THERMAL, _APART),
    "rgb-clock-back": _amount("jump", -7200, -1800, _RGB, _APART),
    "rgb-clock-ahead": _amount("jump", 1.2, 3.0, _RGB, _APART),
    "thermal-unstamped": _camera("unstamped", _THERMAL, says=_useless(_THERMAL, "zero_stamp")),
    "rgb-unstamped": _camera("unstamped", _RGB, says=_useless(_RGB, "zero_stamp")),
    "thermal-garbage": _camera("garbage", _THERMAL, says=_useless(_THERMAL)),
    "rgb-garbage": _camera("garbage", _RGB, says=_useless(_RGB)),
    "some-garbage": _camera("mixed", *Stream),
    "thermal-resized": _camera("resize", _THERMAL),
    "rgb-resized": _camera("resize", _RGB, longer_s=ENGINE_S),
    "thermal-bursts": _camera("bursts", _THERMAL),
    "rgb-bursts": _camera("bursts", _RGB),
    "rgb-reordered": _camera("reorder", _RGB),
    "reactivated": _led("deactivate", "activate"),
    "reconfigured": _led("deactivate", "cleanup", "configure", "activate"),
    "parameters": _parameters,
}
"""Everything that can go wrong, by name: what makes an act of it."""
