# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What an examination says: one line for each thing that was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class Verdict(str, Enum):
    """FINE: works. LESS: works with less than it could, or something optional is not there. BROKEN: does not work."""

    FINE = "fine"
    LESS = "less"
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """One line of the examination: what was looked at, how it is, and what follows."""

    subject: str
    verdict: Verdict
    sentence: str

    def __str__(self) -> str:
        return f"{self.verdict.value:6}  {self.subject}: {self.sentence}"


def to_dict(findings: Sequence[Finding]) -> dict[str, Any]:
    """For --json: the findings, and whether none is of something broken."""
    return {
        "runs": all(finding.verdict is not Verdict.BROKEN for finding in findings),
        "findings": [asdict(finding) for finding in findings],
    }
