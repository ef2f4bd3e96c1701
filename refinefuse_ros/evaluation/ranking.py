# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Which pairs are the worst: the few that a report shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

KEPT_WORST: Final = 3


@dataclass(frozen=True)
class Ranked:
    """A pair by one method and metric.

    Attributes:
        badness: as from `scorecard.badness`: higher is worse.
        index: of the pair in the source.
        second: the whole second of the source that it lies in; None for stills.
    """

    badness: float
    index: int
    second: int | None


def worst_first(pairs: Iterable[Ranked]) -> list[Ranked]:
    """The worst pairs, at most `KEPT_WORST`, the worst first; of equal ones the earlier.

    Of each second of a recording only its worst pair counts: its neighbours look the same. Ranking some pairs first and
    what is left of them with the others gives the same.
    """
    kept: list[Ranked] = []
    for pair in sorted(pairs, key=lambda pair: (-pair.badness, pair.index)):
        if pair.second is None or all(other.second != pair.second for other in kept):
            kept.append(pair)
        if len(kept) == KEPT_WORST:
            break
    return kept
