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

"""`refinefuse evaluate`: a gate fails it after the results are written, options that go with nothing are refused."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from refinefuse_ros.commands.cli import main
from refinefuse_ros.recordings.making import write_bag


@pytest.fixture
def bag(tmp_path: Path, few_pairs) -> list[str]:
    write_bag(few_pairs(4), tmp_path / "bag")
    return ["evaluate", "--bag", str(tmp_path / "bag")]


def gate(path: Path, content: str) -> str:
    path.write_text(content)
    return str(path)


def test_two_models_and_the_command_are_in_the_json(bag: list[str], tmp_path: Path, capsys) -> None:
    arguments = [*bag, "--model", "nano", "--model", "base", "--json", "--output", str(tmp_path / "o.json")]
    assert main(arguments) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "o.json").read_text())
    assert (printed["label"], [other["label"] for other in printed["compared"]]) == ("nano", ["base"])
    assert printed["provenance"]["command"] == shlex.join(["refinefuse", *arguments])
    assert printed["bag"]["rgb"]["topic"] == "/rgb/image_raw"


def test_a_gate_that_is_not_passed_is_status_1_with_the_results_written(bag: list[str], tmp_path: Path, capsys) -> None:
    written = ["--output", str(tmp_path / "o.json"), "--report", str(tmp_path / "o.html")]
    strict = gate(tmp_path / "strict.yaml", "metrics: {vif: {min: 9}, ecg: {max: 100}}\nrecording: {min_pairs: 5}\n")
    assert main([*bag, *written, "--gate", strict]) == 1
    sentences = capsys.readouterr().err.splitlines()[-3:]
    assert "VIF" in sentences[0]
    assert "pairs" in sentences[1]
    assert sentences[2] == f"error: {strict} allows less than was measured in 2 point(s), named above."
    assert (tmp_path / "o.json").is_file()
    assert (tmp_path / "o.html").is_file()
    assert main([*bag, "--motion", "--gate", gate(tmp_path / "moving.yaml", "metrics: {ms2r: {min: 0}}\n")]) == 0
    assert main([*bag, "--gate", gate(tmp_path / "mild.yaml", "recording: {min_pairs: 4}\n")]) == 0


def test_a_gate_that_cannot_be_read_is_said_before_the_work(tmp_path: Path, capsys) -> None:
    broken = gate(tmp_path / "gate.yaml", "metrics: {beauty: {min: 1}}\n")
    assert main(["evaluate", "--bag", "nowhere", "--gate", broken]) == 1
    error = capsys.readouterr().err
    assert "beauty" in error
    assert "nowhere" not in error


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--thermal", "t", "--rgb", "r", "--video", "v.mp4"], "--video is not for files; leave it out."),
        (["--thermal", "t", "--rgb", "r", "--fused-topic", "/f"], "--fused-topic is not for files; leave it out."),
        (["--bag", "b", "--fused", "f"], "--fused is not for a recording; leave it out."),
    ],
)
def test_what_does_not_go_together_is_one_sentence(arguments: list[str], sentence: str, capsys) -> None:
    assert main(["evaluate", *arguments]) == 2
    assert capsys.readouterr().err == f"error: {sentence}\n"


def test_a_bag_that_is_not_there_is_one_sentence(capsys) -> None:
    assert main(["evaluate", "--bag", "nowhere"]) == 1
    sentence = "nowhere does not exist; give a bag's folder, or its .mcap or .db3 file."
    assert capsys.readouterr().err == f"error: {sentence}\n"


@pytest.mark.parametrize("arguments", [["--workers", "0"], ["--workers", "2", "--scheduler", "tcp://localhost:1"]])
def test_wrong_usage_is_status_2(arguments: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", "--bag", "b", *arguments])
    assert stopped.value.code == 2
