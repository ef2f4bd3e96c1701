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

"""Runs the tests that compile engines once more for each kind of x86 processor that this one can be held to.

What OpenVINO computes, and in what precision, depends on the instructions of the processor. Its oneDNN reads the limit
when it is loaded, so every pass is a process of its own. On a processor that has nothing beyond a limit the pass would
be the one that has just been made: it is left out.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

# The limits, each with what a processor has beyond it.
LIMITS = {
    "AVX2": {"avx512f", "avx_vnni"},
    "AVX512_CORE_VNNI": {"avx512_bf16", "avx512_fp16", "amx_tile"},
}
TESTS = ["tests/engine", "tests/commands/test_exporting.py", "-m", "instructions", "-q"]


def limits_below(flags: Collection[str]) -> list[str]:
    """The limits that change something on a processor with these flags of /proc/cpuinfo."""
    return [limit for limit, beyond in LIMITS.items() if beyond & set(flags)]


def flags_here() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith("flags") for flag in line.partition(":")[2].split()}


def main() -> int:
    limits = limits_below(flags_here())
    if not limits:
        print("instruction sets: this processor has nothing beyond those limits; no other pass is made")
    for limit in limits:
        print(f"instruction sets: the engines under ONEDNN_MAX_CPU_ISA={limit}", flush=True)
        environment = os.environ | {"ONEDNN_MAX_CPU_ISA": limit}
        failed = subprocess.run([sys.executable, "-m", "pytest", *TESTS], env=environment).returncode
        if failed:
            return failed
    return 0


if __name__ == "__main__":
    sys.exit(main())
