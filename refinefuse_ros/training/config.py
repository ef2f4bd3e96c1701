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

"""A training run's settings: typed, read from a YAML file, changed by dotted `key=value` overrides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import yaml

from refinefuse_ros.evaluation.metrics import MIN_SIDE
from refinefuse_ros.network.model import RefineFuseConfig
from refinefuse_ros.network.variants import VARIANTS
from refinefuse_ros.settings import ConfigError, from_mapping, read_mapping
from refinefuse_ros.training.losses import LossConfig

__all__ = [
    "ConfigError",
    "DataConfig",
    "DistillationConfig",
    "OptimizerConfig",
    "Source",
    "TrainConfig",
    "TrainerConfig",
    "load_config",
]


@dataclass(frozen=True)
class Source:
    """One folder of pairs.

    Attributes:
        root: holds a thermal and a visible folder (and, where there are any, one of segmentation labels) with
            files of the same names: images, or videos that pair frame by frame.
        stride: every how many frames of a video are taken.
        exclude: names, without suffix, that are left out.
        repeat: how many crops are taken from each pair in one epoch.
        salient_classes: label values that count as salient objects; the default is MSRS's car, person, bike.
    """

    root: Path
    stride: int = 1
    exclude: tuple[str, ...] = ()
    repeat: int = 1
    salient_classes: tuple[int, ...] = (1, 2, 3)


@dataclass(frozen=True)
class DataConfig:
    """What is trained on.

    Attributes:
        root: one folder of pairs; given, it stands for `sources`.
        sources: several folders, each with its own settings.
        hold_out_every: every how many files one is kept for validation; 0 keeps none.
        crop: side of the square training crops (pixels), a multiple of the network's size multiple.
        batch: crops per step and device.
        smoke, glare: shares of the crops whose visible picture gets clouds of smoke, or is overexposed: where thermal
            alone sees, which few recordings show.
        recombined: share of the crops whose visible picture is cut out of any pair: warm things before any background.
        workers: processes that prepare batches; 0 is the training process itself.
    """

    root: Path | None = None
    sources: tuple[Source, ...] = ()
    hold_out_every: int = 10
    crop: int = 256
    batch: int = 8
    smoke: float = 0.0
    glare: float = 0.0
    recombined: float = 0.0
    workers: int = 0

    def all_sources(self) -> tuple[Source, ...]:
        """The folders to read.

        Raises:
            ConfigError: none is given.
        """
        if self.root is not None:
            return (Source(self.root),)
        if not self.sources:
            raise ConfigError("No training data is named; give data.root=FOLDER that holds thermal/ and rgb/.")
        return self.sources


@dataclass(frozen=True)
class OptimizerConfig:
    """How the weights are updated.

    Attributes:
        name: "sgd" is the article's, with a momentum of 0.9.
        learning_rate: at its highest.
        weight_decay: as the optimizer defines it.
        schedule: "cosine" falls to 0 over the run, "constant" stays.
        warmup_steps: steps over which the learning rate rises to its highest.
        gradient_clip: largest norm of all gradients together; 0 is no limit.
        averaging: decay per step of the running average of the weights, which is what is validated and
            exported; 0 takes the weights themselves.
    """

    name: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_steps: int = 0
    gradient_clip: float = 0.0
    averaging: float = 0.0


@dataclass(frozen=True)
class DistillationConfig:
    """A trained network to learn from, besides the loss.

    Attributes:
        weights: its .safetensors file; None is no teacher.
        weight: factor of the term.
    """

    weights: Path | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class TrainerConfig:
    """How long, and on what.

    Attributes:
        max_epochs: passes over all crops.
        precision: "auto" is bf16 on GPUs that have it, fp16 on others, fp32 on CPUs.
        accelerator, devices, nodes, strategy: lightning's own; several devices or nodes train by DDP.
        seed: of weights, crops and order.
        sample_pictures: how many held-out pairs are pictured at each validation.
    """

    max_epochs: int = 300
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    accelerator: str = "auto"
    devices: str | int = "auto"
    nodes: int = 1
    strategy: str = "auto"
    seed: int = 0
    sample_pictures: int = 4


@dataclass(frozen=True)
class TrainConfig:
    """All settings of a run.

    Attributes:
        name: of the model; the files of the result are named after it.
        output: folder of the run: checkpoints, logs, sample pictures and the result.
        network: a variant's name ("base", "nano") or a whole configuration.
        init: weights to start from; None is fresh ones.
        resume: a checkpoint to go on from, or "auto": the run's last one, where there is any.
    """

    name: str
    network: RefineFuseConfig
    output: Path
    init: Path | None = None
    resume: str | None = None
    loss: LossConfig = field(default_factory=LossConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)

    def __post_init__(self) -> None:
        positive = {
            "data.crop": self.data.crop,
            "data.batch": self.data.batch,
            "optimizer.learning_rate": self.optimizer.learning_rate,
            "trainer.max_epochs": self.trainer.max_epochs,
        }
        for key, value in positive.items():
            if not 0 < value < math.inf:
                raise ConfigError(f"{key} is {value}; give a number above 0.")
        for key in _FROM_ZERO:
            _check_range(key, attrgetter(key)(self), 0, _HIGHEST.get(key, math.inf))
        for number, source in enumerate(self.data.sources):
            _check_range(f"data.sources[{number}].stride", source.stride, 1)
            _check_range(f"data.sources[{number}].repeat", source.repeat, 0)
        if self.name == ".." or Path(self.name).name != self.name:
            raise ConfigError(f"name is {self.name!r}; give one that files can have, without a folder.")
        if self.data.crop % self.network.size_multiple:
            raise ConfigError(
                f"data.crop is {self.data.crop}; give a multiple of the network's {self.network.size_multiple} pixels."
            )
        if self.loss.vif_weight and self.data.crop < MIN_SIDE:
            raise ConfigError(
                f"data.crop is {self.data.crop}, but loss.vif_weight needs crops of {MIN_SIDE} pixels or more;"
                " enlarge the crops or leave the weight out."
            )


_FROM_ZERO = (
    "data.hold_out_every",
    "data.workers",
    "data.smoke",
    "data.glare",
    "data.recombined",
    "optimizer.weight_decay",
    "optimizer.warmup_steps",
    "optimizer.gradient_clip",
    "optimizer.averaging",
    "loss.salience_share",
    "loss.texture_gain",
    "loss.intensity_weight",
    "loss.texture_weight",
    "loss.coarse_weight",
    "loss.vif_weight",
    "loss.qabf_weight",
    "loss.scd_weight",
    "loss.ssim_weight",
    "loss.outline_weight",
    "loss.kept_weight",
    "loss.ring_weight",
    "distillation.weight",
    "trainer.seed",
    "trainer.sample_pictures",
)
_HIGHEST = {
    "data.smoke": 1,
    "data.glare": 1,
    "data.recombined": 1,
    "optimizer.averaging": 1,
    "loss.salience_share": 1,
    "trainer.seed": 2**32 - 1,
}


def _check_range(key: str, value: float, low: float, high: float = math.inf) -> None:
    if not (low <= value <= high and math.isfinite(value)):
        allowed = f"from {low} on" if high == math.inf else f"from {low} to {high}"
        raise ConfigError(f"{key} is {value}; give a number {allowed}.")


def load_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a run's settings.

    Args:
        path: a YAML file; its key `extends` names another file whose settings it changes.
        overrides: "dotted.key=value"; the value is YAML too ("data.batch=4", "optimizer.name=adamw").

    Raises:
        ConfigError: the file is missing or no YAML mapping, a key is unknown, or a value is of a wrong kind.
    """
    settings = _read(path)
    for override in overrides:
        _override(settings, override)
    return from_mapping(TrainConfig, settings, readers={RefineFuseConfig: _network})


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The settings of a file laid over those of the file that it `extends`, whose path is relative to its own.

    `above` are the files that lead to this one.
    """
    if path.resolve() in above:
        raise ConfigError(f"{path} extends itself, if over others; correct one's `extends`.")
    settings = read_mapping(path, "one of config/train/")
    parent = settings.pop("extends", None)
    if parent is None:
        return settings
    return _overlay(_read(path.parent / str(parent), (*above, path.resolve())), settings)


def _overlay(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _overlay(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def _override(settings: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise ConfigError(f"'{text}' is not an override; write key=value, such as trainer.max_epochs=2.")
    *parents, last = key.split(".")
    for parent in parents:
        child = settings.setdefault(parent, {})
        if isinstance(child, str) and parent == "network":  # a variant of which one setting is changed
            child = settings[parent] = {"variant": child}
        if not isinstance(child, dict):
            raise ConfigError(f"'{text}' sets a part of {parent}, which is {child!r}; give {parent} as a whole.")
        settings = child
    try:
        settings[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"The value of '{text}' is not YAML; quote it.") from error


def _network(value: Any, key: str) -> RefineFuseConfig:
    """A variant's name, a whole configuration, or `variant` with the settings that differ from it."""
    if isinstance(value, str):
        value = {"variant": value}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{key} is {value!r}; give one of {', '.join(VARIANTS)} or a whole configuration.")
    settings = dict(value)
    if "variant" in settings:
        name = settings.pop("variant")
        if name not in VARIANTS:
            raise ConfigError(f"{key} is {name!r}; give one of {', '.join(VARIANTS)} or a whole configuration.")
        variant = VARIANTS[name]
        settings = {entry.name: getattr(variant, entry.name) for entry in fields(variant)} | settings
    return from_mapping(RefineFuseConfig, settings, f"{key}.")
