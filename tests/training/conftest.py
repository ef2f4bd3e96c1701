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
