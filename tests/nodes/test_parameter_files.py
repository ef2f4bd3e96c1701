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

"""A parameter file that speaks of other nodes alone is named; one that speaks of this node is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from refinefuse_ros.nodes.parameter_files import unheeded_files

PARAMETERS = "ros__parameters: {model: base}"


@pytest.mark.parametrize(
    ("content", "heeded"),
    [
        (f"fusion: {{{PARAMETERS}}}", False),
        (f"other: {{{PARAMETERS}}}\n/**/fusion: {{{PARAMETERS}}}", True),
        (f"/**: {{{PARAMETERS}}}", True),
        (f"/*/fusion: {{{PARAMETERS}}}", True),
        (f"/*: {{{PARAMETERS}}}", False),
        (f"/front/fusion: {{{PARAMETERS}}}", True),
        (f"front: {{fusion: {{{PARAMETERS}}}}}", True),
        (f"/front/fusion2: {{{PARAMETERS}}}", False),
        ("", True),
        ("{", True),  # rcl says what is wrong with it
    ],
)
def test_a_file_for_other_nodes_is_named(tmp_path: Path, content: str, heeded: bool) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text(content)
    said = unheeded_files(
        ["fusion_node", "--ros-args", "-r", "__ns:=/front", "--params-file", str(path)], "/front/fusion"
    )
    assert (said == []) is heeded


def test_the_sentence_says_what_to_write(tmp_path: Path) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text(f"fusion: {{{PARAMETERS}}}")
    assert unheeded_files(["--params-file", str(path)], "/front/fusion") == [
        f"{path} has parameters for /fusion and none for /front/fusion; write '/**' or '/front/fusion' there."
    ]
