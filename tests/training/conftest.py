# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Small folders of pairs to train on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest


def write_pair(
    root: Path, name: str, size: tuple[int, int] = (48, 40), folders: tuple[str, str] = ("thermal", "rgb")
) -> None:
    """A thermal image and its visible partner, which is the thermal one's negative in grey."""
    random = np.random.default_rng(len(name))
    thermal = random.integers(0, 256, size, dtype=np.uint8)
    for folder, pixels in zip(folders, (thermal, cv2.merge([255 - thermal] * 3)), strict=True):
        (root / folder).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / folder / f"{name}.png"), pixels)


@pytest.fixture(name="write_pair")
def write_pair_fixture() -> Callable[..., None]:
    return write_pair
