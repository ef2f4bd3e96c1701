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

"""`refinefuse train`: a run from its settings to a weight file and a deployable graph."""

from __future__ import annotations

import errno
import json
import logging
import pickle
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from refinefuse_ros.engine.export import export_onnx
from refinefuse_ros.errors import first_line
from refinefuse_ros.network.model import RefineFuse
from refinefuse_ros.network.variants import build
from refinefuse_ros.network.weights import load_weights, save_weights
from refinefuse_ros.resources import sha256_of
from refinefuse_ros.training.callbacks import SamplePictures, WholeCheckpoints
from refinefuse_ros.training.config import TrainConfig, load_config
from refinefuse_ros.training.data import PairsData
from refinefuse_ros.training.module import NETWORK_KEY, FusionModule, TrainError

__all__ = ["TrainResult", "train"]

_PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
_DRY_RUN_STEPS = 2


@dataclass(frozen=True)
class TrainResult:
    """What a run made.

    Attributes:
        output: the run's folder.
        weights: the exported weight file; None after a dry run.
        graph: the deployable ONNX graph of the same weights; None after a dry run.
        epochs, steps: of the whole run, earlier sittings counted in.
        seconds: of this sitting.
        metrics: the last value of everything that was logged, such as "train/total" and "val/vif".
    """

    output: Path
    weights: Path | None
    graph: Path | None
    epochs: int
    steps: int
    seconds: float
    metrics: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}


def train(
    config_path: Path, overrides: Sequence[str] = (), dry_run: bool = False, quiet: bool = False
) -> TrainResult | None:
    """Train a network, or go on training it, and export it.

    The run's folder gets checkpoints/last.ckpt after every epoch, csv/ and tensorboard/ logs, samples/ and, at
    the end, NAME.safetensors and NAME.onnx. Every file is written whole or not at all.

    Args:
        config_path: a YAML file (`TrainConfig`).
        overrides: "dotted.key=value".
        dry_run: do two steps of everything (reading all data, training, validation, checkpoint, export) in a
            temporary folder, and leave nothing.
        quiet: no progress bar.

    Returns:
        What the run made; None in all but the first process of several that train together.

    Raises:
        ConfigError: a setting is wrong.
        DatasetError, SourceError: the data cannot be used.
        WeightsError: the weights to start from or to learn from cannot be used.
        TrainError: the checkpoint cannot be used, the disk is full, or the training diverged.
        ExportError: the trained network cannot be exported.
        KeyboardInterrupt: Ctrl-C; the last whole epoch's checkpoint is kept.
    """
    config = load_config(config_path, overrides)
    with ExitStack() as stack:
        if dry_run:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="refinefuse-dry-run-"))
            config = replace(config, output=Path(folder))
        stack.enter_context(_clear_sentences(config))
        result = _run(config, dry_run, quiet)
    return replace(result, weights=None, graph=None) if result and dry_run else result


def _run(config: TrainConfig, dry_run: bool, quiet: bool) -> TrainResult | None:
    started = time.perf_counter()
    checkpoint = _checkpoint_to_resume(config)
    lightning.seed_everything(config.trainer.seed, verbose=False)
    data = PairsData(config)
    module = FusionModule(config, _network(config), _teacher(config))
    try:
        trainer = _trainer(config, data, dry_run, quiet)
    except (MisconfigurationException, ImportError, TypeError, ValueError) as error:
        raise TrainError(
            f"The trainer's settings cannot be used here ({first_line(error)});"
            " check trainer.accelerator, devices, nodes, strategy and precision."
        ) from error
    if dry_run:  # its two steps fit into no checkpoint's epochs
        checkpoint = None
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    if not trainer.is_global_zero:
        return None
    result = TrainResult(
        output=config.output,
        weights=config.output / f"{config.name}.safetensors",
        graph=config.output / f"{config.name}.onnx",
        epochs=trainer.current_epoch,
        steps=trainer.global_step,
        seconds=time.perf_counter() - started,
        metrics={name: float(value) for name, value in trainer.callback_metrics.items()},
    )
    _export(module.averaged, config.name, result.weights, result.graph)
    return result


def _network(config: TrainConfig) -> RefineFuse:
    network = build(config.network)
    if config.init is not None:
        given, _ = load_weights(config.init)
        if given.config != config.network:
            raise TrainError(
                f"init={config.init} holds another network than this configuration; choose one of the two."
            )
        network.load_state_dict(given.state_dict())
    return network.to(memory_format=torch.channels_last)


def _teacher(config: TrainConfig) -> RefineFuse | None:
    path = config.distillation.weights
    return load_weights(path)[0].to(memory_format=torch.channels_last) if path is not None else None


def _trainer(config: TrainConfig, data: PairsData, dry_run: bool, quiet: bool) -> lightning.Trainer:
    settings, output = config.trainer, config.output
    callbacks = [
        ModelCheckpoint(
            dirpath=output / "checkpoints",
            filename="last",
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        ),
        SamplePictures(data.held_out[: settings.sample_pictures], output / "samples"),
    ]
    if not quiet:
        callbacks.append(RichProgressBar())
    return lightning.Trainer(
        max_epochs=1 if dry_run else settings.max_epochs,
        limit_train_batches=_DRY_RUN_STEPS if dry_run else None,
        limit_val_batches=_DRY_RUN_STEPS if dry_run else None,
        accelerator=settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.nodes,
        strategy=settings.strategy,
        precision=_precision(settings.precision),
        gradient_clip_val=config.optimizer.gradient_clip or None,
        callbacks=callbacks,
        logger=[CSVLogger(output, "csv"), TensorBoardLogger(output, "tensorboard")],
        plugins=[WholeCheckpoints()],
        log_every_n_steps=10,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # CropSampler shares out the crops itself
        enable_progress_bar=not quiet,
        enable_model_summary=False,
    )


def _precision(name: str) -> str:
    if name == "auto":
        if not torch.cuda.is_available():
            name = "fp32"
        else:
            name = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return _PRECISIONS[name]


def _checkpoint_to_resume(config: TrainConfig) -> Path | None:
    """The checkpoint to go on from, after a look into it."""
    last = config.output / "checkpoints" / "last.ckpt"
    if config.resume is None:
        if last.exists():
            raise TrainError(f"{config.output} already holds a run; go on with resume=auto or give another output.")
        return None
    path = last if config.resume == "auto" else Path(config.resume).expanduser()
    if not path.is_file():
        if config.resume == "auto":
            return None
        raise TrainError(f"There is no checkpoint {path}; give resume=auto or the path of a .ckpt file.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        network = json.loads(content[NETWORK_KEY])
        epochs = content["epoch"] + 1
        optimizer = "sgd" if "momentum" in content["optimizer_states"][0]["param_groups"][0] else "adamw"
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, LookupError, TypeError, ValueError) as error:
        raise TrainError(f"{path} is not a whole checkpoint of `refinefuse train`; resume from another.") from error
    if network != json.loads(json.dumps(asdict(config.network))):
        raise TrainError(f"{path} holds another network than this configuration; resume with the one it began with.")
    if optimizer != config.optimizer.name:
        raise TrainError(f"{path} is of a run with optimizer.name={optimizer}; resume with the same.")
    if epochs > config.trainer.max_epochs:
        raise TrainError(
            f"{path} is of epoch {epochs}, and trainer.max_epochs is {config.trainer.max_epochs}; give a higher one."
        )
    return path


def _export(network: RefineFuse, name: str, weights: Path, graph: Path) -> None:
    save_weights(network, weights, name)
    saved, _ = load_weights(weights)
    export_onnx(saved, graph, name=name, weights_sha256=sha256_of(weights))


@contextmanager
def _clear_sentences(config: TrainConfig) -> Iterator[None]:
    """Turns what lightning and the system raise into the errors of `train`, and keeps lightning's hints quiet."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PossibleUserWarning)
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    except SystemExit as error:  # lightning's answer to Ctrl-C; it also leaves the signal ignored
        signal.signal(signal.SIGINT, on_interrupt)
        print(f"{config.output} keeps the last whole epoch; go on with resume=auto.", file=sys.stderr)
        raise KeyboardInterrupt from error
    except torch.OutOfMemoryError as error:
        raise TrainError("The device is out of memory; lower data.batch or data.crop.") from error
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise TrainError(f"The disk of {config.output} is full; free some space and go on with resume=auto.") from error
