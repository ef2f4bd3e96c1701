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

"""Videos of known motion: what moves with its sources is no error, and what does not has an error that is known."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from refinefuse_ros.evaluation.motion import MOTION_FRAMES_BEFORE, RGB, THERMAL, Motion, MotionNumbers, VideoFrame

SHAPE = (96, 128)
RIM = 24


def texture(seed: int) -> np.ndarray:
    """Blobs of levels 60 to 180, larger than a frame by RIM pixels on each side."""
    noise = np.random.default_rng(seed).integers(0, 256, (SHAPE[0] + 2 * RIM, SHAPE[1] + 2 * RIM), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.5), None, 60, 180, cv2.NORM_MINMAX)


def seen(scene: np.ndarray, x: int) -> np.ndarray:
    """The frame in which the scene has moved to the right by x pixels."""
    return np.ascontiguousarray(scene[RIM:-RIM, RIM - x : RIM - x + SHAPE[1]])


def frame(begins: bool = False, **planes: np.ndarray) -> VideoFrame:
    grey = {{"ir": THERMAL, "vis": RGB}.get(label, label): plane for label, plane in planes.items()}
    return VideoFrame({label: cv2.cvtColor(plane, cv2.COLOR_GRAY2BGR) for label, plane in grey.items()}, grey, begins)


def frames(places: Sequence[int], fused: Sequence[np.ndarray] | None = None) -> list[VideoFrame]:
    """Two scenes that move together; fused is the mean of both if nothing else is given."""
    scenes = texture(1), texture(2)
    found = []
    for index, x in enumerate(places):
        ir, vis = (seen(scene, x) for scene in scenes)
        mean = cv2.addWeighted(ir, 0.5, vis, 0.5, 0)
        found.append(frame(ir=ir, vis=vis, fused=mean if fused is None else fused[index]))
    return found


def followed(video: list[VideoFrame]) -> Motion:
    motion = Motion()
    motion.follow(video)
    return motion


def test_what_moves_with_its_sources_has_no_error() -> None:
    motion = followed(frames([0, 3, 6, 9]))
    for label in ("fused", THERMAL, RGB):
        numbers = motion.value(label)
        assert numbers.biswe == pytest.approx(0, abs=0.3)
        assert numbers.flowd == pytest.approx(0, abs=0.5)
        assert numbers.ms2r == pytest.approx(0, abs=0.1)


def test_rgb_leads_and_what_comes_from_outside_of_the_picture_does_not_count() -> None:
    scenes = texture(1), texture(2), texture(3)
    ir, vis, fused = (seen(scene, 0) for scene in scenes)
    moved = [seen(scene, 8) for scene in scenes]
    with_rgb = followed([frame(ir=ir, vis=vis, fused=fused), frame(ir=ir, vis=moved[1], fused=moved[2])])
    assert with_rgb.value("fused").flowd == pytest.approx(0, abs=0.5)
    alone = followed([frame(ir=ir, vis=vis, fused=fused), frame(ir=ir, vis=vis, fused=moved[2])])
    assert alone.value("fused").biswe == pytest.approx(0, abs=0.5)
    assert alone.value("fused").flowd > 20


def test_what_changes_its_level_differs_by_it_from_both_neighbours_and_in_three_channels() -> None:
    mean = texture(3)
    levels = [0, 10, 0, 10]
    motion = followed(frames([5] * 4, [seen(mean, 5) + np.uint8(level) for level in levels]))
    numbers = motion.value("fused")
    assert numbers.biswe == pytest.approx(10 + 10, rel=0.02)
    assert numbers.flowd == pytest.approx(10 * 3**0.5, rel=1e-3)
    assert numbers.ms2r == pytest.approx(0, abs=0.1)


def test_what_stands_still_while_its_sources_move_differs_by_what_they_move_over() -> None:
    still = seen(texture(3), 0)
    numbers = followed(frames([0, 3], [still, still])).value("fused")
    moved = np.abs(still[:, 3:].astype(float) - still[:, :-3]).mean()
    assert numbers.biswe == 0.0
    assert numbers.flowd == pytest.approx(moved * 3**0.5, rel=0.03)
    assert numbers.ms2r is None


def test_trembling_is_the_second_difference_of_the_flow_that_the_sources_do_not_have() -> None:
    scene = texture(3)
    trembling = [seen(scene, x) for x in (0, 2, 0, 2)]
    numbers = followed(frames([0, 1, 2, 3], trembling)).value("fused")
    assert numbers.ms2r == pytest.approx(4.0, rel=0.03)
    steady = [seen(scene, x) for x in (0, 2, 4, 6)]
    assert followed(frames([0, 1, 2, 3], steady)).value("fused").ms2r == pytest.approx(0, abs=0.1)


def test_trembling_is_against_both_sources() -> None:
    """Thermal trembles like fused, RGB does not: half of it is in no source."""
    scene, other = texture(1), seen(texture(2), 0)
    video = [frame(ir=seen(scene, x), vis=other, fused=seen(scene, x)) for x in (0, 2, 0)]
    assert followed(video).value("fused").ms2r == pytest.approx(2.0, rel=0.03)


def test_pixels_where_a_sources_flow_does_not_lead_back_do_not_count() -> None:
    ir, vis, fused = (seen(texture(seed), 0) for seed in (1, 2, 3))
    brighter, appeared = fused.copy(), ir.copy()
    brighter[:, 64:] += 20
    appeared[:, 64:] = seen(texture(7), 0)[:, 64:]

    def biswe(later_ir: np.ndarray) -> float:
        return (
            followed([frame(ir=ir, vis=vis, fused=fused), frame(ir=later_ir, vis=vis, fused=brighter)])
            .value("fused")
            .biswe
        )

    assert biswe(ir) == pytest.approx(20, rel=0.1)
    assert biswe(appeared) < 0.5 * biswe(ir)


def test_nothing_is_followed_into_another_clip_or_over_a_gap() -> None:
    there = frames([0, 3, 6, 9])
    there[2] = VideoFrame(there[2].colour, there[2].grey, begins=True)
    assert followed(there).value("fused").ms2r is None
    assert followed(there[1:3]).value("fused") == MotionNumbers(None, None, None)
    gap = frames([0, 3, 6, 9])
    gap[2] = frame(ir=gap[2].grey[THERMAL], vis=gap[2].grey[RGB])
    motion = followed(gap)
    assert (motion.value("fused").ms2r, motion.value(RGB).ms2r is None) == (None, False)
    assert motion.value("fused").flowd is not None
    assert Motion().value("fused") == MotionNumbers(None, None, None)


@pytest.mark.parametrize("cuts", [(2,), (3,), (1, 4), (1, 2, 3, 4, 5)])
def test_stretches_add_up_to_the_whole_in_any_threads(cuts: tuple[int, ...]) -> None:
    scene = texture(3)
    video = frames([0, 2, 3, 7, 6, 9], [seen(scene, x) for x in (0, 3, 5, 4, 8, 9)])
    whole, parts = followed(video), Motion()
    with ThreadPoolExecutor(2) as pool:
        for start, end in zip((0, *cuts), (*cuts, len(video)), strict=True):
            part, before = Motion(), min(start, MOTION_FRAMES_BEFORE)
            part.follow(video[start - before : end], before, pool.map)
            parts.extend(part)
    for label in ("fused", THERMAL, RGB):
        assert parts.value(label) == whole.value(label)
