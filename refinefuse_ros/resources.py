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

"""Finding the files that ship beside the code (models/, config/, launch/), wherever it is installed; and hashes."""

from __future__ import annotations

import hashlib
from pathlib import Path

PACKAGE = "refinefuse_ros"
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""The environment variables by which Fast DDS is given a profile."""


def shared_path(relative: str) -> Path:
    """The shipped file or folder at `relative` (such as "models" or "config/fuse.yaml").

    A source checkout (or an editable install) keeps it beside the package; pip and colcon install it under
    <prefix>/share/refinefuse_ros, with the package somewhere below the same prefix.

    Raises:
        FileNotFoundError: it is in none of these places.
    """
    package_dir = Path(__file__).resolve().parent
    candidates = [package_dir.parent / relative]
    candidates += [prefix / "share" / PACKAGE / relative for prefix in package_dir.parents]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise FileNotFoundError(
        f"{relative} is not installed with {PACKAGE} (looked beside {package_dir} and in its prefixes'"
        f" share/{PACKAGE}); reinstall the package."
    )


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
