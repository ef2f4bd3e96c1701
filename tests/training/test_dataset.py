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

"""Pairs are found by name and stay aligned through every crop and turn; bad folders get one clear sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from refinefuse_ros.image.files import SourceError
from refinefuse_ros.training.config import Source
from refinefuse_ros.training.dataset import (
    CropDataset,
    CropSampler,
    DatasetError,
    Pair,
    PairFiles,
    find_pairs,
    read_pairs,
    split,
)
from refinefuse_ros.training.losses import LossConfig

WritePair = Callable[..., None]


def all_pairs(source: Source) -> list[Pair]:
    return [pair for files in find_pairs(source) for pair in read_pairs(files)]


def write_video(path: Path, values: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for value in values:
        writer.write(np.full((48, 64, 3), value, np.uint8))
    writer.release()


@pytest.mark.parametrize(
    "folders",
    [("thermal", "rgb"), ("ir", "vi"), ("Ir", "Vis"), ("Infrared", "Visible"), ("cropinfrared", "crop_LR_visible")],
)
def test_known_layouts_are_recognised(tmp_path: Path, write_pair: WritePair, folders: tuple[str, str]):
    write_pair(tmp_path, "b", folders=folders)
    write_pair(tmp_path, "a", folders=folders)
    assert [(pair.thermal.stem, pair.visible.stem) for pair in find_pairs(Source(tmp_path))] == [("a", "a"), ("b", "b")]


def test_planes_are_thermal_and_luma(tmp_path: Path, write_pair: WritePair):
    write_pair(tmp_path, "a")
    (pair,) = all_pairs(Source(tmp_path))
    assert pair.thermal.shape == pair.luma.shape == pair.salience.shape == (48, 40)
    np.testing.assert_array_equal(pair.luma, 255 - pair.thermal)


def test_a_16_bit_thermal_image_is_stretched_to_its_range(tmp_path: Path, write_pair: WritePair):
    write_pair(tmp_path, "a")
    ramp = np.linspace(20_000, 30_000, 48 * 40).reshape(48, 40).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "thermal" / "a.png"), ramp)
    (pair,) = all_pairs(Source(tmp_path))
    assert pair.thermal.dtype == np.uint8
    assert int(pair.thermal.min()) < 5
    assert int(pair.thermal.max()) > 250


def test_labels_say_what_is_salient(tmp_path: Path, write_pair: WritePair):
    write_pair(tmp_path, "a")
    labels = np.zeros((48, 40), np.uint8)
    labels[:10], labels[10:20] = 2, 7  # a person, a cone
    (tmp_path / "Segmentation_labels").mkdir()
    cv2.imwrite(str(tmp_path / "Segmentation_labels" / "a.png"), labels)
    (pair,) = all_pairs(Source(tmp_path))
    np.testing.assert_array_equal(pair.salience, np.where(labels == 2, 255, 0))


def test_a_coloured_label_map_is_named(tmp_path: Path, write_pair: WritePair):
    write_pair(tmp_path, "a")
    (tmp_path / "labels").mkdir()
    cv2.imwrite(str(tmp_path / "labels" / "a.png"), np.full((48, 40, 3), 2, np.uint8))
    with pytest.raises(SourceError, match=r"labels.a\.png is coloured"):
        all_pairs(Source(tmp_path))


def test_excluded_names_are_left_out(tmp_path: Path, write_pair: WritePair):
    write_pair(tmp_path, "a")
    write_pair(tmp_path, "b")
    assert [pair.thermal.stem for pair in find_pairs(Source(tmp_path, exclude=("b",)))] == ["a"]


def test_videos_pair_frame_by_frame_with_a_stride(tmp_path: Path):
    write_video(tmp_path / "thermal" / "clip.avi", [0, 20, 40, 60, 80])
    write_video(tmp_path / "rgb" / "clip.avi", [250, 220, 190, 160, 130])
    pairs = all_pairs(Source(tmp_path, stride=2))
    assert [round(float(p.thermal.mean()), -1) for p in pairs] == [0, 40, 80]
    assert [round(float(p.luma.mean()), -1) for p in pairs] == [250, 190, 130]


def test_every_nth_file_is_held_out(tmp_path: Path, write_pair: WritePair):
    for name in "abcdefg":
        write_pair(tmp_path, name)
    training, validation = split(find_pairs(Source(tmp_path)), 3)
    assert ["".join(pair.thermal.stem for pair in part) for part in (training, validation)] == ["abdeg", "cf"]
    assert split(find_pairs(Source(tmp_path)), 0)[1] == []


def test_crops_keep_thermal_and_luma_aligned_and_vary(tmp_path: Path, write_pair: WritePair):
    write_pair(tmp_path, "a", size=(90, 70))
    dataset = CropDataset(find_pairs(Source(tmp_path, repeat=16)), crop=32)
    crops = [dataset[i] for i in range(len(dataset))]
    assert len(crops) == 16
    for crop in crops:
        assert crop.shape == (6, 32, 32)
        assert torch.equal(crop[1], 255 - crop[0])
    assert len({float(crop[0, 0, 0]) for crop in crops}) > 4


def test_a_crop_depends_on_the_seed_and_its_number_alone(tmp_path: Path, write_pair: WritePair):
    write_pair(tmp_path, "a", size=(90, 70))
    files = find_pairs(Source(tmp_path))
    first, same, other = (CropDataset(files, 32, seed)[7] for seed in (5, 5, 6))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_recombined_crops_show_their_own_thermal_before_any_pairs_visible_picture(tmp_path: Path):
    for name, level in (("a", 20), ("b", 200)):
        for folder, value in (("thermal", level), ("rgb", 255 - level)):
            (tmp_path / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / f"{name}.png"), np.full((40, 40, 3), value, np.uint8))
    crops = CropDataset(find_pairs(Source(tmp_path, repeat=10)), 32, recombined=1.0)
    seen = {(int(crop[0, 0, 0]), int(crop[1, 0, 0])) for crop in (crops[i] for i in range(len(crops)))}
    assert seen == {(20, 235), (20, 55), (200, 235), (200, 55)}


@given(length=st.integers(1, 50), processes=st.integers(1, 4), epoch=st.integers(0, 5))
def test_processes_share_an_epoch_without_overlap(length: int, processes: int, epoch: int):
    shares = []
    for rank in range(processes):
        sampler = CropSampler(length, seed=1, rank=rank, processes=processes)
        sampler.set_epoch(epoch)
        shares.append(list(sampler))
        assert len(shares[-1]) == len(sampler) == length // processes
    items = [item for share in shares for item in share]
    assert len(set(items)) == len(items)
    assert all(epoch * length <= item < (epoch + 1) * length for item in items)


def test_epochs_come_in_different_orders():
    sampler = CropSampler(20, seed=1)
    first = list(sampler)
    sampler.set_epoch(1)
    assert [item - 20 for item in sampler] != first


def test_pairs_below_the_crop_are_mirrored_up_to_it(tmp_path: Path, write_pair: WritePair):
    write_pair(tmp_path, "a", size=(40, 33))
    assert CropDataset(find_pairs(Source(tmp_path)), crop=64)[0].shape == (6, 64, 64)


def test_warm_objects_are_looked_for_only_where_the_loss_asks_for_them(tmp_path: Path, write_pair: WritePair):
    write_pair(tmp_path, "a", size=(40, 40))
    assert not LossConfig().asks_for_warm_objects
    assert LossConfig(kept_weight=1.0).asks_for_warm_objects
    assert LossConfig(ring_weight=1.0).asks_for_warm_objects
    files = find_pairs(Source(tmp_path))
    with_marks, without = (CropDataset(files, 32, marked=marked)[3] for marked in (True, False))
    assert without.shape == (3, 32, 32)
    assert torch.equal(without, with_marks[:3])


def test_a_missing_folder_is_named(tmp_path: Path):
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DatasetError, match="no folder named thermal"):
            find_pairs(Source(root))


def test_an_empty_folder_is_named(tmp_path: Path, write_pair: WritePair):
    write_pair(tmp_path, "a")
    (tmp_path / "rgb" / "a.png").unlink()
    with pytest.raises(SourceError, match=r"rgb \(0 files\)"):
        find_pairs(Source(tmp_path))


def test_a_lonely_file_is_named(tmp_path: Path, write_pair: WritePair):
    write_pair(tmp_path, "a")
    write_pair(tmp_path, "b")
    (tmp_path / "rgb" / "b.png").unlink()
    with pytest.raises(DatasetError, match="the first is b"):
        find_pairs(Source(tmp_path))


def test_an_excluded_name_that_is_not_there_is_named(tmp_path: Path, write_pair: WritePair):
    write_pair(tmp_path, "a")
    with pytest.raises(DatasetError, match="no pair named z"):
        find_pairs(Source(tmp_path, exclude=("z",)))


def test_a_tiny_pair_is_named(tmp_path: Path, write_pair: WritePair):
    write_pair(tmp_path, "a", size=(31, 64))
    with pytest.raises(DatasetError, match="64x31"):
        all_pairs(Source(tmp_path))


def test_unequal_sizes_are_named(tmp_path: Path, write_pair: WritePair):
    write_pair(tmp_path, "a")
    cv2.imwrite(str(tmp_path / "rgb" / "a.png"), np.zeros((50, 40, 3), np.uint8))
    with pytest.raises(DatasetError, match="40x48 and its visible partner 40x50"):
        all_pairs(Source(tmp_path))


def test_an_unreadable_image_is_named(tmp_path: Path, write_pair: WritePair):
    write_pair(tmp_path, "a")
    (tmp_path / "rgb" / "a.png").write_bytes(b"not an image")
    with pytest.raises(SourceError, match=r"rgb.a\.png"):
        all_pairs(Source(tmp_path))


def test_no_pair_at_all_is_refused():
    nothing: list[PairFiles] = []
    with pytest.raises(DatasetError, match="no pair to train on"):
        CropDataset(nothing, crop=32)
