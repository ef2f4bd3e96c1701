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

"""What may be wrong with a camera: each fault turns a good frame into what is published in its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from sensor_msgs.msg import Image

from refinefuse_ros.image.codec import to_message_data
from refinefuse_ros.nodes.messages import to_stamp
from refinefuse_ros.stream.timing import NS_PER_MS, NS_PER_S

# Of so many frames in a row a burst takes so many.
BURST_CYCLE: Final = 20
BURST: Final = 8


class Moment(NamedTuple):
    """One frame of a camera that works: its number, the time at which it is exposed and due, and its picture."""

    number: int
    now_ns: int
    good: Image


class Due(NamedTuple):
    """A message, stamped, and when it is to be published."""

    at_ns: int
    message: Image


@dataclass(frozen=True)
class Fault:
    """A fault of `KINDS`, and how much of it there is, where it has an amount: ms for `late`, s for `jump`.

    Attributes:
        kind: its name.
        amount: see above.
    """

    kind: str = "none"
    amount: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Fault:
        """A fault as somebody writes it: "freeze", "late 150", "jump -0.6".

        Raises:
            ValueError: it is none; the message is a sentence.
        """
        kind, *amounts = text.split()
        try:
            (amount,) = [float(word) for word in amounts] or [0.0]
        except ValueError:
            raise ValueError(f"'{text}' is not a fault: give its name and at most one number.") from None
        if kind not in KINDS:
            raise ValueError(f"There is no fault '{kind}'; use one of {', '.join(KINDS)}.")
        return cls(kind, amount)


@dataclass
class FaultyPictures:
    """Turns each moment of a camera that works into what one with a fault publishes. Not thread-safe.

    Attributes:
        small: pictures at half the size, for a camera that changes it.
    """

    small: Sequence[Image]
    _last: Image | None = field(default=None, init=False)
    _kept: Due | None = field(default=None, init=False)

    def publish(self, fault: Fault, moment: Moment) -> list[Due]:
        """What is due because of this moment, in the order of publication."""
        due = KINDS[fault.kind](self, fault, moment)
        if fault.kind != "freeze":
            self._last = moment.good
        return due

    def _none(self, fault: Fault, moment: Moment) -> list[Due]:
        return [_stamped(moment.good, moment)]

    def _stop(self, fault: Fault, moment: Moment) -> list[Due]:
        return []

    def _freeze(self, fault: Fault, moment: Moment) -> list[Due]:
        return [_stamped(self._last or moment.good, moment)]

    def _flat(self, fault: Fault, moment: Moment) -> list[Due]:
        grey = copy(moment.good)
        level = 29_000 + moment.number % 7  # a sensor that shows nothing still is not still
        grey.data = to_message_data(np.full(len(grey.data) // 2, level, np.uint16).view(np.uint8))
        return [_stamped(grey, moment)]

    def _late(self, fault: Fault, moment: Moment) -> list[Due]:
        return [_stamped(moment.good, moment)._replace(at_ns=moment.now_ns + round(fault.amount * NS_PER_MS))]

    def _jump(self, fault: Fault, moment: Moment) -> list[Due]:
        return [_stamped(moment.good, moment, moment.now_ns + round(fault.amount * NS_PER_S))]

    def _unstamped(self, fault: Fault, moment: Moment) -> list[Due]:
        return [_stamped(moment.good, moment, 0)]

    def _garbage(self, fault: Fault, moment: Moment) -> list[Due]:
        spoilt = copy(moment.good)
        match moment.number % 4:
            case 0:
                spoilt.data = spoilt.data[: len(spoilt.data) // 2]
            case 1:
                spoilt.encoding = "yuv9000"
            case 2:
                spoilt.step //= 2
            case _:
                spoilt.height = 0
        return [_stamped(spoilt, moment)]

    def _mixed(self, fault: Fault, moment: Moment) -> list[Due]:
        return (self._garbage if moment.number % 3 == 0 else self._none)(fault, moment)

    def _resize(self, fault: Fault, moment: Moment) -> list[Due]:
        return [_stamped(self.small[moment.number % len(self.small)], moment)]

    def _bursts(self, fault: Fault, moment: Moment) -> list[Due]:
        return [] if moment.number % BURST_CYCLE < BURST else self._none(fault, moment)

    def _reorder(self, fault: Fault, moment: Moment) -> list[Due]:
        """Every fourth frame comes after the next one."""
        due = _stamped(moment.good, moment)
        if moment.number % 4 == 0:
            self._kept = due
            return []
        kept, self._kept = self._kept, None
        return [due] if kept is None else [due, kept._replace(at_ns=moment.now_ns)]


KINDS: Final[dict[str, Callable[[FaultyPictures, Fault, Moment], list[Due]]]] = {
    name: getattr(FaultyPictures, f"_{name}")
    for name in (
        "none",
        "stop",
        "freeze",
        "flat",
        "late",
        "jump",
        "unstamped",
        "garbage",
        "mixed",
        "resize",
        "bursts",
        "reorder",
    )
}
"""Every fault by its name; "none" is a camera that works."""


def _stamped(picture: Image, moment: Moment, stamp_ns: int | None = None) -> Due:
    """The picture under this moment's stamp, or another one."""
    message = copy(picture)
    message.header = copy(picture.header)
    message.header.stamp = to_stamp(moment.now_ns if stamp_ns is None else stamp_ns)
    return Due(moment.now_ns, message)
