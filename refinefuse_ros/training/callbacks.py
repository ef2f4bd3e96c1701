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

"""What a run leaves on disk while it goes: whole checkpoints and sample pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins import TorchCheckpointIO

from refinefuse_ros.image.files import write_image
from refinefuse_ros.network.model import fuse_any_size
from refinefuse_ros.training.dataset import Pair
from refinefuse_ros.training.module import FusionModule, to_plane
from refinefuse_ros.writing import write_whole

__all__ = ["SamplePictures", "WholeCheckpoints"]


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all, so that a full disk or a power cut leaves the one before."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_whole(Path(path), buffer.getvalue())


class SamplePictures(Callback):
    """After each validation: thermal, visible luma and fused luma of some held-out pairs, side by side.

    Args:
        pairs: what is pictured.
        folder: gets epoch_NNNN_K.png; TensorBoard gets the same pictures.
    """

    def __init__(self, pairs: Sequence[Pair], folder: Path) -> None:
        self._pairs = pairs
        self._folder = folder

    def on_validation_end(self, trainer: lightning.Trainer, module: FusionModule) -> None:
        if not trainer.is_global_zero:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        for number, pair in enumerate(self._pairs):
            ir, vis = (torch.from_numpy(p)[None, None].to(module.device) / 255.0 for p in (pair.thermal, pair.luma))
            with torch.no_grad():
                fused = to_plane(fuse_any_size(module.averaged, ir, vis).float())
            picture = np.hstack((pair.thermal, pair.luma, fused))
            write_image(self._folder / f"epoch_{trainer.current_epoch + 1:04d}_{number}.png", picture)
            for logger in trainer.loggers:
                if isinstance(logger, TensorBoardLogger):
                    logger.experiment.add_image(f"sample/{number}", picture, trainer.global_step, dataformats="HW")
