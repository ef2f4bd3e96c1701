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

"""What a reader is told of each number: its name as it is printed, its unit and its meaning in a few words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from refinefuse_ros.evaluation.motion import RGB, THERMAL
from refinefuse_ros.evaluation.scorecard import LOWER_IS_BETTER

FLICKER: Final = "flicker"
SOURCES_ALONE: Final = {THERMAL: "thermal alone", RGB: "RGB alone"}
"""What the sources are called where they stand beside the methods."""


class Better(Enum):
    """Which values of a number are the better ones; as a word for the reader, and as a sign."""

    HIGHER = "higher", "↑"
    LOWER = "lower", "↓"
    NEAR_ZERO = "near 0", "→0"

    def __init__(self, word: str, sign: str) -> None:
        self.word = word
        self.sign = sign

    def best(self, values: Iterable[float]) -> float:
        """The best of at least one value."""
        if self is Better.NEAR_ZERO:
            return min(values, key=abs)
        return min(values) if self is Better.LOWER else max(values)


@dataclass(frozen=True)
class MetricText:
    """How one number is shown: `title` as a label, `says` as half a sentence."""

    title: str
    says: str
    better: Better


_LOWER: Final = LOWER_IS_BETTER | {"lost", FLICKER, "biswe", "flowd", "ms2r"}


def _text(name: str, title: str, says: str) -> MetricText:
    better = Better.LOWER if name in _LOWER else Better.NEAR_ZERO if name == "ring" else Better.HIGHER
    return MetricText(title, says, better)


METRIC_TEXTS: Final = {
    name: _text(name, title, says)
    for name, title, says in (
        ("vif", "VIF", "visual information kept of both sources"),
        ("scd", "SCD", "what the image adds to one source is in the other"),
        ("qabf", "Qabf", "share of the sources' edges kept"),
        ("ssim", "SSIM", "structural similarity to both sources"),
        ("en", "EN", "entropy, bits"),
        ("sf", "SF", "spatial frequency, grey levels"),
        ("ag", "AG", "average gradient, grey levels a pixel"),
        ("ecg", "ECG", "halos and patches that neither source has"),
        ("outlines", "OUTLINES", "dark rims along edges, grey levels"),
        ("kept", "KEPT", "share of warm objects' contrast kept"),
        ("lost", "LOST", "warm objects that keep less than a quarter of it, %"),
        ("ring", "RING", "how much darker (below 0) it is beside warm objects than further away, grey levels"),
        (FLICKER, "flicker", "change where both sources stand still, grey levels"),
        ("biswe", "BiSWE (DIS)", "change that its own motion does not explain, grey levels"),
        ("flowd", "flowD (DIS)", "change that RGB's motion does not explain, grey levels"),
        ("ms2r", "MS2R (DIS)", "trembling that neither source has, pixels"),
    )
}
"""By the name in `Method.numbers`: what compares with the sources, what looks alone, and what both do not see."""
