# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
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
