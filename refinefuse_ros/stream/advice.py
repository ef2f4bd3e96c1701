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

"""Why frames do not pair, told apart by what was measured, and the parameter and value that would cure it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from refinefuse_ros.stream.clocks import ClockReading
from refinefuse_ros.stream.health import Judgement, Level
from refinefuse_ros.stream.ledger import LedgerSnapshot, StreamAccounts
from refinefuse_ros.stream.outcome import Stream
from refinefuse_ros.stream.pairing import ARRIVAL, WAIT_MARGIN_MS, PairingReading, SyncSettings, hold_for
from refinefuse_ros.stream.timing import NS_PER_S

# Frames are judged over this long; that nothing pairs is said after the shorter time.
WINDOW_NS: Final = 5 * NS_PER_S
SILENCE_NS: Final = 3 * NS_PER_S // 2
# Further apart than this, two clocks do not count from the same moment.
EPOCH_MS: Final = 10_000.0
# Stamps that lie so far ahead of the node's clock are wrong: no frame comes before it was taken.
AHEAD_MS: Final = 100.0
# A smaller lag is what any two cameras' drivers differ by.
NOTED_LAG_MS: Final = 100.0
# Lags that differ by less are one number in a sentence.
NOTED_SPREAD_MS: Final = 20.0
# From here on, RGB frames without a thermal frame are no accident.
NOTED_UNPAIRED: Final = 0.05
# Only of a thermal camera whose frames are this much further apart than RGB's does one have to serve longer.
_SLOWER: Final = 1.1
FEWEST_FRAMES: Final = 20

Wording = Callable[[str, object], str]
"""How a setting is named: its name (a field of `SyncSettings`) and the value that cures, for a sentence."""


def as_parameter(name: str, value: object) -> str:
    """As the node's parameter."""
    return f"sync.{name}: {value}"


REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "zero_stamp": "the stamp is zero; set sync.stamps: arrival, or the driver to stamp its frames",
        "duplicate_stamp": "the same stamp comes again; restart the driver",
        "out_of_order": "the stamp goes back; check the driver's clock",
        "frozen": "the picture stands still; wait for a shutter that is closed, or restart the driver",
        "flat": "the picture is flat; wait for a shutter that is closed, or look at the lens",
    }
)
"""Why a frame was refused, or every one of a camera's, as a clause; other reasons the node says itself."""


class LedgerWindow:
    """What was booked in the last seconds, from snapshots taken now and then. Not thread-safe."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, LedgerSnapshot]] = deque()

    def add(self, now_ns: int, snapshot: LedgerSnapshot) -> None:
        """Take in a snapshot; a clock that steps back, and the first pair, start the window anew."""
        if self._kept:
            at_ns, newest = self._kept[-1]
            if now_ns < at_ns or (snapshot.pairs.formed and not newest.pairs.formed):
                self._kept.clear()
        self._kept.append((now_ns, snapshot))
        while len(self._kept) > 2 and now_ns - self._kept[1][0] >= WINDOW_NS:
            self._kept.popleft()

    def recent(self, span_ns: int = WINDOW_NS) -> LedgerSnapshot | None:
        """What was booked in the last `span_ns` or a little more; None while no so long time was watched.

        The whole window may be shorter: it is what there is.
        """
        now_ns, newest = self._kept[-1]
        for at_ns, snapshot in reversed(self._kept):
            if now_ns - at_ns >= span_ns:
                return newest.since(snapshot)
        return newest.since(self._kept[0][1]) if span_ns == WINDOW_NS else None


def judge_frames(
    ledger: LedgerSnapshot, window: LedgerWindow, pairing: PairingReading, settings: SyncSettings
) -> Judgement:
    """Status `frames`: whether the ledger balances, and whether frames have paired in the last seconds.

    Args:
        ledger: all accounts now.
        window: the same over the last seconds.
        pairing: the clocks, and what frames are paired by.
        settings: what the user set.
    """
    if not ledger.balanced:
        return Judgement(Level.ERROR, "The frame ledger does not balance: please report this as a bug.")
    if not (ledger.thermal.received or ledger.rgb.received):
        return Judgement(Level.STALE, "No frame has been received yet.")
    recent = window.recent()
    for stream in Stream:
        if refused := refusal(stream, accounts_of(recent, stream)):
            return Judgement(Level.WARN, f"{refused}.")
    advice = clock_advice(pairing, settings)
    silence = window.recent(SILENCE_NS)
    if silence and silence.thermal.received and silence.rgb.received and not silence.pairs.formed:
        why = advice or "compare their stamps with sync.slop_ms"
        return Judgement(Level.WARN, f"Both cameras send frames but none could be paired: {why}.")
    if unpaired := _unpaired(recent):
        why = advice or _rate_advice(pairing)
        return Judgement(Level.WARN, f"{unpaired:.0%} of the RGB frames found no thermal frame{why and f': {why}'}.")
    if advice := clock_advice(pairing, settings, losing=False):
        return Judgement(Level.WARN, f"{advice[0].upper()}{advice[1:]}.")
    if recent.pairs.unwatched:
        unwatched = f"{recent.pairs.formed} pairs formed of late; nobody subscribes the fused image."
        return Judgement(Level.OK, unwatched)
    return Judgement(Level.OK, f"{recent.pairs.published} of {recent.pairs.formed} pairs published of late.")


def accounts_of(ledger: LedgerSnapshot, stream: Stream) -> StreamAccounts:
    return ledger.thermal if stream is Stream.THERMAL else ledger.rgb


def refusal(stream: Stream, recent: StreamAccounts) -> str:
    """Why none of a camera's frames could be used of late, as a clause; empty where some could, or none came."""
    if not recent.received or recent.rejected < recent.received:
        return ""
    reason = max(recent.rejected_by_reason, key=recent.rejected_by_reason.__getitem__)
    why = REASONS.get(reason, f"they are refused for their {reason}; see what the node says")
    return f"The {stream} camera's frames cannot be used: {why}"


def refusal_of_late(stream: Stream, window: LedgerWindow) -> str:
    """`refusal`, of the last moments, once they have been watched: a camera may have sent good frames just before."""
    return refusal(stream, accounts_of(window.recent(SILENCE_NS) or window.recent(), stream))


def clock_advice(
    pairing: PairingReading, settings: SyncSettings, wording: Wording = as_parameter, *, losing: bool = True
) -> str:
    """What is wrong with the two clocks and how to cure it, as a clause; empty where they agree or are not compared.

    Args:
        pairing: the clocks, and what frames are paired by.
        settings: what the user set.
        wording: how a setting is named.
        losing: whether frames are left over. Where none is, the few that come latest are no matter: a computer that
            stood still for a moment held up both cameras' frames.
    """
    clocks, lag_ms = pairing.clocks, pairing.clocks.lag_ms
    if lag_ms is None or settings.stamps == ARRIVAL:
        return ""
    if abs(lag_ms) >= EPOCH_MS:
        return (
            f"RGB's stamps stand {lag_ms / 1000:+.1f} s from thermal's, so they are of different clocks;"
            f" set {wording('stamps', ARRIVAL)}, or bring the cameras' clocks together"
        )
    offset = wording("thermal_offset_ms", f"{settings.thermal_offset_ms + lag_ms:.0f}")
    apart = f"RGB's stamps stand {lag_ms:+.0f} ms from thermal's as they come"
    if abs(lag_ms) > NOTED_LAG_MS and _is_ahead(clocks):
        return f"{apart}, and are ahead of the clock here; set {offset}"
    wait_ms = pairing.in_use.max_wait_ms
    latest_ms = clocks.longest_lag_ms if losing else lag_ms
    needed_ms = latest_ms + WAIT_MARGIN_MS
    enough = wording("max_wait_ms", math.ceil(max(abs(lag_ms), needed_ms) / 10) * 10)
    if needed_ms > max(wait_ms, NOTED_LAG_MS):
        return (
            f"thermal frames come {_span(lag_ms, latest_ms)} ms later than RGB's of the same stamp,"
            f" which wait {wait_ms:.0f} ms;"
            f" set {enough}, or, if the stamps are wrong, {offset}"
        )
    if abs(lag_ms) > NOTED_LAG_MS and (settings.max_wait_ms is None or settings.max_wait_ms < abs(lag_ms)):
        return f"{apart}; set {offset} if they are wrong, or {enough} if frames do come that late"
    return ""


def _span(usual_ms: float, latest_ms: float) -> str:
    """Both as one number where they hardly differ."""
    return f"{usual_ms:.0f}" if latest_ms - usual_ms < NOTED_SPREAD_MS else f"{usual_ms:.0f} to {latest_ms:.0f}"


def _is_ahead(clocks: ClockReading) -> bool:
    """Whether the stamps of one camera, and not of both, are ahead of the node's clock."""
    delays = sorted((clocks.thermal.delay_ms, clocks.rgb.delay_ms))
    return delays[0] < -AHEAD_MS < delays[1]


def _unpaired(recent: LedgerSnapshot) -> float:
    """The share of the RGB frames that found no partner, where it is more than an accident; else 0."""
    decided = recent.rgb.paired + recent.rgb.unpaired
    if not recent.thermal.received or decided < FEWEST_FRAMES:
        return 0.0
    share = recent.rgb.unpaired / decided
    return share if share >= NOTED_UNPAIRED else 0.0


def _rate_advice(pairing: PairingReading) -> str:
    longest_ms, rgb_ms = pairing.clocks.thermal.longest_ms, pairing.clocks.rgb.period_ms
    if longest_ms is None or pairing.in_use.thermal_hold_ms >= longest_ms:
        return ""
    if rgb_ms is not None and longest_ms < _SLOWER * rgb_ms:  # as fast as RGB: it has stopped, or is of other moments
        return ""
    hold = as_parameter("thermal_hold_ms", math.ceil(hold_for(longest_ms) / 5) * 5)
    return f"thermal frames are up to {longest_ms:.0f} ms apart; set {hold}, or leave it to auto"
