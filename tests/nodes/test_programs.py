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

"""The installed programs are the nodes, and Ctrl-C ends one that is still being imported as one that runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from refinefuse_ros.nodes import programs

NODES = Path(programs.__file__).parent
SCRIPTS = re.findall(r'"(\w+) = refinefuse_ros\.nodes\.(\w+):(\w+)"', (NODES.parents[1] / "setup.py").read_text())


def test_every_node_with_a_main_is_installed_under_its_name() -> None:
    main = re.compile(r"^def main\(\) -> int:\n(?:    .*\n)*?    return run_node", re.MULTILINE)
    assert {path.stem for path in NODES.glob("*.py") if main.search(path.read_text())} == {
        name for name, module, function in SCRIPTS if (module, function) == ("programs", name)
    }


def test_ctrl_c_during_the_imports_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(module: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(programs, "import_module", interrupted)
    assert [getattr(programs, name)() for name, _, _ in SCRIPTS] == [0] * len(SCRIPTS)
