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

"""One network in training, for lightning: a step, a validation, the optimizer, the running average of weights."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import asdict
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from refinefuse_ros.errors import UserError
from refinefuse_ros.evaluation.metrics import evaluate_pair
from refinefuse_ros.network.model import RefineFuse, fuse_any_size
from refinefuse_ros.training.config import OptimizerConfig, TrainConfig
from refinefuse_ros.training.losses import FusionLoss, distance_to_teacher

__all__ = ["NETWORK_KEY", "FusionModule", "TrainError", "to_plane"]

NETWORK_KEY = "refinefuse_network"
"""Where a checkpoint says which network it holds, as JSON."""

_SGD_MOMENTUM = 0.9


class TrainError(UserError):
    """A training run cannot start or go on; the message is one sentence that says what to do."""


class FusionModule(lightning.LightningModule):
    """RefineFuse, its loss and, where there is one, its teacher.

    Attributes:
        network: what is trained.
        averaged: its running average (`OptimizerConfig.averaging`), or `network` itself without one.
    """

    def __init__(self, config: TrainConfig, network: RefineFuse, teacher: RefineFuse | None = None) -> None:
        super().__init__()
        self._config = config
        self.network = network
        self.averaged = copy.deepcopy(network).requires_grad_(False) if config.optimizer.averaging else network
        self._loss = FusionLoss(config.loss)
        self._teacher = [teacher] if teacher is not None else []  # a list keeps its weights out of checkpoints

    def on_fit_start(self) -> None:
        self._teacher = [teacher.to(self.device).eval() for teacher in self._teacher]

    def training_step(self, batch: Tensor, batch_index: int) -> Tensor:
        """`batch` is of `CropDataset`'s items, (N, 3 or 6, H, W)."""
        ir, vis, salient, marks = _parts(batch)
        fused = self.network(ir, vis).float()
        aims = [self._aim(teacher, ir, vis) for teacher in self._teacher]
        with torch.autocast(self.device.type, enabled=False):  # image gradients are too fine for 16 bits
            terms = self._loss(fused, ir, vis, salient, marks)
            for aim in aims:
                terms["distillation"] = self._config.distillation.weight * distance_to_teacher(fused, aim)
                terms["total"] = terms["total"] + terms["distillation"]
        self.log_dict({f"train/{name}": value for name, value in terms.items()})
        self.log("loss", terms["total"], prog_bar=True, logger=False)
        return terms["total"]

    @torch.no_grad()
    def _aim(self, teacher: RefineFuse, ir: Tensor, vis: Tensor) -> Tensor:
        return teacher(ir, vis).float()

    def on_train_batch_end(self, outputs: Any, batch: Tensor, batch_index: int) -> None:
        if self.averaged is self.network:
            return
        step = self.trainer.global_step
        decay = min(self._config.optimizer.averaging, (1 + step) / (10 + step))  # the first weights fade quickly
        with torch.no_grad():
            for average, value in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                average.lerp_(value, 1.0 - decay)

    def on_train_epoch_end(self) -> None:
        """Stop before a checkpoint of broken weights replaces the last good one.

        Raises:
            TrainError: a weight is no longer a finite number.
        """
        if not all(bool(value.isfinite().all()) for value in self.network.parameters()):
            raise TrainError(
                f"The weights are no longer finite after epoch {self.current_epoch + 1};"
                " lower optimizer.learning_rate or set optimizer.gradient_clip, and go on with resume=auto."
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[NETWORK_KEY] = json.dumps(asdict(self.network.config))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let the learning rate and the weight decay of this run's settings hold, not those of the checkpoint's."""
        settings = self._config.optimizer
        for schedule in checkpoint["lr_schedulers"]:
            schedule["base_lrs"] = [settings.learning_rate for _ in schedule["base_lrs"]]
        for group in (group for state in checkpoint["optimizer_states"] for group in state["param_groups"]):
            group["lr"] *= settings.learning_rate / group["initial_lr"]
            group["initial_lr"] = settings.learning_rate
            group["weight_decay"] = settings.weight_decay

    def validation_step(self, batch: Tensor, batch_index: int) -> None:
        """`batch` is one whole pair: (1, 3 or 6, H, W) of at least 41 pixels a side."""
        ir, vis, salient, marks = _parts(batch)
        fused = fuse_any_size(self.averaged, ir, vis).float()
        with torch.autocast(self.device.type, enabled=False):
            values = {f"val/{name}": value for name, value in self._loss(fused, ir, vis, salient, marks).items()}
        scores = evaluate_pair(*(to_plane(image) for image in (ir, vis, fused)))
        values |= {f"val/{name}": value for name, value in asdict(scores).items()}
        self.log_dict(values, batch_size=1, sync_dist=True)

    def configure_optimizers(self) -> dict[str, Any]:
        settings = self._config.optimizer
        optimizer = _optimizer(settings, self.network)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = LambdaLR(optimizer, lambda step: _learning_rate_factor(settings, step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _parts(batch: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Thermal, visible luma and salience, each float (N, 1, H, W) in [0, 1], and the marks as they are, if any."""
    return *(batch[:, :3] / 255.0).split(1, dim=1), batch[:, 3:] if batch.shape[1] > 3 else None


def to_plane(image: Tensor) -> np.ndarray:
    """(1, 1, H, W) in [0, 1] to (H, W) uint8."""
    return torch.round(image.detach()[0, 0].clamp(0.0, 1.0) * 255.0).to(torch.uint8).cpu().numpy()


def _optimizer(settings: OptimizerConfig, network: RefineFuse) -> Optimizer:
    if settings.name == "sgd":
        return SGD(network.parameters(), settings.learning_rate, _SGD_MOMENTUM, weight_decay=settings.weight_decay)
    return AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)


def _learning_rate_factor(settings: OptimizerConfig, step: int, steps: int) -> float:
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return 1.0
    done = (step - settings.warmup_steps) / max(1, steps - settings.warmup_steps)
    return (1.0 + math.cos(math.pi * min(1.0, done))) / 2.0
