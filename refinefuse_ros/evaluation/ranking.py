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
