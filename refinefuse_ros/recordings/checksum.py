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

"""The SHA-256 of a recording, made while it is being read."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

_BLOCK_BYTES: Final = 1 << 20


class Checksum:
    """SHA-256 of a file's bytes, or of those of all files of a folder in the order of their names, by a thread.

    A context manager: what is not made by its end is given up.
    """

    def __init__(self, path: Path) -> None:
        self._given_up = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._digest = self._pool.submit(self._read, path)

    def result(self) -> str:
        """The digest, in hexadecimal.

        Raises:
            OSError: a file cannot be read.
        """
        return self._digest.result()

    def __enter__(self) -> Checksum:
        return self

    def __exit__(self, *error: object) -> None:
        self._given_up.set()
        self._pool.shutdown()

    def _read(self, path: Path) -> str:
        digest = hashlib.sha256()
        files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
        for file in files:
            with file.open("rb") as content:
                while (block := content.read(_BLOCK_BYTES)) and not self._given_up.is_set():
                    digest.update(block)
        return digest.hexdigest()
