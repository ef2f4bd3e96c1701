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

"""A picture is the last one again to the last bit or it is not; a flat one has lost what its camera's usually have."""

from __future__ import annotations

import numpy as np
import pytest

from refinefuse_ros.image.standstill import PictureMemory


def noisy(seed: int, low: int = 29_000, high: int = 31_000) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, (60, 80)).astype(np.uint16)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("changed", [(0, 0), (59, 79), (17, 33)])
def test_a_single_changed_pixel_is_seen(dtype: type, changed: tuple[int, int]) -> None:
    memory = PictureMemory(knows_flat=True)
    first = noisy(1).astype(dtype)
    assert not memory.look(first).repeated
    assert memory.look(first.copy()).repeated
    second = first.copy()
    second[changed] += 1
    assert not memory.look(second).repeated
    assert not memory.look(first).repeated


def test_another_size_or_depth_is_another_picture() -> None:
    memory = PictureMemory(knows_flat=False)
    memory.look(np.zeros((60, 80), np.uint8))
    assert not memory.look(np.zeros((60, 81), np.uint8)).repeated
    assert not memory.look(np.zeros((60, 81), np.uint16)).repeated


def test_a_closed_shutter_is_flat() -> None:
    memory = PictureMemory(knows_flat=True)
    assert not any(memory.look(noisy(seed)).flat for seed in range(10))
    assert all(memory.look(noisy(seed, 30_100, 30_106)).flat for seed in range(10))
    assert not memory.look(noisy(1)).flat


def test_a_camera_that_was_never_otherwise_is_not_flat() -> None:
    memory = PictureMemory(knows_flat=True)
    assert not any(memory.look(noisy(seed, 30_100, 30_106)).flat for seed in range(20))


def test_a_dull_scene_is_not_flat() -> None:
    memory = PictureMemory(knows_flat=True)
    for seed in range(10):
        memory.look(noisy(seed))
    assert not memory.look(noisy(1, 30_000, 30_200)).flat


def test_only_a_camera_that_knows_flat_is_judged() -> None:
    memory = PictureMemory(knows_flat=False)
    for seed in range(10):
        memory.look(noisy(seed))
    assert not memory.look(np.full((60, 80), 30_000, np.uint16)).flat


def test_float_pictures_may_hold_no_number() -> None:
    memory = PictureMemory(knows_flat=True)
    empty = np.full((60, 80), np.nan, np.float32)
    assert not memory.look(empty).flat
    assert not memory.look(noisy(1).astype(np.float32)).flat


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_numbers_beyond_all_measure_do_not_make_what_follows_flat() -> None:
    memory = PictureMemory(knows_flat=True)
    beyond = np.tile(np.array([1e38, -1e38], np.float32), (60, 40))
    assert not any(memory.look(beyond).flat for _ in range(20))
    assert not memory.look(np.full((60, 80), 1e300)).flat
    assert not any(memory.look(noisy(seed).astype(np.float32)).flat for seed in range(10))
