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

"""What README and docs tell people to type is accepted as it is typed; what can be run quickly does what it says."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from refinefuse_ros.commands.cli import build_parser
from refinefuse_ros.image.video import Mp4Writer, VideoReader
from refinefuse_ros.recordings.making import write_bag

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "models/README.md", *ROOT.glob("docs/*.md")])


def commands_to_type(document: Path) -> Iterator[list[str]]:
    """The words of each `refinefuse` command in the document's blocks."""
    text = document.read_text().replace("\\\n", " ")
    for line in re.findall(r"^ {4,}(?:\$ )?(\S.*)$", text, re.MULTILINE):
        if "refinefuse " in line:
            for command in line.partition(" # ")[0].split("&&"):
                words = shlex.split(command)
                if words and Path(words[0]).name == "refinefuse":
                    yield words[1:]


def commands_in_prose(document: Path) -> Iterator[list[str]]:
    """The words of each command that a sentence names, whole or not."""
    for span in re.findall(r"`(?:refinefuse )([^`]+)`", document.read_text()):
        yield shlex.split(span)


def options_of(verb: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args([verb, "--help"])
    assert ended.value.code == 0, f"there is no verb {verb}"
    return set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_is_accepted_as_it_is_typed(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in commands_to_type(document):
        try:
            options, rest = build_parser().parse_known_args(words)
        except SystemExit:
            pytest.fail(f"refinefuse {shlex.join(words)}: {capsys.readouterr().err}")
        assert [word for word in rest if words[0] != "train" or "=" not in word] == [], words
        assert callable(options.run)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_option_that_is_named_exists(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb, *words in commands_in_prose(document):
        unknown = {word.partition("=")[0] for word in words if word.startswith("--")} - options_of(verb, capsys)
        assert not unknown, f"refinefuse {verb} has no {unknown}"


def test_the_documents_name_commands_enough_for_this_to_be_a_test() -> None:
    assert sum(len(list(commands_to_type(document))) for document in DOCUMENTS) > 30
    assert sum(len(list(commands_in_prose(document))) for document in DOCUMENTS) > 10


def test_what_pip_is_told_to_install_is_this_folder_with_extras_that_exist() -> None:
    setup = ast.parse((ROOT / "setup.py").read_text())
    call = next(node.value for node in setup.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call))
    extras = {key.value for keyword in call.keywords if keyword.arg == "extras_require" for key in keyword.value.keys}
    assert {"ros", "train", "report"} <= extras
    for path in (*DOCUMENTS, *(ROOT / "refinefuse_ros").rglob("*.py")):
        text = path.read_text()
        assert "refinefuse_ros[" not in text, f"{path} names a package that is not published"
        for named in re.findall(r"pip install[^`\n]*\.\[([^\]]+)\]", text):
            assert set(named.split(",")) <= extras, f"{path} names an extra that does not exist: {named}"


@pytest.fixture
def checkout(tmp_path: Path, few_pairs) -> Path:
    """A folder in which the README's commands find what they name."""
    (tmp_path / ".venv/bin").mkdir(parents=True)
    command = tmp_path / ".venv/bin/refinefuse"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m refinefuse_ros.commands.cli "$@"\n')
    command.chmod(0o755)
    shutil.copytree(ROOT / "config", tmp_path / "config")
    for folder in ("thermal", "rgb"):
        (tmp_path / "FOLDER" / folder).mkdir(parents=True)
    for camera, path in (("thermal", "t.mp4"), ("rgb", "v.mp4")):
        with Mp4Writer(tmp_path / path, 25.0) as writer:
            for pair in few_pairs(3):
                writer.write(pair.rgb if camera == "rgb" else np.dstack([pair.thermal] * 3))
        shutil.copy(tmp_path / path, tmp_path / "FOLDER" / camera / "clip.mp4")
    write_bag(few_pairs(3), tmp_path / "BAG")
    return tmp_path


def typed(checkout: Path, start: str) -> subprocess.CompletedProcess[str]:
    """Runs the README's one line that begins so, as it stands there."""
    (line,) = (line.strip() for line in (ROOT / "README.md").read_text().splitlines() if line.strip().startswith(start))
    return subprocess.run(
        ["bash", "-c", line],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_the_readmes_commands_for_videos_of_your_own_do_what_they_say(checkout: Path) -> None:
    for start, output in (("fuse --thermal FOLDER", "fused/clip.mp4"), ("fuse --thermal t.mp4", "fused.mp4")):
        done = typed(checkout, f".venv/bin/refinefuse {start}")
        assert done.returncode == 0, done.stderr
        assert len(list(VideoReader(checkout / output))) == 3
    done = typed(checkout, ".venv/bin/refinefuse evaluate --thermal FOLDER")
    assert done.returncode == 0, done.stderr
    assert "3 pairs fused by nano" in done.stdout
    assert "flicker" in done.stdout


def test_the_readmes_commands_for_recordings_do_what_they_say(checkout: Path) -> None:
    pytest.importorskip("jinja2", reason="the extra report is not installed")
    pytest.importorskip("plotly", reason="the extra report is not installed")
    done = typed(checkout, ".venv/bin/refinefuse evaluate --bag BAG --model nano --model base --report")
    assert done.returncode == 0, done.stderr
    assert (checkout / "verdict.html").stat().st_size > 1_000_000
    done = typed(checkout, ".venv/bin/refinefuse evaluate --bag BAG --gate")
    assert done.returncode == 1  # a bag of three pairs has fewer than the gate asks for
    assert "config/gate.yaml allows less than was measured" in done.stderr


def test_the_readmes_doctor_answers(checkout: Path) -> None:
    done = typed(checkout, ".venv/bin/refinefuse doctor")
    assert done.returncode in (0, 1)  # this machine's own health is not the README's
    assert "engine" in done.stdout
    assert "Traceback" not in done.stderr
