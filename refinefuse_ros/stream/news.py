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

"""What of a status belongs into the log: that it became bad, what it became, and that it is good again; each once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from refinefuse_ros.stream.health import Judgement, Level
from refinefuse_ros.stream.timing import NS_PER_S

# What comes and goes is said again only so much later.
QUIET_NS: Final = 30 * NS_PER_S
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")


@dataclass
class _Subject:
    """A status as it was last said.

    Attributes:
        bad_for: judgements in a row that were bad.
        saying: what is being said of it, without its numbers; empty while it is good.
    """

    bad_for: int = 0
    saying: str = ""


class News:
    """Chooses what to log of statuses that are judged again and again. Not thread-safe."""

    def __init__(self) -> None:
        self._subjects: dict[str, _Subject] = {}
        self._said_ns: dict[tuple[str, str], int] = {}

    def of(self, subject: str, judgement: Judgement, now_ns: int, patience: int = 1) -> Judgement | None:
        """What to log of a status, if anything.

        Args:
            subject: the status, such as "frames".
            judgement: how it is now.
            now_ns: by a clock that does not stand still.
            patience: how often in a row it must be bad before that is said.

        Returns:
            The judgement where it is news: bad, and not said before but with other numbers; or good after bad was said.
        """
        known = self._subjects.setdefault(subject, _Subject())
        if judgement.level not in (Level.WARN, Level.ERROR):
            was_bad, known.bad_for, known.saying = bool(known.saying), 0, ""
            return judgement if was_bad and judgement.level is Level.OK else None
        known.bad_for += 1
        saying = _NUMBER.sub("#", judgement.message)
        if known.bad_for < patience or saying == known.saying:
            return None
        known.saying = saying
        last_ns = self._said_ns.get((subject, saying))
        if last_ns is not None and 0 <= now_ns - last_ns < QUIET_NS:
            return None
        self._said_ns[subject, saying] = now_ns
        return judgement
