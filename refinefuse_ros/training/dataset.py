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

"""Pairs of thermal and visible images for training: found by name in folders and videos, read once, cropped
at random.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from refinefuse_ros.errors import UserError
from refinefuse_ros.image.colour import split_luma
from refinefuse_ros.image.files import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    is_video,
    match_files,
    read_labels,
    read_rgb,
    read_thermal,
)
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.normalization import ThermalNormalizer
from refinefuse_ros.image.video import VideoReader
from refinefuse_ros.network.model import MINIMUM_SIDE
from refinefuse_ros.training.config import Source
from refinefuse_ros.training.losses import thermal_saliency
from refinefuse_ros.training.warmth import warm_marks
from refinefuse_ros.training.weather import glare, smoke

__all__ = ["CropDataset", "CropSampler", "DatasetError", "Pair", "PairFiles", "find_pairs", "read_pairs", "split"]

# The names that MSRS, M3FD, RoadScene and TNO give their folders, in lower case.
_THERMAL_FOLDERS = ("thermal", "ir", "infrared", "cropinfrared")
_VISIBLE_FOLDERS = ("rgb", "vi", "vis", "visible", "crop_lr_visible")
_LABEL_FOLDERS = ("labels", "label", "segmentation_labels")
_SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES
_LUMA = slice(1, 2)  # of a pair's planes


class DatasetError(UserError):
    """Training data cannot be used; the message is one sentence that names it and says what to do."""


@dataclass(frozen=True)
class PairFiles:
    """The files of one pair (or of one clip of pairs) and the source they came from."""

    thermal: Path
    visible: Path
    labels: Path | None
    source: Source


@dataclass(frozen=True)
class Pair:
    """One moment: thermal, visible luma and thermal's salience (`thermal_saliency`), each (H, W) uint8.

    Attributes:
        marks: its warm objects (`warm_marks`), (3, H, W) uint8; None where nobody asks for them.
    """

    thermal: np.ndarray
    luma: np.ndarray
    salience: np.ndarray
    marks: np.ndarray | None

    def planes(self) -> np.ndarray:
        """(6, H, W) uint8, or (3, H, W): thermal, visible luma, salience, and the three marks where there are any."""
        return np.stack((self.thermal, self.luma, self.salience, *(() if self.marks is None else self.marks)))


def find_pairs(source: Source) -> list[PairFiles]:
    """List the files of a source, in name order.

    Raises:
        DatasetError: one of the two folders is missing, a file has no partner, or an excluded name is not there.
        SourceError: no name is in both folders.
    """
    folders = {path.name.lower(): path for path in source.root.iterdir()} if source.root.is_dir() else {}
    thermal, visible = (_folder(source.root, folders, names) for names in (_THERMAL_FOLDERS, _VISIBLE_FOLDERS))
    pairs = match_files(thermal, visible, _SUFFIXES)
    lonely = sorted(_names(thermal) ^ _names(visible))
    if lonely:
        raise DatasetError(
            f"{len(lonely)} files under {source.root} have no partner of the same name, the first is {lonely[0]};"
            " add the missing ones or remove these."
        )
    strangers = sorted(set(source.exclude) - {pair.name for pair in pairs})
    if strangers:
        raise DatasetError(f"{source.root} has no pair named {strangers[0]} to exclude; correct the name.")
    labels = next((folders[name] for name in _LABEL_FOLDERS if name in folders), None)
    return [
        PairFiles(pair.thermal, pair.rgb, _label_of(pair.thermal, labels), source)
        for pair in pairs
        if pair.name not in source.exclude
    ]


def _folder(root: Path, folders: dict[str, Path], names: Sequence[str]) -> Path:
    for name in names:
        if name in folders:
            return folders[name]
    raise DatasetError(f"{root} has no folder named {' or '.join(names)}; arrange the pairs as thermal/ and rgb/.")


def _names(folder: Path) -> set[str]:
    return {path.stem for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES}


def _label_of(thermal: Path, labels: Path | None) -> Path | None:
    path = labels / f"{thermal.stem}.png" if labels else None
    return path if path and path.is_file() else None


def split(files: Sequence[PairFiles], hold_out_every: int) -> tuple[list[PairFiles], list[PairFiles]]:
    """(training, validation): every `hold_out_every`-th file is for validation, a clip as a whole; 0 keeps none."""
    held = set(range(hold_out_every - 1, len(files), hold_out_every)) if hold_out_every else set()
    return [f for i, f in enumerate(files) if i not in held], [files[i] for i in sorted(held)]


def read_pairs(files: PairFiles, marked: bool = True) -> Iterator[Pair]:
    """Read a pair, or every `stride`-th one of a clip; `marked` has its warm objects found.

    Raises:
        DatasetError: a pair is below 32x32 pixels, or its images differ in size.
        SourceError: a file is not a readable image or video, or a label map is coloured.
    """
    if is_video(files.thermal):
        thermal_frames = _frames(files.thermal, files.source.stride, keep_depth=True)
        visible_frames = _frames(files.visible, files.source.stride)
        # Clips of one camera pair may differ by some last frames.
        for thermal, visible in zip(thermal_frames, visible_frames, strict=False):
            grey = cv2.cvtColor(thermal, cv2.COLOR_BGR2GRAY) if thermal.ndim == 3 else thermal
            yield _pair(files, ThermalNormalizer().normalize(grey, stamp_ns=0), visible, marked)
    else:
        counts, _ = read_thermal(files.thermal)
        yield _pair(files, ThermalNormalizer().normalize(counts, stamp_ns=0), read_rgb(files.visible), marked)


def _frames(path: Path, stride: int, keep_depth: bool = False) -> Iterator[np.ndarray]:
    reader = VideoReader(path, keep_depth)
    try:
        yield from islice(reader, 0, None, stride)
    finally:
        reader.close()


def _pair(files: PairFiles, thermal: np.ndarray, visible: np.ndarray, marked: bool) -> Pair:
    size = ImageSize.of(thermal)
    if ImageSize.of(visible) != size:
        raise DatasetError(
            f"{files.thermal} is {size} and its visible partner {ImageSize.of(visible)};"
            " align them and bring them to one size."
        )
    if min(size) < MINIMUM_SIDE:
        raise DatasetError(
            f"{files.thermal} is {size}; remove it or give at least {MINIMUM_SIDE}x{MINIMUM_SIDE} pixels."
        )
    luma, _ = split_luma(visible, "bgr8")
    return Pair(thermal, luma, _salience(files, thermal), warm_marks(thermal) if marked else None)


def _salience(files: PairFiles, thermal: np.ndarray) -> np.ndarray:
    if files.labels is None:
        salience = thermal_saliency(torch.from_numpy(thermal)[None, None] / 255.0)[0, 0]
        return (salience * 255.0).round().to(torch.uint8).numpy()
    labels = read_labels(files.labels)
    if labels.shape != thermal.shape:
        raise DatasetError(
            f"{files.labels} is {ImageSize.of(labels)}, its pair {ImageSize.of(thermal)}; give one size."
        )
    return np.isin(labels, files.source.salient_classes).astype(np.uint8) * 255


class CropDataset(Dataset[Tensor]):
    """Random square crops of all pairs, which are read once into memory.

    Item i, for any i >= 0, is uint8, crop pixels a side: the planes of pair i modulo the length (`Pair.planes`),
    mirrored and turned by quarter turns, some of them with any pair's visible picture, or with smoke or glare
    over it; where and how depends on the seed and i alone. So a run that goes on from a checkpoint sees the crops
    that it would have seen, in any number of worker processes (`CropSampler` counts on through the epochs). Pairs
    smaller than the crop are mirrored at their border up to it.

    Args:
        files: of all pairs.
        crop: side, pixels.
        seed: of everything that is drawn.
        smoke, glare: the shares of the crops that get it (`training/weather.py`).
        recombined: the share of the crops whose visible plane is cut out of any pair.
        marked: whether the pairs' warm objects are found.

    Raises:
        DatasetError: as `read_pairs`, or there is no pair at all.
        SourceError: a file is not a readable image or video.
    """

    def __init__(
        self,
        files: Sequence[PairFiles],
        crop: int,
        seed: int = 0,
        smoke: float = 0.0,
        glare: float = 0.0,
        recombined: float = 0.0,
        marked: bool = True,
    ) -> None:
        self._crop = crop
        self._seed = seed
        self._smoke, self._glare, self._recombined = smoke, glare, recombined
        self._pairs: list[np.ndarray] = []
        self._items: list[int] = []
        for entry in files:
            for pair in read_pairs(entry, marked):
                self._items += [len(self._pairs)] * entry.source.repeat
                self._pairs.append(self._at_least_crop(pair.planes()))
        if not self._items:
            raise DatasetError("The data sources leave no pair to train on; check their roots and exclusions.")

    def _at_least_crop(self, planes: np.ndarray) -> np.ndarray:
        missing = [max(0, self._crop - side) for side in planes.shape[1:]]
        return np.pad(planes, ((0, 0), (0, missing[0]), (0, missing[1])), mode="symmetric") if any(missing) else planes

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Tensor:
        random = np.random.default_rng((self._seed, index))
        crop = self._cut(index % len(self), random)
        if self._recombined and random.random() < self._recombined:
            crop = crop.clone()
            crop[_LUMA] = self._cut(int(random.integers(len(self))), random)[_LUMA]
        return self._under_weather(crop, random) if self._smoke or self._glare else crop

    def _cut(self, item: int, random: np.random.Generator) -> Tensor:
        planes = self._pairs[self._items[item]]
        top, left = (int(random.integers(side - self._crop + 1)) for side in planes.shape[1:])
        crop = torch.from_numpy(planes[:, top : top + self._crop, left : left + self._crop])
        crop = torch.rot90(crop, int(random.integers(4)), (1, 2))
        return crop.flip(2) if random.integers(2) else crop

    def _under_weather(self, crop: Tensor, random: np.random.Generator) -> Tensor:
        visible = crop[_LUMA] / 255.0
        for share, veil in ((self._glare, glare), (self._smoke, smoke)):
            if random.random() < share:
                visible = veil(visible, random)
        crop = crop.clone()
        crop[_LUMA] = (255.0 * visible).round().to(torch.uint8)
        return crop


class CropSampler(Sampler[int]):
    """The order of one epoch's crops, shuffled by seed and epoch, shared out evenly among DDP's processes.

    The trainer calls `set_epoch`. Crops that do not fill a step of all processes are left out of that epoch.
    """

    def __init__(self, length: int, seed: int, rank: int = 0, processes: int = 1) -> None:
        self._length, self._seed, self._rank, self._processes = length, seed, rank, processes
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return self._length // self._processes

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng((self._seed, self._epoch)).permutation(self._length)
        mine = order[self._rank :: self._processes][: len(self)]
        return iter((mine + self._epoch * self._length).tolist())
