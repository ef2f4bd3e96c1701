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

"""The batches of one run, for lightning: random crops to train on, whole held-out pairs to validate on."""

from __future__ import annotations

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from refinefuse_ros.evaluation.metrics import MIN_SIDE
from refinefuse_ros.training.config import ConfigError, TrainConfig
from refinefuse_ros.training.dataset import CropDataset, CropSampler, Pair, find_pairs, read_pairs, split

__all__ = ["PairsData"]


class PairsData(lightning.LightningDataModule):
    """Reads all pairs of a run's sources once.

    Attributes:
        held_out: the validation pairs; those that are too small for the metrics (41 pixels) are left out.

    Raises:
        ConfigError: no source is given, or the crops do not fill one batch.
        DatasetError, SourceError: as `find_pairs` and `CropDataset`.
    """

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self._data, self._seed = config.data, config.trainer.seed
        files = [entry for source in config.data.all_sources() for entry in find_pairs(source)]
        training, validation = split(files, config.data.hold_out_every)
        marked = config.loss.asks_for_warm_objects
        self._crops = CropDataset(
            training,
            self._data.crop,
            self._seed,
            smoke=self._data.smoke,
            glare=self._data.glare,
            recombined=self._data.recombined,
            marked=marked,
        )
        held_out = (pair for entry in validation for pair in read_pairs(entry, marked))
        self.held_out: list[Pair] = [pair for pair in held_out if min(pair.luma.shape) >= MIN_SIDE]
        if len(self._crops) < config.data.batch:
            raise ConfigError(
                f"data.batch is {config.data.batch}, but an epoch has {len(self._crops)} crops; give at most that many."
            )

    def train_dataloader(self) -> DataLoader:
        sampler = CropSampler(len(self._crops), self._seed, self.trainer.global_rank, self.trainer.world_size)
        pinned = torch.cuda.is_available()
        return DataLoader(
            self._crops,
            self._data.batch,
            sampler=sampler,
            drop_last=True,
            num_workers=self._data.workers,
            pin_memory=pinned,
        )

    def val_dataloader(self) -> DataLoader | list[Tensor]:
        return DataLoader([torch.from_numpy(pair.planes()) for pair in self.held_out], 1) if self.held_out else []
