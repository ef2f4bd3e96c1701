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

"""Writes config/fuse.yaml and docs/parameters.md from the parameter table, so that neither can drift from the node."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

from refinefuse_ros.nodes.camera_player import PlayerParameters
from refinefuse_ros.nodes.faulty_camera import FaultyCameraParameters
from refinefuse_ros.nodes.fusion_parameters import FusionParameters
from refinefuse_ros.nodes.parameters import ParameterSpec, specs_of
from refinefuse_ros.nodes.viewer import ViewerParameters

YAML_HEAD = """\
# Every parameter of the fusion node at its default. Made by `make docs` from the node's own table: change a copy.
# /** matches the node in any namespace; a bare node name would not.
/**:
  ros__parameters:
"""
DOCS_HEAD = """\
# Parameters

Made by `make docs` from the nodes' own tables. Live parameters take effect when they are set
(`ros2 param set /fusion sync.slop_ms 30.0`); the others when the node is configured again. A value that is not allowed
is refused with a sentence.

Quality of service of every topic can be overridden at start by ROS's own parameters
`qos_overrides.<topic>.subscription.{reliability,durability,history,depth}` (`publisher` for the fused topics).
"""


def fuse_yaml() -> str:
    """The text of config/fuse.yaml."""
    return YAML_HEAD + "".join(_yaml_entry(spec) for spec in specs_of(FusionParameters))


def parameters_markdown() -> str:
    """The text of docs/parameters.md."""
    fusion = _markdown_table("fusion_node", specs_of(FusionParameters))
    others = {
        "camera_player": PlayerParameters,
        "faulty_camera": FaultyCameraParameters,
        "viewer": ViewerParameters,
    }
    return DOCS_HEAD + fusion + "".join(_markdown_table(name, specs_of(table)) for name, table in others.items())


def _yaml_entry(spec: ParameterSpec) -> str:
    live = "live" if spec.live else "at configure"
    comment = textwrap.fill(
        f"{spec.description} Allowed: {spec.allowed}; {live}.", 110, initial_indent="    # ", subsequent_indent="    # "
    )
    return f"{comment}\n    {spec.name}: {json.dumps(spec.default)}\n"


def _markdown_table(node: str, specs: list[ParameterSpec]) -> str:
    rows = [
        f"| `{spec.name}` | `{json.dumps(spec.default)}` | {spec.allowed} | {'yes' if spec.live else ''}"
        f" | {spec.description} |"
        for spec in specs
    ]
    return "\n".join(
        ["", f"## {node}", "", "| name | default | allowed | live | what |", "|---|---|---|---|---|", *rows, ""]
    )


def main() -> int:
    root = Path(__file__).resolve().parents[2]
    (root / "config" / "fuse.yaml").write_text(fuse_yaml())
    (root / "docs" / "parameters.md").write_text(parameters_markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
