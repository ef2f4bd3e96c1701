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

"""Settings come typed out of YAML and overrides; a wrong one is named in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from refinefuse_ros.network.variants import VARIANTS, build
from refinefuse_ros.training.config import ConfigError, Source, load_config

SHIPPED = sorted((Path(__file__).parents[2] / "config" / "train").glob("*.yaml"))
MINIMAL = "name: mine\noutput: out\nnetwork: nano\n"


def config_file(folder: Path, text: str = MINIMAL, name: str = "c.yaml") -> Path:
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configurations_load_and_build(path: Path):
    config = load_config(path)
    assert build(config.network).config == config.network


def test_the_article_settings_are_the_base_configuration():
    config = load_config(next(path for path in SHIPPED if path.name == "base.yaml"))
    assert config.network == VARIANTS["base"]
    assert (config.loss.intensity, config.loss.texture, config.loss.texture_gain) == ("mask", "magnitude", 1.0)
    assert (config.loss.intensity_weight, config.loss.texture_weight, config.loss.coarse_weight) == (1.0, 5.0, 0.0)
    assert (config.data.crop, config.data.batch, config.trainer.max_epochs) == (256, 8, 300)
    assert (config.optimizer.name, config.optimizer.learning_rate) == ("sgd", 1e-3)


def test_overrides_are_typed_like_the_file(tmp_path: Path):
    overrides = [
        "data.root=some/folder",
        "data.batch=4",
        "optimizer.learning_rate=1e-4",
        "optimizer.name=adamw",
        "network.fim=false",
        "resume=auto",
        "data.sources=[{root: a, exclude: [x, y]}]",
    ]
    config = load_config(config_file(tmp_path), overrides)
    assert config.data.root == Path("some/folder")
    assert (config.data.batch, config.optimizer.learning_rate, config.optimizer.name) == (4, 1e-4, "adamw")
    assert (config.network.encoder, config.network.fim) == (VARIANTS["nano"].encoder, False)
    assert config.resume == "auto"
    assert config.data.sources == (Source(Path("a"), exclude=("x", "y")),)


def test_one_root_stands_for_the_sources(tmp_path: Path):
    config = load_config(config_file(tmp_path), ["data.sources=[{root: a}]"])
    assert config.data.all_sources() == (Source(Path("a")),)
    config = load_config(config_file(tmp_path), ["data.sources=[{root: a}]", "data.root=b"])
    assert config.data.all_sources() == (Source(Path("b")),)


def test_a_file_changes_what_it_extends(tmp_path: Path):
    config_file(tmp_path, MINIMAL + "data: {crop: 64, batch: 2}\n", "below.yaml")
    config = load_config(config_file(tmp_path, "extends: below.yaml\nname: other\ndata: {batch: 3}\n"))
    assert (config.name, config.data.crop, config.data.batch) == ("other", 64, 3)


def test_files_that_extend_each_other_are_refused(tmp_path: Path):
    config_file(tmp_path, MINIMAL + "extends: b.yaml\n", "a.yaml")
    with pytest.raises(ConfigError, match=r"a\.yaml extends itself"):
        load_config(config_file(tmp_path, "extends: a.yaml\n", "b.yaml").with_name("a.yaml"))


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("data.crops=64", "no setting data.crops"),
        ("learning_rate=1", "no setting learning_rate"),
        ("data.batch=many", "data.batch is 'many'; give a whole number"),
        ("data.batch=1.5", "data.batch is 1.5; give a whole number"),
        ("data.batch=0", "data.batch is 0; give a number above 0"),
        ("data.crop=100", "data.crop is 100; give a multiple of the network's 16"),
        ("loss.intensity=hard", "loss.intensity is 'hard'; give one of mask"),
        ("network=giant", "network is 'giant'; give one of base, nano"),
        ("network.encoder=[16, 32]", "grids has 1 entries for 0 levels"),
        ("data.sources=[{stride: 2}]", r"data.sources\[0\].root is missing"),
        ("data=5", "data is 5; give its settings"),
        ("name.of=5", "sets a part of name"),
        ("data.batch", "is not an override"),
        ("data.root=[1", "is not YAML"),
        ("data.workers=-1", "data.workers is -1; give a number from 0 on"),
        ("data.sources=[{root: a, stride: 0}]", r"data.sources\[0\].stride is 0; give a number from 1 on"),
        ("optimizer.averaging=1.5", "optimizer.averaging is 1.5; give a number from 0 to 1"),
        ("optimizer.learning_rate=.nan", "optimizer.learning_rate is nan; give a number above 0"),
        ("optimizer.weight_decay=-1", "optimizer.weight_decay is -1.0; give a number from 0 on"),
        ("trainer.seed=-1", "trainer.seed is -1; give a number from 0 to 4294967295"),
        ("name=a/b", "name is 'a/b'; give one that files can have"),
        ("name=..", "name is '..'; give one that files can have"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, override: str, sentence: str):
    with pytest.raises(ConfigError, match=sentence):
        load_config(config_file(tmp_path), [override])


def test_vif_is_not_trained_on_crops_smaller_than_its_windows(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"data\.crop is 32, but loss\.vif_weight needs crops of 41"):
        load_config(config_file(tmp_path), ["data.crop=32", "loss.vif_weight=0.1"])


@pytest.mark.parametrize("text", ["", "- a", "a: [", "just text"])
def test_a_file_without_settings_is_refused(tmp_path: Path, text: str):
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        load_config(config_file(tmp_path, text))


def test_a_missing_setting_or_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="setting output is missing"):
        load_config(config_file(tmp_path, "name: mine\nnetwork: nano\n"))
    with pytest.raises(ConfigError, match=r"absent\.yaml cannot be read"):
        load_config(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="No training data is named"):
        load_config(config_file(tmp_path)).data.all_sources()
