# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os

from refinefuse_ros.machine import resident_mib


def test_memory_is_that_of_the_process() -> None:
    assert 10 < resident_mib(os.getpid()) < 10_000
    assert resident_mib(2**22 + 1) is None  # above the kernel's highest process id
