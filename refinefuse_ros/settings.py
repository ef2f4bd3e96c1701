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

"""Typed settings out of YAML files: dataclasses, every value brought to its field's type, every wrong one named."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from refinefuse_ros.errors import UserError

Settings = TypeVar("Settings")
Reader = Callable[[Any, str], Any]
"""Makes a value of one type from what YAML gave and its dotted key; raises ConfigError."""

_NO_READERS: Final[Mapping[type, Reader]] = MappingProxyType({})


class ConfigError(UserError):
    """A setting is unknown or has a wrong value; the message is one sentence that names it."""


def read_mapping(path: Path, start_from: str) -> dict[str, Any]:
    """The settings of a YAML file, as YAML gives them.

    Args:
        path: the file.
        start_from: the example that a sentence on an empty file points to, such as "config/gate.yaml".

    Raises:
        ConfigError: the file is missing, no YAML, no mapping, or has a key twice in one place.
    """
    try:
        settings = yaml.load(path.read_text(), _UniqueKeyLoader)
    except OSError as error:
        raise ConfigError(f"The configuration {path} cannot be read ({error.strerror}); check the path.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML ({' '.join(str(error).split())}); mend or replace it.") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{path} holds no settings; start from {start_from}.")
    return settings


def from_mapping(
    kind: type[Settings], values: Mapping[str, Any], prefix: str = "", readers: Mapping[type, Reader] = _NO_READERS
) -> Settings:
    """A dataclass from a mapping, each value brought to its field's type.

    Args:
        kind: its fields are numbers, texts, booleans, paths, Literals, optional values, tuples of one type, mappings
            from text to one type, or dataclasses of the same.
        values: by field name.
        prefix: of the keys in sentences, ending in a dot.
        readers: how values of certain types are made, where it is not from their fields.

    Raises:
        ConfigError: a key is unknown or missing, or a value is of a wrong kind or refused by the dataclass.
    """
    return _Reading(readers).dataclass(kind, values, prefix)


class _UniqueKeyLoader(yaml.SafeLoader):
    """PyYAML takes the last of two equal keys without a word, and the first would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name in seen and name is not None:
                raise yaml.constructor.ConstructorError(None, None, f"the key {name} is there twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


class _Reading:
    def __init__(self, readers: Mapping[type, Reader]) -> None:
        self._readers = readers

    def dataclass(self, kind: type[Settings], values: Mapping[str, Any], prefix: str) -> Settings:
        known = {entry.name: entry for entry in fields(kind)}
        unknown = [str(key) for key in values if key not in known]
        if unknown:
            raise ConfigError(f"There is no setting {prefix}{unknown[0]}; known there: {', '.join(known)}.")
        missing = [name for name, entry in known.items() if name not in values and _is_required(entry)]
        if missing:
            raise ConfigError(f"The setting {prefix}{missing[0]} is missing; add it to the configuration.")
        hints = get_type_hints(kind)
        arguments = {name: self._convert(hints[name], value, prefix + name) for name, value in values.items()}
        try:
            return kind(**arguments)
        except ValueError as error:
            raise ConfigError(f"{prefix.rstrip('.') or 'The configuration'}: {error}") from error

    def _convert(self, hint: Any, value: Any, key: str) -> Any:
        if hint in self._readers:
            return self._readers[hint](value, key)
        if is_dataclass(hint):
            return self.dataclass(hint, _mapping(value, key), f"{key}.")
        origin, arguments = get_origin(hint), get_args(hint)
        if origin in (Union, UnionType):
            if value is None and NoneType in arguments:
                return None
            kinds = [argument for argument in arguments if argument is not NoneType]
            exact = next((kind for kind in kinds if type(value) is kind), kinds[0])
            return self._convert(exact, value, key)
        if origin is Literal:
            if value not in arguments:
                raise ConfigError(f"{key} is {value!r}; give one of {', '.join(map(str, arguments))}.")
            return value
        if origin is tuple:
            if not isinstance(value, (list, tuple)):
                raise ConfigError(f"{key} is {value!r}; give a list.")
            return tuple(self._convert(arguments[0], item, f"{key}[{i}]") for i, item in enumerate(value))
        if origin is dict:
            items = _mapping(value, key).items()
            return {str(name): self._convert(arguments[1], item, f"{key}.{name}") for name, item in items}
        return _scalar(hint, value, key)


def _is_required(entry: Field) -> bool:
    return entry.default is MISSING and entry.default_factory is MISSING


def _mapping(value: Any, key: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{key} is {value!r}; give its settings as key: value.")
    return value


def _scalar(hint: Any, value: Any, key: str) -> Any:
    if hint is Path and isinstance(value, str):
        return Path(value).expanduser()
    if hint is float and isinstance(value, str):  # YAML 1.1 reads 1e-3 as text
        try:
            return float(value)
        except ValueError:
            pass
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is hint:
        return value
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}
    raise ConfigError(f"{key} is {value!r}; give {names.get(hint, hint)}.")
