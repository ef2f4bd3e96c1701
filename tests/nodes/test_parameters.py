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

"""The parameter table: typed, judged in sentences, and the one source of the YAML file and the documentation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from refinefuse_ros.image.sensor_view import Crop, SensorView
from refinefuse_ros.nodes.fusion_parameters import (
    FusionParameters,
    NormalizationParameters,
    RgbParameters,
    ThermalParameters,
)
from refinefuse_ros.nodes.parameter_docs import fuse_yaml, parameters_markdown
from refinefuse_ros.nodes.parameters import ParameterError, parameter, specs_of

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Table:
    count: int = parameter(3, "How many.", between=(1, 9))
    ratio: float = parameter(0.5, "How much.", unit="ms", between=(0, 1))
    mode: str = parameter("a", "Which.", choices=("a", "b"))
    on: bool = parameter(True, "Whether.")


@dataclass(frozen=True)
class Outer:
    inner: Table = Table()
    wait_ms: float | None = parameter(None, "How long.", unit="ms", between=(0, 9))
    sharp: bool = parameter(False, "Whether sharp.", name="inner.sharp")


SPECS = {spec.name: spec for spec in specs_of(Table)}


@pytest.mark.parametrize(
    ("name", "value", "checked"),
    [("count", 9, 9), ("ratio", 1, 1.0), ("ratio", 0.25, 0.25), ("mode", "b", "b"), ("on", False, False)],
)
def test_allowed_values_come_back_in_their_type(name: str, value: object, checked: object) -> None:
    result = SPECS[name].checked(value)
    assert result == checked
    assert type(result) is type(SPECS[name].default)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("count", 10, "The parameter count cannot be 10: it must be a whole number from 1 to 9."),
        ("count", 2.5, "The parameter count cannot be 2.5: it must be a whole number from 1 to 9."),
        ("count", True, "The parameter count cannot be True: it must be a whole number from 1 to 9."),
        ("ratio", -0.1, "The parameter ratio cannot be -0.1: it must be a number from 0 to 1 ms."),
        ("ratio", float("nan"), "The parameter ratio cannot be nan: it must be a number from 0 to 1 ms."),
        ("mode", "c", "The parameter mode cannot be 'c': it must be one of a, b."),
        ("on", 1, "The parameter on cannot be 1: it must be true or false."),
    ],
)
def test_others_are_refused_with_a_sentence(name: str, value: object, sentence: str) -> None:
    with pytest.raises(ParameterError) as refused:
        SPECS[name].checked(value)
    assert str(refused.value) == sentence


def test_a_number_may_be_left_to_the_node() -> None:
    (wait,) = (spec for spec in specs_of(Outer) if spec.name == "wait_ms")
    assert wait.default == "auto"
    assert [wait.checked(value) for value in ("auto", 3, 2.5)] == [None, 3.0, 2.5]
    with pytest.raises(ParameterError, match="cannot be 'soon': it must be auto, or a number from 0 to 9 ms"):
        wait.checked("soon")


def test_descriptors_carry_description_and_range() -> None:
    descriptor = SPECS["count"].descriptor()
    assert descriptor.description == "How many."
    assert (descriptor.integer_range[0].from_value, descriptor.integer_range[0].to_value) == (1, 9)
    assert SPECS["ratio"].descriptor().floating_point_range[0].to_value == 1.0


def test_values_that_contradict_one_another_are_refused() -> None:
    with pytest.raises(ValueError, match="fixed range"):
        NormalizationParameters(fixed_low=500.0, fixed_high=400.0)


def test_a_camera_is_viewed_as_its_parameters_say() -> None:
    thermal = ThermalParameters(encoding="16SC1", big_endian="true", crop="0 2 0 0", rotate=90, flip="vertical")
    assert thermal.view() == SensorView("thermal", "16SC1", True, crop=Crop(0, 2, 0, 0), rotate=90, flip="vertical")
    assert RgbParameters(bits=12).view() == SensorView("rgb", bits=12)
    assert ThermalParameters().view() == SensorView("thermal")


@pytest.mark.parametrize(
    ("table", "values", "sentence"),
    [
        (ThermalParameters, {"crop": "all"}, r"The parameter thermal\.crop cannot be used: 'all' is no part"),
        (ThermalParameters, {"encoding": "bayer_rggb8"}, r"thermal\.encoding cannot be 'bayer_rggb8'"),
        (RgbParameters, {"encoding": "32FC1"}, r"rgb\.encoding cannot be '32FC1'"),
        (RgbParameters, {"rotate": 45}, r"rgb\.rotate cannot be 45"),
    ],
)
def test_a_view_that_makes_no_sense_is_refused(table: type, values: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        table(**values)


def test_a_bare_true_of_yaml_is_a_choice_where_true_is_one() -> None:
    spec = next(spec for spec in specs_of(ThermalParameters) if spec.name == "big_endian")
    assert (spec.checked(True), spec.checked("auto")) == ("true", "auto")
    assert spec.descriptor().dynamic_typing


def test_a_group_has_its_name_before_those_of_its_rows() -> None:
    assert [spec.name for spec in specs_of(Outer)] == [
        *("inner.count", "inner.ratio", "inner.mode", "inner.on"),
        "wait_ms",
        "inner.sharp",
    ]


def test_every_default_is_allowed() -> None:
    for spec in specs_of(FusionParameters):
        assert spec.checked(spec.default) == (None if spec.default == "auto" and spec.auto else spec.default)


def test_yaml_and_documentation_are_those_of_the_table() -> None:
    assert (ROOT / "config/fuse.yaml").read_text() == fuse_yaml(), "run 'make docs'"
    assert (ROOT / "docs/parameters.md").read_text() == parameters_markdown(), "run 'make docs'"
    values = yaml.safe_load(fuse_yaml())["/**"]["ros__parameters"]
    assert values == {spec.name: spec.default for spec in specs_of(FusionParameters)}


def test_the_scale_of_a_named_camera_serves_until_one_is_given() -> None:
    assert ThermalParameters().normalization_config().scale == 0
    assert ThermalParameters(camera="tau").normalization_config().scale == 0.04
    assert ThermalParameters(camera="tau", scale=0.4).normalization_config().scale == 0.4
    assert ThermalParameters(polarity="black_hot").normalization_config().black_hot
