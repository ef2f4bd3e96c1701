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

"""Settings come typed out of YAML; what cannot be meant is named in one sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from refinefuse_ros.settings import ConfigError, from_mapping, read_mapping


@dataclass(frozen=True)
class Part:
    size: int = 1


@dataclass(frozen=True)
class Whole:
    name: str
    parts: dict[str, Part] = field(default_factory=dict)
    share: float | None = None
    folder: Path = Path()


def test_values_take_their_fields_types() -> None:
    values: dict[str, Any] = {"name": "a", "parts": {"left": {"size": 2}, 3: {}}, "share": "1e-3", "folder": "x/y"}
    assert from_mapping(Whole, values) == Whole("a", {"left": Part(2), "3": Part()}, 0.001, Path("x/y"))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "setting at.name is missing"),
        ({"name": "a", "parts": {"left": {"sise": 2}}}, "no setting at.parts.left.sise; known there: size"),
        ({"name": "a", "parts": ["left"]}, r"at.parts is \['left'\]; give its settings as key: value"),
        ({"name": "a", "share": True}, "at.share is True; give a number"),
        ({"name": 5}, "at.name is 5; give text"),
    ],
)
def test_a_wrong_value_is_named_with_its_whole_key(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        from_mapping(Whole, values, "at.")


def test_a_type_can_have_its_own_reader() -> None:
    whole = from_mapping(Whole, {"name": "a", "parts": {"left": 7}}, readers={Part: lambda value, key: Part(value)})
    assert whole.parts == {"left": Part(7)}


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "b: {a: 1, a: 2}\n"])
def test_a_key_that_is_there_twice_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"c\.yaml is not YAML \(the key a is there twice"):
        read_mapping(tmp_path / "c.yaml", "the example")
