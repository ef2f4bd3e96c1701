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

"""The named shapes of RefineFuse and the one factory that builds them."""

from __future__ import annotations

from refinefuse_ros.network.model import RefineFuse, RefineFuseConfig

__all__ = ["VARIANTS", "build"]

VARIANTS: dict[str, RefineFuseConfig] = {
    "base": RefineFuseConfig(encoder=(64, 64, 64, 136), head=(64, 64, 32), grids=(32, 16)),
    "nano": RefineFuseConfig(encoder=(32, 48, 64), head=(32,), grids=(16,), unshuffle=4, output="blend"),
}
"""`base` has the article's size; `nano` is for 30 frames a second on two CPU cores."""


def build(config: str | RefineFuseConfig) -> RefineFuse:
    """Build a network with fresh weights from a variant's name or a configuration.

    Raises:
        ValueError: no variant has this name.
    """
    if isinstance(config, str):
        if config not in VARIANTS:
            raise ValueError(f"no variant is named {config!r}; give one of {', '.join(VARIANTS)}.")
        config = VARIANTS[config]
    return RefineFuse(config)
