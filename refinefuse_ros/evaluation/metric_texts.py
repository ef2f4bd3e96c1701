# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What a reader is told of each number: its name as it is printed, its unit and its meaning in a few words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from refinefuse_ros.evaluation.scorecard import LOWER_IS_BETTER

FLICKER: Final = "flicker"


@dataclass(frozen=True)
class MetricText:
    """How one number is shown: `title` as a label, `says` as half a sentence."""

    title: str
    says: str
    lower_is_better: bool


def _text(name: str, title: str, says: str) -> MetricText:
    return MetricText(title, says, name in LOWER_IS_BETTER or name == FLICKER)


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
        (FLICKER, "flicker", "change where both sources stand still, grey levels"),
    )
}
"""By the name in `METRIC_NAMES`, and the flicker; first what compares with the sources, then what looks alone."""
