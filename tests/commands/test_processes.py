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

"""Starting nodes: their parameters reach them as they are, and what one has said of its end is not said twice."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from refinefuse_ros.commands import processes
from refinefuse_ros.commands.cli import main
from refinefuse_ros.commands.demo.running import _Progress
from refinefuse_ros.commands.processes import ProcessError, choose_domain, environment_of, node_command, run_foreground
from refinefuse_ros.nodes import rerun_viewer


@pytest.mark.parametrize("value", ["a b", "true", "图 ü 😀", 'a"b\\c', "x: [1", True, 3, 2.5])
def test_a_parameter_reaches_the_node_as_it_is(value: object):
    *_, option, rule = node_command("camera_player", {"source": value})
    name, _, text = rule.partition(":=")
    assert (option, name, yaml.safe_load(text)) == ("-p", "source", value)


def test_a_node_may_have_another_name():
    assert node_command("faulty_camera", {}, name="left")[-2:] == ["-r", "__node:=left"]


def test_nodes_on_a_domain_of_their_own_are_not_where_others_are(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    domains = {choose_domain() for _ in range(2000)}
    assert domains <= set(range(1, 102)) - {7}
    assert environment_of(9)["ROS_DOMAIN_ID"] == "9"


@pytest.mark.parametrize("verb", [["soak"], ["doctor", "--live"]])
def test_a_verb_that_speaks_ros_itself_says_where_it_is_missing(
    verb: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(processes, "find_spec", lambda name: None)
    assert main(verb) == 1
    assert capsys.readouterr().err.startswith("error: rclpy is missing: source a ROS 2 install")


def test_a_node_that_ends_well_is_success():
    run_foreground([sys.executable, "-c", "pass"])


def test_a_failed_node_has_said_why_and_gives_its_status():
    with pytest.raises(SystemExit) as ended:
        run_foreground([sys.executable, "-c", "raise SystemExit(3)"])
    assert ended.value.code == 3


def test_a_killed_node_is_named():
    with pytest.raises(ProcessError, match="was ended by signal 9"):
        run_foreground(["sh", "-c", "kill -9 $$"])


def test_what_is_no_line_of_the_recorders_does_not_hide_its_end():
    with subprocess.Popen(["printf", r'{"final": false}\nsaid by a library\n{"final": true}\n'], stdout=-1) as recorder:
        progress = _Progress(recorder)
        assert progress.ended.wait(10)
    assert progress.latest == {"final": True}


@pytest.mark.parametrize("command", [["view", "--save", "a.rrd"], ["demo", "--view"]])
def test_a_viewer_that_is_not_installed_is_one_sentence(
    command: list[str], tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rerun_viewer, "find_spec", lambda name: None)
    assert main(command) == 1
    assert capsys.readouterr().err.endswith("install the extra view: pip install '.[view]'.\n")
