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

"""The frame ledger: what became of every frame received and every pair formed, with sums that can be checked.

Nothing is refused at booking time: a booking too many shows as a negative `in_flight` and `balanced: False`
in the snapshot.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Any

from refinefuse_ros.stream.outcome import Stream, SyncOutcome


def _differences(now: Any, earlier: Any) -> dict[str, Any]:
    """Of two records of the same kind: each number's growth; of counts by reason, those that grew."""
    return {
        field.name: {reason: n for reason, count in after.items() if (n := count - before.get(reason, 0))}
        if isinstance(after, Mapping)
        else after - before
        for field in fields(now)
        for after, before in [(getattr(now, field.name), getattr(earlier, field.name))]
    }


@dataclass(frozen=True)
class StreamAccounts:
    """Where the frames of one stream went, in frames.

    Attributes:
        received: every message that arrived, well formed or not.
        paired: frames that became part of a pair; a held thermal frame counts once.
        unpaired: frames without a partner.
        superseded: frames evicted from the full queue of the synchroniser.
        rejected_by_reason: frames refused, per reason.
    """

    received: int
    paired: int
    unpaired: int
    superseded: int
    rejected_by_reason: Mapping[str, int]

    @property
    def rejected(self) -> int:
        """Frames refused, for whatever reason."""
        return sum(self.rejected_by_reason.values())

    @property
    def in_flight(self) -> int:
        """Frames received and in no account yet; negative when more were booked out than came in."""
        return self.received - self.paired - self.unpaired - self.superseded - self.rejected

    def since(self, earlier: StreamAccounts) -> StreamAccounts:
        """What was booked after `earlier`."""
        return StreamAccounts(**_differences(self, earlier))

    def to_dict(self) -> dict[str, Any]:
        """All accounts as plain numbers."""
        return {
            "received": self.received,
            "paired": self.paired,
            "unpaired": self.unpaired,
            "superseded": self.superseded,
            "rejected": self.rejected,
            "rejected_by_reason": dict(self.rejected_by_reason),
            "in_flight": self.in_flight,
        }


@dataclass(frozen=True)
class PairAccounts:
    """Where the pairs went: published, superseded in the latest-pair slot or by a newer image, failed in the pipeline,
    or not fused because nobody watched.
    """

    formed: int
    published: int
    superseded: int
    failed: int
    unwatched: int = 0

    @property
    def in_flight(self) -> int:
        """Pairs formed and in no account yet; negative when more were booked out than formed."""
        return self.formed - self.published - self.superseded - self.failed - self.unwatched

    def since(self, earlier: PairAccounts) -> PairAccounts:
        """What was booked after `earlier`."""
        return PairAccounts(**_differences(self, earlier))

    def to_dict(self) -> dict[str, int]:
        """All accounts as plain numbers."""
        return {**asdict(self), "in_flight": self.in_flight}


@dataclass(frozen=True)
class LedgerSnapshot:
    """All accounts at one moment.

    Attributes:
        thermal: accounts of the thermal frames.
        rgb: accounts of the RGB frames.
        pairs: accounts of the pairs.
        thermal_reused: pairs whose thermal frame had served an earlier pair.
        passed_through: frames published alone while the other camera was missing; also booked in their
            stream's account.
        resets: backward jumps of a clock.
    """

    thermal: StreamAccounts
    rgb: StreamAccounts
    pairs: PairAccounts
    thermal_reused: int
    passed_through: int
    resets: int

    @property
    def balanced(self) -> bool:
        """Whether nothing was booked out that had not come in, and frames and pairs tell the same story."""
        nothing_overdrawn = min(self.thermal.in_flight, self.rgb.in_flight, self.pairs.in_flight) >= 0
        frames_match_pairs = self.rgb.paired == self.thermal.paired + self.thermal_reused == self.pairs.formed
        return nothing_overdrawn and frames_match_pairs

    def since(self, earlier: LedgerSnapshot) -> LedgerSnapshot:
        """What was booked after `earlier`; what came in before and was booked out since makes `in_flight` negative."""
        return LedgerSnapshot(
            thermal=self.thermal.since(earlier.thermal),
            rgb=self.rgb.since(earlier.rgb),
            pairs=self.pairs.since(earlier.pairs),
            thermal_reused=self.thermal_reused - earlier.thermal_reused,
            passed_through=self.passed_through - earlier.passed_through,
            resets=self.resets - earlier.resets,
        )

    def to_dict(self) -> dict[str, Any]:
        """The whole ledger as nested plain numbers, with `balanced`; fit for JSON."""
        return {
            "thermal": self.thermal.to_dict(),
            "rgb": self.rgb.to_dict(),
            "pairs": self.pairs.to_dict(),
            "thermal_reused": self.thermal_reused,
            "passed_through": self.passed_through,
            "resets": self.resets,
            "balanced": self.balanced,
        }


class FrameLedger:
    """Books frames and pairs into their accounts. Thread-safe.

    Order of booking: a frame is `received` before it is given to the synchroniser (or `rejected`), and an
    outcome is booked with `account` before its pairs are handed on. Then every snapshot balances, also one
    taken in between.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frames: dict[Stream, Counter[str]] = {stream: Counter() for stream in Stream}
        self._rejected: dict[Stream, Counter[str]] = {stream: Counter() for stream in Stream}
        self._pairs: Counter[str] = Counter()
        self._extra: Counter[str] = Counter()

    def received(self, stream: Stream) -> None:
        """A message of `stream` arrived."""
        with self._lock:
            self._frames[stream]["received"] += 1

    def rejected(self, stream: Stream, reason: str) -> None:
        """A received message was refused before it reached the synchroniser, e.g. because it is malformed."""
        with self._lock:
            self._rejected[stream][str(reason)] += 1

    def account(self, outcome: SyncOutcome[Any]) -> None:
        """Book everything that one call to the synchroniser decided."""
        with self._lock:
            for pair in outcome.pairs:
                self._pairs["formed"] += 1
                self._frames[Stream.RGB]["paired"] += 1
                if pair.thermal_reused:
                    self._extra["thermal_reused"] += 1
                else:
                    self._frames[Stream.THERMAL]["paired"] += 1
            for left in outcome.unpaired:
                self._frames[left.stream]["unpaired"] += 1
            for left in outcome.superseded:
                self._frames[left.stream]["superseded"] += 1
            for refused in outcome.rejected:
                self._rejected[refused.stream][str(refused.reason)] += 1
            self._extra["resets"] += outcome.resets

    def published(self) -> None:
        """A pair's fused image was published."""
        self._book_pair("published")

    def superseded(self) -> None:
        """A pair was replaced by a newer one before the worker took it, or a newer image was published before."""
        self._book_pair("superseded")

    def failed(self) -> None:
        """A pair was taken but gave no fused image."""
        self._book_pair("failed")

    def unwatched(self) -> None:
        """A pair was not fused, because nobody subscribes the fused image."""
        self._book_pair("unwatched")

    def passed_through(self) -> None:
        """A single camera's frame was published alone because the other camera is missing."""
        with self._lock:
            self._extra["passed_through"] += 1

    def snapshot(self) -> LedgerSnapshot:
        """All accounts at this moment, consistent with each other."""
        with self._lock:
            return LedgerSnapshot(
                thermal=self._stream_accounts(Stream.THERMAL),
                rgb=self._stream_accounts(Stream.RGB),
                pairs=PairAccounts(
                    formed=self._pairs["formed"],
                    published=self._pairs["published"],
                    superseded=self._pairs["superseded"],
                    failed=self._pairs["failed"],
                    unwatched=self._pairs["unwatched"],
                ),
                thermal_reused=self._extra["thermal_reused"],
                passed_through=self._extra["passed_through"],
                resets=self._extra["resets"],
            )

    def _book_pair(self, account: str) -> None:
        with self._lock:
            self._pairs[account] += 1

    def _stream_accounts(self, stream: Stream) -> StreamAccounts:
        frames = self._frames[stream]
        return StreamAccounts(
            received=frames["received"],
            paired=frames["paired"],
            unpaired=frames["unpaired"],
            superseded=frames["superseded"],
            rejected_by_reason=MappingProxyType(dict(self._rejected[stream])),
        )
