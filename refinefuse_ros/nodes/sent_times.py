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

"""The file by which a player tells a recorder on the same machine when it published each RGB stamp of each round."""

from __future__ import annotations

import json
from pathlib import Path

from refinefuse_ros.stream.delivery import Timed
from refinefuse_ros.writing import write_whole


def write_sent_times(path: Path, rounds: list[list[Timed]]) -> None:
    """Write the rounds, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    write_whole(path, json.dumps(rounds).encode())


def read_sent_times(path: Path) -> list[list[Timed]]:
    """The rounds that `write_sent_times` wrote.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is none of these.
    """
    return [[Timed(*frame) for frame in sent] for sent in json.loads(path.read_text())]
