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

"""Which other processors a processor is held to by CI."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci/instruction_sets.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("instruction_sets", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("flags", "limits"),
    [
        ("fma avx2", []),
        ("avx2 avx512f avx512_vnni", ["AVX2"]),
        ("avx2 avx512f avx512_vnni avx512_bf16", ["AVX2", "AVX512_CORE_VNNI"]),
        ("avx2 avx512f avx512_vnni amx_tile", ["AVX2", "AVX512_CORE_VNNI"]),
        ("asimd asimdhp", []),
    ],
)
def test_only_what_a_processor_has_can_be_taken_from_it(script: ModuleType, flags: str, limits: list[str]) -> None:
    assert script.limits_below(flags.split()) == limits


def test_each_pass_is_a_process_under_its_limit(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "flags_here", lambda: {"avx512f", "avx512_bf16"})
    code = "import os, sys; sys.exit(7 if os.environ['ONEDNN_MAX_CPU_ISA'] == 'AVX512_CORE_VNNI' else 0)"
    run = script.subprocess.run
    monkeypatch.setattr(script.subprocess, "run", lambda command, env: run([command[0], "-c", code], env=env))
    assert script.main() == 7
