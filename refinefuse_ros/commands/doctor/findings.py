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
