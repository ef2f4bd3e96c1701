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

from __future__ import annotations

import numpy as np
import pytest

from refinefuse_ros.image.steadying import STEADY_FRAMES, Steadier

SHAPE = (40, 60)


def plane(value: int) -> np.ndarray:
    return np.full(SHAPE, value, np.uint8)


def noisy(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(90, 110, SHAPE).astype(np.uint8)


def test_a_still_scene_is_the_mean_of_the_last_frames() -> None:
    steadier = Steadier()
    frames = [noisy(seed) for seed in range(7)]
    for newest, fused in enumerate(frames):
        steadied = steadier.steady(plane(50), plane(60), fused)
        averaged = frames[max(0, newest - STEADY_FRAMES + 1) : newest + 1]
        assert np.abs(steadied - np.mean(averaged, axis=0)).max() <= 0.5 + 1e-6


def test_noise_of_a_still_scene_flickers_less_than_half() -> None:
    steadier = Steadier()
    raw = [noisy(seed).astype(int) for seed in range(20)]
    steadied = [steadier.steady(plane(50), plane(60), fused.astype(np.uint8)).astype(int) for fused in raw]
    change = [np.abs(np.diff(frames[STEADY_FRAMES:], axis=0)).mean() for frames in (raw, steadied)]
    assert change[1] < 0.4 * change[0]


@pytest.mark.parametrize("moving", ["thermal", "visible"])
def test_where_a_source_changed_the_new_value_stands_at_once(moving: str) -> None:
    steadier = Steadier()
    sources = {"thermal": plane(50), "visible": plane(60)}
    for _ in range(STEADY_FRAMES):
        steadier.steady(**sources, fused=plane(100))
    changed = sources[moving].copy()
    changed[:, :30] += 3
    steadied = steadier.steady(**(sources | {moving: changed}), fused=plane(200))
    assert (steadied[:, :30] == 200).all()
    assert (steadied[:, 30:] == 125).all()
    later = steadier.steady(**(sources | {moving: changed}), fused=plane(200))
    assert (later[:, :30] == 200).all(), "nothing from before the change comes back"


def test_a_slow_change_lags_by_a_frame_and_a_half() -> None:
    steadier = Steadier()
    for level in range(0, 200, 2):
        steadied = steadier.steady(plane(level), plane(level), plane(level))
    assert (steadied == 198 - 3).all()


def test_what_was_given_is_neither_changed_nor_smeared_over_another_size() -> None:
    steadier = Steadier()
    first, second = noisy(1), noisy(2)
    kept = second.copy()
    steadier.steady(plane(50), plane(60), first)
    steadier.steady(plane(50), plane(60), second)
    assert (second == kept).all()
    small = first[:20, :20].copy()
    assert (steadier.steady(small, small, small) == small).all()
    assert (steadier.steady(plane(50), plane(60), first) == first).all()
