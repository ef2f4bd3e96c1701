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

"""How much shared memory Fast DDS gives a process for what it sends: images beyond that are lost on the way.

Whether a process was started with a transport profile cannot be asked for. But each of its participants has a segment
in /dev/shm, and a lock on the file beside it, which the kernel lists with the process's id.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

SEGMENTS: Final = Path("/dev/shm")
LOCKS: Final = Path("/proc/locks")
_NAME, _LOCK = "fastrtps_", "_el"
# A Fast DDS GUID begins with the vendor (2 bytes), the host (2) and the low half of the process's id.
_HOST, _PROCESS = slice(2, 4), slice(4, 6)


def same_machine(gid: Sequence[int], own_gid: Sequence[int]) -> bool:
    """Whether two endpoints, by their global ids, are on one machine."""
    return bytes(gid)[_HOST] == bytes(own_gid)[_HOST]


def segment_bytes(gid: Sequence[int], segments: Path = SEGMENTS, locks: Path = LOCKS) -> int | None:
    """The largest segment of the process, on this machine, to which an endpoint belongs; None where none is found.

    Args:
        gid: the endpoint's global id.
        segments, locks: where the segments and the kernel's list of locks are.
    """
    process = int.from_bytes(bytes(gid)[_PROCESS], "little")
    sizes = [size for pid, size in _sizes(segments, locks) if pid & 0xFFFF == process]
    return max(sizes, default=None)


def _sizes(segments: Path, locks: Path) -> list[tuple[int, int]]:
    """Each segment's process and size in bytes."""
    owners: dict[int, int] = {}
    try:
        for line in locks.read_text().splitlines():
            words = line.split()  # 1: FLOCK ADVISORY WRITE 7834 00:1b:119088 0 EOF
            if len(words) >= 6 and words[1] == "FLOCK":
                owners[int(words[5].rpartition(":")[2])] = int(words[4])
        files = list(segments.glob(f"{_NAME}*{_LOCK}"))
    except (OSError, ValueError):
        return []
    found = []
    for lock in files:
        try:
            pid = owners.get(os.stat(lock).st_ino)
            if pid is not None:
                found.append((pid, os.stat(lock.with_name(lock.name.removesuffix(_LOCK))).st_size))
        except OSError:  # it has gone
            continue
    return found
