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

"""The words in which a synchroniser reports what became of the frames it was given."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T")

BACKWARD_JUMP_NS = 100_000_000
"""A stamp (or the node's clock) that steps back further than this is a clock that was reset: a bag that loops, a
/clock that restarts. A smaller step back is one frame out of order."""


class Stream(str, Enum):
    """One of the two camera streams; the value is its name in topics, parameters and diagnostics."""

    THERMAL = "thermal"
    RGB = "rgb"

    def __str__(self) -> str:
        return self.value

    @property
    def other(self) -> Stream:
        """The stream that this one is paired with."""
        return Stream.RGB if self is Stream.THERMAL else Stream.THERMAL


class RejectReason(str, Enum):
    """Why a well-formed frame was refused: by the synchroniser because of its stamp, or because it is no news."""

    ZERO_STAMP = "zero_stamp"
    DUPLICATE_STAMP = "duplicate_stamp"
    OUT_OF_ORDER = "out_of_order"
    FROZEN = "frozen"
    FLAT = "flat"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Stamped(Generic[T]):
    """A frame with its acquisition stamp in nanoseconds."""

    stamp_ns: int
    payload: T


@dataclass(frozen=True)
class Pair(Generic[T]):
    """An RGB frame and its thermal partner; `thermal_reused` when an earlier pair carried that one too."""

    thermal: Stamped[T]
    rgb: Stamped[T]
    thermal_reused: bool = False

    @property
    def offset_ns(self) -> int:
        """RGB stamp minus thermal stamp, ns; positive when the thermal frame is the older one."""
        return self.rgb.stamp_ns - self.thermal.stamp_ns


@dataclass(frozen=True)
class StreamFrame(Generic[T]):
    """A frame that left its stream without a partner."""

    stream: Stream
    frame: Stamped[T]


@dataclass(frozen=True)
class RejectedFrame(Generic[T]):
    """A frame that was refused at the door, and why."""

    stream: Stream
    frame: Stamped[T]
    reason: RejectReason


@dataclass
class SyncOutcome(Generic[T]):
    """Everything that one call to a synchroniser decided; each frame appears in one outcome, once.

    The one exception: a held thermal frame appears in every pair that it serves, with `thermal_reused` after
    the first.

    Attributes:
        pairs: formed pairs, in RGB stamp order.
        unpaired: frames that no partner within the slop (or the hold) came for, and those a reset or flush
            cleared.
        superseded: frames evicted because the bounded queue of their stream overflowed.
        rejected: frames refused for their stamp.
        resets: how many backward jumps of a clock were met.
    """

    pairs: list[Pair[T]] = field(default_factory=list)
    unpaired: list[StreamFrame[T]] = field(default_factory=list)
    superseded: list[StreamFrame[T]] = field(default_factory=list)
    rejected: list[RejectedFrame[T]] = field(default_factory=list)
    resets: int = 0
