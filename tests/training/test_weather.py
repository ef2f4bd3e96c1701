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

"""Smoke hides what is below it, glare saturates; both are drawn from the random numbers that they are given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from refinefuse_ros.training.config import Source
from refinefuse_ros.training.dataset import CropDataset, find_pairs
from refinefuse_ros.training.weather import glare, smoke

SEEDS = range(20)


def stripes() -> torch.Tensor:
    return (torch.arange(64) % 8 < 4).float().expand(1, 64, 64) * 0.5


def contrasts(picture: torch.Tensor) -> torch.Tensor:
    """Of each 8x8 block: the spread of its pixels."""
    return picture[0].unfold(0, 8, 8).unfold(1, 8, 8).flatten(2).std(dim=2)


def test_smoke_is_bright_and_hides_parts_of_the_picture_and_not_others() -> None:
    clear = float(contrasts(stripes()).mean())
    pictures = [smoke(stripes(), np.random.default_rng(seed)) for seed in SEEDS]
    hidden = [float((contrasts(picture) < 0.5 * clear).float().mean()) for picture in pictures]
    assert all(picture.min() >= 0 and picture.max() <= 1 for picture in pictures)
    assert any(0.1 < share < 0.9 for share in hidden)
    assert float(np.mean([float(picture.mean()) for picture in pictures])) > 0.25 + 0.05


def test_glare_brightens_up_to_white() -> None:
    pictures = [glare(stripes(), np.random.default_rng(seed)) for seed in SEEDS]
    assert all(float(picture[0, 0, 4]) == 0 for picture in pictures)
    brightest = [float(picture.max()) for picture in pictures]
    assert 0.5 <= min(brightest) < 0.7
    assert max(brightest) == 1.0


@pytest.mark.parametrize("weather", ["smoke", "glare", "recombined"])
def test_crops_get_it_by_share_and_only_on_the_visible_plane(tmp_path: Path, write_pair, weather: str) -> None:
    write_pair(tmp_path, "a", size=(90, 70))
    files = find_pairs(Source(tmp_path, repeat=40))
    clear, some = CropDataset(files, 32), CropDataset(files, 32, **{weather: 0.5})
    others = [0, 2, 3, 4, 5]
    changed = 0
    for index in range(len(clear)):
        before, after = clear[index], some[index]
        assert torch.equal(before[others], after[others])
        assert torch.equal(after, some[index])
        changed += not torch.equal(before[1], after[1])
    assert 8 < changed < 32
