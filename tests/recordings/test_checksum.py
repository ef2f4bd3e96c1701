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

"""A recording's checksum is that of its files' bytes in the order of their names."""

from __future__ import annotations

import hashlib
from pathlib import Path

from refinefuse_ros.recordings.checksum import Checksum


def test_it_is_what_sha256sum_says(tmp_path: Path) -> None:
    (tmp_path / "b.mcap").write_bytes(b"b" * 3_000_000)
    (tmp_path / "a.yaml").write_bytes(b"a")
    (tmp_path / "folder").mkdir()
    with Checksum(tmp_path) as checksum:
        assert checksum.result() == hashlib.sha256(b"a" + b"b" * 3_000_000).hexdigest()
    with Checksum(tmp_path / "a.yaml") as checksum:
        assert checksum.result() == hashlib.sha256(b"a").hexdigest()


def test_it_is_given_up_at_the_end_of_its_block(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)  # a hole, which would take half an hour to read
    with Checksum(tmp_path):
        pass
