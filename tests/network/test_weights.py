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

"""Weight files say what they hold, and damaged ones are refused with one sentence."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from refinefuse_ros.network.model import RefineFuse, RefineFuseConfig
from refinefuse_ros.network.variants import build
from refinefuse_ros.network.weights import WeightsError, load_weights, save_weights

CONFIG = RefineFuseConfig(encoder=(4, 4, 6), head=(4,), grids=(2,), unshuffle=2, output="blend", fim=False)


@pytest.fixture
def model() -> RefineFuse:
    return build(CONFIG)


def test_round_trip_keeps_configuration_name_and_every_value(model: RefineFuse, tmp_path: Path):
    save_weights(model, tmp_path / "w.safetensors", name="mine")
    loaded, name = load_weights(tmp_path / "w.safetensors")
    assert (loaded.config, name, loaded.training) == (CONFIG, "mine", False)
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(WeightsError, match=r"no weight file .*absent\.safetensors"):
        load_weights(tmp_path / "absent.safetensors")


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_truncated_file_is_refused(model: RefineFuse, tmp_path: Path, kept: int):
    path = tmp_path / "w.safetensors"
    save_weights(model, path, name="mine")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        load_weights(path)


def test_a_pickle_is_never_unpickled(tmp_path: Path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        load_weights(path)


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return pytest.fail, ("the file was unpickled",)


def test_a_foreign_safetensors_file_is_refused(tmp_path: Path):
    save_file({"x": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="does not say which RefineFuse"):
        load_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (asdict(replace(CONFIG, fim=True, encoder=(4, 4, 8))), "do not fit"),
        ({**asdict(CONFIG), "invented": 1}, "does not know"),
        ({**asdict(CONFIG), "grids": ()}, "does not know"),
    ],
    ids=["other widths", "newer field", "inconsistent"],
)
def test_a_configuration_that_does_not_fit_is_refused(
    model: RefineFuse, tmp_path: Path, config: dict[str, object], said: str
):
    path = tmp_path / "w.safetensors"
    save_file(model.state_dict(), path, {"refinefuse_config": json.dumps(config)})
    with pytest.raises(WeightsError, match=said):
        load_weights(path)
