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

"""The doctor tells a working machine from a broken one."""

from __future__ import annotations

import json

import pytest

from refinefuse_ros.commands.cli import main
from refinefuse_ros.commands.doctor import installed
from refinefuse_ros.commands.doctor.findings import Verdict
from refinefuse_ros.engine.base import EngineError

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")


def test_this_machine_runs(capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("torch", reason="the extra export is not installed")
    assert main(["doctor", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    verdicts = {finding["subject"]: finding["verdict"] for finding in result["findings"]}
    assert result["runs"] is True
    sentences = {finding["subject"]: finding["sentence"] for finding in result["findings"]}
    for engine in ("auto", "openvino", "torch"):
        assert "proven to be 0." in sentences[f"engine {engine}"]
    assert "which computes no network: there is nothing to prove" in sentences["engine laplacian"]
    assert (
        verdicts["engine auto"] == verdicts["engine openvino"] == verdicts["ROS 2"] == verdicts["model nano"] == "fine"
    )


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def no_engine(*arguments: object) -> None:
        raise EngineError("No backend can run the model 'nano'.")

    monkeypatch.setattr(installed, "create_engine", no_engine)
    monkeypatch.setattr(installed, "find_spec", lambda name: None)
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", "/no/profile.xml")
    broken = {finding.subject for finding in installed.examine() if finding.verdict is Verdict.BROKEN}
    assert broken == {"ROS 2", "image transport", "engine auto"}
    assert main(["doctor"]) == 1
    captured = capsys.readouterr()
    assert "broken  image transport: the Fast DDS profile /no/profile.xml does not exist" in captured.out
    assert captured.err == "error: The node will not run here; mend what is marked broken.\n"
