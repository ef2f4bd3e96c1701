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

"""The refinefuse command: exit status, one-line errors, JSON that is nothing but JSON."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from refinefuse_ros import __version__
from refinefuse_ros.commands.cli import main

FILES = ["--thermal", "t.mp4", "--rgb", "v.mp4"]


def write_images(folder: Path) -> list[str]:
    for name in ("t.png", "v.png"):
        cv2.imwrite(str(folder / name), np.full((48, 64, 3), 90, np.uint8))
    return ["--thermal", str(folder / "t.png"), "--rgb", str(folder / "v.png"), "--output", str(folder / "fused.png")]


def test_fuse_prints_one_json_object(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["fuse", *write_images(tmp_path), "--json"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert (result["fused"], result["engine"]["model"], captured.err) == (1, "nano", "")
    assert (tmp_path / "fused.png").is_file()


def test_failure_is_one_line_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = write_images(tmp_path)
    (tmp_path / "t.png").unlink()
    assert main(["fuse", *arguments]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path / 't.png'} does not exist; check the path.\n"


def test_what_the_system_refuses_is_one_line_with_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    arguments = write_images(tmp_path)
    monkeypatch.setattr(Path, "write_bytes", fail)
    assert main(["fuse", *arguments]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path / 'fused.png'}: No space left on device.\n"


@pytest.mark.parametrize("arguments", [["--json", "trainer.max_epochs=0"], ["trainer.max_epochs=0", "--json"]])
def test_settings_of_a_training_run_may_follow_an_option(arguments: list[str], capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("lightning", reason="the extra train is not installed")
    config = Path(__file__).parents[2] / "config" / "train" / "nano.yaml"
    assert main(["train", str(config), *arguments]) == 1
    assert "trainer.max_epochs is 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["fuse"],
        ["doctor", "a=b"],
        ["demo", "--seconds", "-3"],
        ["demo", "--seconds", "soon"],
        ["demo", "--runs", "0"],
        ["bench", "--frames", "0"],
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: refinefuse" in capsys.readouterr().err


def test_demo_of_a_folder_that_is_no_source_says_so(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["demo", "--source", str(tmp_path), "--output", str(tmp_path / "out")]) == 1
    assert "give a folder that holds thermal/ and rgb/" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["demo", "--runs", "3"], "--runs is not for a source; leave it out."),
        (["demo", "--bag", "BAG", "--rate", "3"], "--rate is not for a recording; leave it out."),
        (["record", "--output", "BAG", "--rgb-encoding", "jpeg"], "--rgb-encoding is not for a live recording"),
        (["record", "--output", "BAG", "--source", "synthetic", "--fused-topic", "/f"], "--fused-topic is not for"),
        (["record", "--output", "BAG", "--source", "synthetic", "--rgb", "v.mp4"], "--rgb is not for a recording of"),
        (["play", "--bag", "BAG", "--thermal", "t.mp4"], "--thermal is not for a recording; leave it out."),
        (["play", *FILES, "--clock"], "--clock is not for files; leave it out."),
        (["play", *FILES, "--start", "3"], "--start is not for files; leave it out."),
        (["play", *FILES, "--duration", "3"], "--duration is not for files; leave it out."),
        (["play", *FILES, "--thermal-topic", "/t"], "--thermal-topic is not for files; leave it out."),
        (["evaluate", *FILES, "--slop-ms", "3"], "--slop-ms is not for files; leave it out."),
        (["evaluate", *FILES, "--fused", "f.mp4", "--device", "CPU"], "--device is not for results that are there"),
        (["export", "--format", "onnx", "--compute-capability", "8.6"], "A compute capability has no meaning for onnx"),
        (["play"], "Two cameras are needed: give --thermal and --rgb, or --bag."),
        (["evaluate"], "Two cameras are needed: give --thermal and --rgb, or --bag."),
        (["evaluate", "--rgb", "v.mp4"], "Two cameras are needed: give --thermal and --rgb, or --bag."),
    ],
)
def test_options_that_do_not_go_together_are_one_line_and_status_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"error: {sentence}")


def test_version(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"refinefuse {__version__}\n"


def test_evaluate_measures_given_results_and_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = write_images(tmp_path)[:4]
    fused, output = tmp_path / "v.png", tmp_path / "scores.json"
    assert main(["evaluate", *arguments, "--fused", str(fused), "--output", str(output), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(output.read_text())
    assert (printed["count"], printed["metrics"]["ecg"]["mean"]) == (1, 0.0)
