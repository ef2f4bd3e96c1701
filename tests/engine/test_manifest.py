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

"""A manifest comes back as it was written, refuses what is no manifest, and names the fields that differ."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinefuse_ros.engine.manifest import Comparison, EngineKey, Manifest, ManifestError, differences

KEY = EngineKey(
    model="nano",
    source_sha256="ab" * 32,
    size="640x480",
    precision="fp16",
    backend="tensorrt",
    backend_version="10.3.0",
    gpu="Orin",
    compute_capability="8.7",
    options="one static size",
    code_version="0.1.0",
)
MANIFEST = Manifest(KEY, "ef" * 32, 8, "cd" * 32, "2026-11-20T12:00:00+00:00", 12.5)
NAMES = [field.name for field in fields(EngineKey)]


@given(st.builds(EngineKey, **dict.fromkeys(NAMES, st.text())), st.integers(1), st.floats(0, 1e6))
def test_it_comes_back_as_it_was_written(key: EngineKey, multiple: int, seconds: float) -> None:
    manifest = replace(MANIFEST, key=key, size_multiple=multiple, build_seconds=seconds)
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_what_became_known_later_comes_back_too() -> None:
    comparison = Comparison("torch in fp32", "openvino in int8", "4 pairs", 14, 0.139, {"vif": (1.05, 1.04)})
    manifest = replace(MANIFEST, comparison=comparison, gpu_memory_bytes=123, proof_mean_difference=0.004)
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_a_manifest_from_before_there_were_comparisons_is_read() -> None:
    content = json.loads(MANIFEST.to_json())
    for field in ("comparison", "gpu_memory_bytes", "proof_mean_difference"):
        del content[field]
    assert Manifest.from_json(json.dumps(content)) == MANIFEST


@pytest.mark.parametrize("comparison", [3, [], {}, {"metrics": 3}, {"metrics": {"vif": [1]}}])
def test_a_damaged_comparison_is_refused(comparison: object) -> None:
    with pytest.raises(ManifestError):
        Manifest.from_json(json.dumps(json.loads(MANIFEST.to_json()) | {"comparison": comparison}))


@pytest.mark.parametrize("field", NAMES)
def test_every_field_of_the_key_makes_another_engine(field: str) -> None:
    other = replace(KEY, **{field: "something else"})
    assert other.name != KEY.name
    assert differences(other, KEY).startswith(f"{field} is something else and not ")


def test_the_difference_of_equal_keys_is_empty() -> None:
    assert differences(KEY, replace(KEY)) == ""


def test_hashes_are_shortened_for_people() -> None:
    assert differences(replace(KEY, source_sha256="ef" * 32), KEY) == (
        "source_sha256 is efefefefefef... and not abababababab..."
    )


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '{"key": 3}', '{"key": {}}', "{}"])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ManifestError, match="no engine manifest"):
        Manifest.from_json(text)


@pytest.mark.parametrize(("field", "value"), [("size_multiple", "8"), ("size_multiple", True), ("built_at", None)])
def test_values_of_another_type_are_refused(field: str, value: object) -> None:
    content = json.loads(MANIFEST.to_json()) | {field: value}
    with pytest.raises(ManifestError, match=f"field {field} is "):
        Manifest.from_json(json.dumps(content))


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(ManifestError):
        Manifest.from_json(text)


@pytest.mark.parametrize("multiple", [0, -8])
def test_a_size_multiple_that_divides_nothing_is_refused(multiple: int) -> None:
    with pytest.raises(ManifestError, match="size_multiple"):
        Manifest.from_json(replace(MANIFEST, size_multiple=multiple).to_json())
