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

"""Parameter files that a node was started with and that say nothing to it: ROS passes over them without a word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml


def unheeded_files(arguments: Sequence[str], node: str) -> list[str]:
    """A sentence for each `--params-file` of a command line that holds parameters of other nodes alone.

    Args:
        arguments: the process's.
        node: the node's fully qualified name.
    """
    sentences = []
    for option, path in pairwise(arguments):
        names = list(_nodes_in(Path(path))) if option == "--params-file" else []
        if names and not any(_matches(name, node) for name in names):
            listed = ", ".join(names)
            sentences.append(f"{path} has parameters for {listed} and none for {node}; write '/**' or '{node}' there.")
    return sentences


def _nodes_in(path: Path) -> Iterator[str]:
    """The names, with their wildcards, for which a file holds parameters; none of a file that cannot be read."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError):  # rcl refuses it, and says so
        return
    yield from _nodes_of(content, "")


def _nodes_of(content: Any, prefix: str) -> Iterator[str]:
    if not isinstance(content, dict):
        return
    for key, below in content.items():
        if key == "ros__parameters":
            yield prefix
        else:  # a node, or a namespace with nodes in it
            yield from _nodes_of(below, f"{prefix}/{str(key).strip('/')}")


def _matches(name: str, node: str) -> bool:
    """Whether a name speaks of a node: * stands for one part between slashes, ** for any number of them."""
    wildcards = {"**": "(/[^/]+)*", "*": "/[^/]+"}
    parts = (wildcards.get(part, f"/{re.escape(part)}") for part in name.split("/") if part)
    return re.fullmatch("".join(parts), node) is not None
