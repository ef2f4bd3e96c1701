# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Progress of long work, for whoever watches the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")


def progress(items: Iterable[Item], description: str, total: int, quiet: bool) -> Iterable[Item]:
    """The items, with a progress bar on stderr unless `quiet`, or where that is no terminal."""
    console = Console(stderr=True)
    hidden = quiet or not console.is_terminal
    return track(items, description, total=total, console=console, transient=True, disable=hidden)
