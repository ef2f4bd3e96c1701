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

"""Typed parameter tables: dataclasses whose fields carry description, unit and range, declared and checked.

A field's name is the ROS parameter's. A field whose default is a table itself is a group: its rows have the field's
name and a dot before their own.

rclpy's own range check answers "doesn't comply with the range" and refuses 20 where a double is declared; here a
whole number serves as a double, and every refusal names the parameter, the value and what is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

Table = TypeVar("Table")
_KEY = "parameter"
AUTO = "auto"
"""The value of a number that the node finds out for itself; None in its table."""


class ParameterError(ValueError):
    """A parameter's value is not allowed; the message is one sentence."""


@dataclass(frozen=True)
class ParameterSpec:
    """One row of a table.

    Attributes:
        name: the ROS parameter name, such as "sync.slop_ms".
        default: also fixes the type: bool, int, float or str; `AUTO` of an `auto` number, a float.
        description: one sentence.
        unit: such as "ms"; empty for names and counts.
        minimum, maximum: inclusive range of numbers.
        choices: the allowed strings; empty for free text.
        live: whether a change takes effect at once, or only when the node is configured again.
        auto: whether a number may be `AUTO` instead.
    """

    name: str
    default: bool | int | float | str
    description: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False
    auto: bool = False

    @property
    def kind(self) -> type:
        """The type of its values."""
        return float if self.auto else type(self.default)

    @property
    def allowed(self) -> str:
        """What a value may be, in words: for refusals and for the documentation."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        kind = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[self.kind]
        kind = f"{AUTO}, or {kind}" if self.auto else kind
        unit = f" {self.unit}" if self.unit else ""
        if self.minimum is not None and self.maximum is not None:
            return f"{kind} from {self.minimum:g} to {self.maximum:g}{unit}"
        return f"{kind}{unit}"

    def checked(self, value: Any) -> Any:
        """`value` as this parameter's type; None for `AUTO`.

        Raises:
            ParameterError: it has another type, is out of range or not among the choices.
        """
        if self.auto and value == AUTO:
            return None
        kind = self.kind
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is bool and str(value).lower() in self.choices:  # what YAML makes of a bare true
            value = str(value).lower()
        fits = type(value) is kind and (not self.choices or value in self.choices)
        if fits and kind in (int, float):
            fits = (self.minimum is None or value >= self.minimum) and (self.maximum is None or value <= self.maximum)
        if not fits:
            raise ParameterError(f"The parameter {self.name} cannot be {value!r}: it must be {self.allowed}.")
        return value

    def descriptor(self) -> ParameterDescriptor:
        """What `ros2 param describe` and rqt show."""
        constraints = [
            f"allowed: {self.allowed}",
            "live" if self.live else "takes effect at the next configure",
        ]
        described = ParameterDescriptor(
            name=self.name, description=self.description, additional_constraints="; ".join(constraints)
        )
        # So that 20 is as good as 20.0, and true as 'true'.
        described.dynamic_typing = self.kind is float or "true" in self.choices
        if self.minimum is not None and self.maximum is not None:
            if self.kind is int:
                bounds = IntegerRange(from_value=int(self.minimum), to_value=int(self.maximum), step=1)
                described.integer_range = [bounds]
            else:
                described.floating_point_range = [
                    FloatingPointRange(from_value=float(self.minimum), to_value=float(self.maximum))
                ]
        return described


def parameter(
    default: bool | int | float | str | None,
    description: str,
    *,
    unit: str = "",
    between: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    live: bool = False,
    name: str = "",
) -> Any:
    """A dataclass field that is a row of a parameter table.

    Args:
        default: None for a number that is `AUTO` unless somebody sets it.
        name: its ROS name where the field cannot have that.
    """
    low, high = between or (None, None)
    auto = default is None
    spec = ParameterSpec(name, AUTO if auto else default, description, unit, low, high, choices, live, auto)
    return field(default=default, metadata={_KEY: spec})


def specs_of(table: type, prefix: str = "") -> list[ParameterSpec]:
    """The rows of a table and its groups, in their order; `prefix` goes before their names."""
    specs = []
    for row in fields(table):
        if is_dataclass(row.default):
            specs += specs_of(type(row.default), f"{prefix}{row.name}.")
        else:
            spec = row.metadata[_KEY]
            specs.append(replace(spec, name=prefix + (spec.name or row.name)))
    return specs


def _values_of(table: Any, prefix: str = "") -> dict[str, Any]:
    """The values of a table and its groups by their ROS names: what `_table_of` takes."""
    values = {}
    for row in fields(table):
        value = getattr(table, row.name)
        if is_dataclass(row.default):
            values |= _values_of(value, f"{prefix}{row.name}.")
        else:
            values[prefix + (row.metadata[_KEY].name or row.name)] = value
    return values


def _table_of(table: type[Table], values: Mapping[str, Any], prefix: str = "") -> Table:
    """A table of values by their ROS names; raises ValueError where they contradict one another."""
    return table(
        **{
            row.name: _table_of(type(row.default), values, f"{prefix}{row.name}.")
            if is_dataclass(row.default)
            else values[prefix + (row.metadata[_KEY].name or row.name)]
            for row in fields(table)
        }
    )


class DeclaredParameters(Generic[Table]):
    """A table declared on a node: reads it back typed, and judges what somebody wants to set.

    Raises:
        ParameterError: a value given at start (command line, YAML, launch) is not allowed.
    """

    def __init__(self, node: Node, table: type[Table]) -> None:
        self._node = node
        self._table = table
        self._specs = {spec.name: spec for spec in specs_of(table)}
        for spec in self._specs.values():
            try:
                node.declare_parameter(spec.name, spec.default, spec.descriptor())
            except (InvalidParameterTypeException, InvalidParameterValueException):
                spec.checked(node._parameter_overrides[spec.name].value)  # says it in our words
                raise
        self.read()

    def unknown(self) -> list[str]:
        """A sentence for each value given at start whose name is no parameter of this node: it is ignored."""
        sentences = []
        for name in self._node._parameter_overrides:
            if not self._node.has_parameter(name) and not name.startswith("qos_overrides."):
                nearest = get_close_matches(name, self._specs, n=1)
                meant = f"; did you mean {nearest[0]}?" if nearest else ", and is ignored."
                sentences.append(f"The parameter {name} is not known here{meant}")
        return sentences

    def read(self) -> Table:
        """The current values.

        Raises:
            ParameterError: one of them is not allowed (possible only for values given at start).
        """
        return _table_of(self._table, {name: self._value(spec) for name, spec in self._specs.items()})

    def read_live(self, configured: Table) -> Table:
        """`configured` with the current values of those parameters that take effect at once."""
        live = {name: self._value(spec) for name, spec in self._specs.items() if spec.live}
        return _table_of(self._table, _values_of(configured) | live)

    def refusal(self, parameters: Sequence[Parameter]) -> SetParametersResult | None:
        """Why `parameters` cannot be set, or None where they can (parameters of others are not judged)."""
        try:
            changes = {
                candidate.name: self._specs[candidate.name].checked(candidate.value)
                for candidate in parameters
                if candidate.name in self._specs
            }
            _table_of(self._table, _values_of(self.read()) | changes)
        except ValueError as refused:
            return SetParametersResult(successful=False, reason=str(refused))
        return None

    def needing_reconfigure(self, parameters: Sequence[Parameter]) -> list[str]:
        """The names among `parameters` that take effect only when the node is configured again."""
        return [p.name for p in parameters if p.name in self._specs and not self._specs[p.name].live]

    def _value(self, spec: ParameterSpec) -> Any:
        return spec.checked(self._node.get_parameter(spec.name).value)
