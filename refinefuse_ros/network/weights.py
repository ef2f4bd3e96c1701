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

"""Weight files: safetensors with the network's configuration in the metadata, so that a file says what it is.
Never pickle.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from refinefuse_ros.errors import UserError, one_line
from refinefuse_ros.network.model import RefineFuse, RefineFuseConfig
from refinefuse_ros.network.variants import build
from refinefuse_ros.writing import write_whole

__all__ = ["WeightsError", "load_weights", "save_weights"]

_CONFIG_KEY = "refinefuse_config"
_NAME_KEY = "refinefuse_name"


class WeightsError(UserError):
    """A weight file cannot be used; the message is one sentence that names it and says what to do."""


def save_weights(model: RefineFuse, path: Path, name: str) -> None:
    """Write a model's weights, configuration and name to a safetensors file, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    metadata = {_CONFIG_KEY: json.dumps(asdict(model.config)), _NAME_KEY: name}
    write_whole(path, save(tensors, metadata))


def load_weights(path: Path) -> tuple[RefineFuse, str]:
    """Read a weight file; return the network it holds (float32, CPU, eval mode) and its model name.

    Raises:
        WeightsError: the file is missing, truncated, without a configuration, or its tensors do not fit that
            configuration.
    """
    if not path.is_file():
        raise WeightsError(f"there is no weight file {path}; give the path of a .safetensors file.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a whole safetensors file ({error}); get or export it again.") from error
    if _CONFIG_KEY not in metadata:
        raise WeightsError(f"{path} does not say which RefineFuse network it holds; use a file this package saved.")
    try:
        model = build(RefineFuseConfig(**json.loads(metadata[_CONFIG_KEY])))
    except (TypeError, ValueError) as error:
        raise WeightsError(
            f"{path} holds a configuration this version does not know ({error}); update the package."
        ) from error
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(
            f"the tensors in {path} do not fit its configuration ({one_line(error)}); get or export it again."
        ) from error
    return model.eval(), metadata.get(_NAME_KEY, path.stem)
