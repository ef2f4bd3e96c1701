# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
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
