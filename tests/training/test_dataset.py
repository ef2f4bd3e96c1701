# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Pairs are found by name and stay aligned through every crop and turn; bad folders get one clear sentence."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from refinefuse_ros.image.files import SourceError
from refinefuse_ros.training.dataset import CropDataset, DatasetError, Source, find_pairs, read_pairs


def write_pair(
    root: Path, name: str, size: tuple[int, int] = (48, 40), folders: tuple[str, str] = ("thermal", "rgb")
) -> None:
    """A thermal image and its visible partner, which is the thermal one's negative in grey."""
    random = np.random.default_rng(len(name))
    thermal = random.integers(0, 256, size, dtype=np.uint8)
    for folder, pixels in zip(folders, (thermal, cv2.merge([255 - thermal] * 3)), strict=True):
        (root / folder).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / folder / f"{name}.png"), pixels)


def write_video(path: Path, values: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for value in values:
        writer.write(np.full((48, 64, 3), value, np.uint8))
    writer.release()


@pytest.mark.parametrize(
    "folders", [("thermal", "rgb"), ("ir", "vi"), ("Ir", "Vis"), ("cropinfrared", "crop_LR_visible")]
)
def test_known_layouts_are_recognised(tmp_path: Path, folders: tuple[str, str]):
    write_pair(tmp_path, "b", folders=folders)
    write_pair(tmp_path, "a", folders=folders)
    assert [(t.stem, v.stem) for t, v in find_pairs(tmp_path)] == [("a", "a"), ("b", "b")]


def test_planes_are_thermal_and_luma(tmp_path: Path):
    write_pair(tmp_path, "a")
    (pair,) = read_pairs(Source(tmp_path))
    assert pair.thermal.shape == pair.luma.shape == pair.salience.shape == (48, 40)
    np.testing.assert_array_equal(pair.luma, 255 - pair.thermal)


def test_excluded_names_are_left_out(tmp_path: Path):
    write_pair(tmp_path, "a")
    write_pair(tmp_path, "b")
    assert len(list(read_pairs(Source(tmp_path, exclude=("b",))))) == 1


def test_videos_pair_frame_by_frame_with_a_stride(tmp_path: Path):
    write_video(tmp_path / "thermal" / "clip.avi", [0, 20, 40, 60, 80])
    write_video(tmp_path / "rgb" / "clip.avi", [250, 220, 190, 160, 130])
    pairs = list(read_pairs(Source(tmp_path, stride=2)))
    assert [round(float(p.thermal.mean()), -1) for p in pairs] == [0, 40, 80]
    assert [round(float(p.luma.mean()), -1) for p in pairs] == [250, 190, 130]


def test_crops_keep_thermal_and_luma_aligned_and_vary(tmp_path: Path):
    write_pair(tmp_path, "a", size=(90, 70))
    dataset = CropDataset([Source(tmp_path, repeat=16)], crop=32)
    crops = [dataset[i] for i in range(len(dataset))]
    assert len(crops) == 16
    for crop in crops:
        assert crop.shape == (3, 32, 32)
        torch.testing.assert_close(crop[1], 1.0 - crop[0])
    assert len({float(crop[0, 0, 0]) for crop in crops}) > 4


def test_the_seed_fixes_the_crops(tmp_path: Path):
    write_pair(tmp_path, "a")
    dataset = CropDataset([Source(tmp_path)], crop=32)
    torch.manual_seed(5)
    first = dataset[0]
    torch.manual_seed(5)
    torch.testing.assert_close(dataset[0], first, rtol=0, atol=0)


def test_pairs_below_the_crop_are_mirrored_up_to_it(tmp_path: Path):
    write_pair(tmp_path, "a", size=(40, 33))
    assert CropDataset([Source(tmp_path)], crop=64)[0].shape == (3, 64, 64)


def test_a_missing_folder_is_named(tmp_path: Path):
    with pytest.raises(DatasetError, match="no folder named thermal"):
        find_pairs(tmp_path)
    with pytest.raises(DatasetError, match="no folder named thermal"):
        find_pairs(tmp_path / "absent")


def test_an_empty_folder_is_named(tmp_path: Path):
    write_pair(tmp_path, "a")
    (tmp_path / "rgb" / "a.png").unlink()
    with pytest.raises(DatasetError, match="rgb holds no image"):
        find_pairs(tmp_path)


def test_a_lonely_file_is_named(tmp_path: Path):
    write_pair(tmp_path, "a")
    write_pair(tmp_path, "b")
    (tmp_path / "rgb" / "b.png").unlink()
    with pytest.raises(DatasetError, match="the first is b"):
        find_pairs(tmp_path)


def test_a_tiny_pair_is_named(tmp_path: Path):
    write_pair(tmp_path, "a", size=(31, 64))
    with pytest.raises(DatasetError, match="64x31"):
        list(read_pairs(Source(tmp_path)))


def test_unequal_sizes_are_named(tmp_path: Path):
    write_pair(tmp_path, "a")
    cv2.imwrite(str(tmp_path / "rgb" / "a.png"), np.zeros((50, 40, 3), np.uint8))
    with pytest.raises(DatasetError, match="40x48 and its visible partner 40x50"):
        list(read_pairs(Source(tmp_path)))


def test_an_unreadable_image_is_named(tmp_path: Path):
    write_pair(tmp_path, "a")
    (tmp_path / "rgb" / "a.png").write_bytes(b"not an image")
    with pytest.raises(SourceError, match=r"rgb.a\.png"):
        list(read_pairs(Source(tmp_path)))


def test_sources_that_leave_nothing_are_refused(tmp_path: Path):
    write_pair(tmp_path, "a")
    with pytest.raises(DatasetError, match="no pair to train on"):
        CropDataset([Source(tmp_path, exclude=("a",))], crop=32)
