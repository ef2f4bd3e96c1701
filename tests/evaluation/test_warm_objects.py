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

"""Warm objects in scenes whose measures follow from the definitions, and on real pairs where the data is there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from refinefuse_ros.evaluation import warm_objects
from refinefuse_ros.evaluation.metrics import to_grey
from refinefuse_ros.evaluation.warm_objects import WarmObjects, WarmScore, WarmSummary, summarize_warm

MSRS_VAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "msrs_val"

SHAPE = (160, 170)
BODY = (70, 60, 90, 80)  # top, left, bottom, right
COLD, WARM = 50, 200


def scene(*boxes: tuple[int, int, int, int], level: int = WARM, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    plane = np.full(shape, COLD, np.uint8)
    for top, left, bottom, right in boxes:
        plane[top:bottom, left:right] = level
    return plane


def grown(box: tuple[int, int, int, int], by: int) -> tuple[slice, slice]:
    top, left, bottom, right = box
    return slice(top - by, bottom + by), slice(left - by, right + by)


def kept(ir: np.ndarray, fused: np.ndarray) -> tuple[float, ...]:
    return WarmObjects(ir).score(ir, fused).kept


@pytest.mark.parametrize(
    ("level", "expected"),
    [(COLD + 60, 60 / 150), (COLD - 30, 30 / 150), (COLD, 0.0), (WARM, 1.0), (255, 205 / 150)],
)
def test_kept_is_the_share_of_thermals_contrast_of_either_sign(level: int, expected: float):
    assert kept(scene(BODY), scene(BODY, level=level)) == pytest.approx((expected,))


def test_kept_is_at_most_one_and_a_half():
    assert kept(scene(BODY, level=150), scene(BODY, level=255)) == (1.5,)


def test_the_ring_is_what_lies_three_to_seven_pixels_outside():
    fused = np.zeros(SHAPE, np.uint8)
    fused[grown(BODY, 7)] = 80
    fused[grown(BODY, 2)] = 255
    fused[grown(BODY, 0)] = 110
    assert kept(scene(BODY), fused) == pytest.approx((30 / 150,))


def test_the_ring_is_what_an_ellipse_of_15_pixels_adds():
    body = scene(BODY) == WARM
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (15, 15))
    ring = cv2.dilate(body.astype(np.uint8), ellipse) > 0
    ring[grown(BODY, 2)] = False
    fused = np.random.default_rng(4).integers(0, 256, SHAPE, np.uint8)
    assert kept(scene(BODY), fused) == pytest.approx((abs(fused[body].mean() - fused[ring].mean()) / 150,))


def test_another_objects_rim_is_no_part_of_the_ring():
    neighbour = (70, 85, 90, 105)
    fused = scene(BODY, neighbour)
    fused[grown(neighbour, 2)] = 255
    fused[grown(BODY, 0)] = 110
    assert kept(scene(BODY, neighbour), fused)[0] == pytest.approx(60 / 150)


def test_an_object_at_the_pictures_edge_has_the_ring_that_is_left():
    corner = (0, 0, 20, 20)
    fused = np.zeros(SHAPE, np.uint8)
    fused[:27, :27] = 80
    fused[:20, :20] = 110
    assert kept(scene(corner), fused) == pytest.approx((30 / 150,))


@pytest.mark.parametrize(
    ("boxes", "count"),
    [
        ([], 0),
        ([(70, 60, 78, 70)], 1),  # 80 pixels
        ([(70, 60, 77, 71)], 0),  # 77
        ([(70, 60, 82, 72), (82, 72, 94, 84)], 1),  # one corner touches the other
        ([(70, 60, 82, 72), (75, 72, 77, 90), (70, 90, 82, 102)], 2),  # joined by what the opening takes away
        ([(70, 60, 72, 130)], 0),  # nothing else
    ],
)
def test_objects_are_connected_and_have_a_size(boxes: list[tuple[int, int, int, int]], count: int):
    plane = scene(*boxes, level=COLD + 60)  # low enough for the blur not to add a row of pixels
    assert len(WarmObjects(plane)) == count


def test_an_object_of_79_pixels_does_not_count():
    plane = scene((70, 60, 78, 70), level=COLD + 60)
    plane[70, 60] = COLD
    assert len(WarmObjects(plane)) == 0


@pytest.mark.parametrize(("slot", "count"), [(10, 1), (12, 2)])
def test_an_object_needs_40_pixels_to_compare_with(slot: int, count: int):
    """An object inside a frame: their rims fill the gap, and of the slot in the frame they leave 30 or 40 pixels."""
    plane = scene((66, 66, 94, 94))
    plane[71:89, 71:89] = COLD
    plane[66:71, 80 - slot // 2 : 80 + slot // 2] = COLD
    plane[75:85, 75:85] = WARM
    assert len(WarmObjects(plane)) == count


@pytest.mark.parametrize(("height", "count"), [(85, 0), (100, 1)])
def test_an_object_stands_out_from_its_ring_by_24_levels(height: int, count: int):
    """The core of a wide bump is far above the scene, and not much above what lies around the core."""
    y, x = np.indices(SHAPE)
    bump = np.exp(-((y - 80) ** 2 + (x - 85) ** 2) / (2 * 20**2))
    assert len(WarmObjects((COLD + height * bump).astype(np.uint8))) == count


def test_an_object_stands_out_by_the_planes_deviation():
    halves = scene(BODY, level=COLD + 90)
    assert len(WarmObjects(halves)) == 1
    halves[:, 120:] = 255
    assert halves.std() > 80
    assert len(WarmObjects(halves)) == 0


def test_kept_and_lost_weigh_every_object_the_same_over_all_pairs():
    scores = [WarmScore((0.2, 0.24999, 0.25), 0, 0, 0, 0), WarmScore((1.5,), 0, 0, 0, 0), WarmScore((), 0, 0, 0, 0)]
    assert summarize_warm(scores) == WarmSummary(4, pytest.approx((0.2 + 0.24999 + 0.25 + 1.5) / 4), 50.0, None)


def test_ring_is_the_difference_from_visible_beside_objects_less_that_further_away():
    top, left, bottom, right = BODY
    y, x = np.indices(SHAPE)
    dy, dx = (
        np.maximum(np.maximum(low - at, at - high + 1), 0) for at, low, high in ((y, top, bottom), (x, left, right))
    )
    distance = np.hypot(dy, dx)
    near, far = (distance >= 2) & (distance <= 4), (distance >= 20) & (distance <= 30)
    vis = np.random.default_rng(1).integers(40, 200, SHAPE, np.uint8)
    fused = np.where(near, vis - 20, np.where(far, vis + 3, 255)).astype(np.uint8)

    score = WarmObjects(scene(BODY)).score(vis, fused)

    assert (score.near_pixels, score.far_pixels) == (near.sum(), far.sum())
    assert summarize_warm([score]).ring == pytest.approx(-23.0)


def test_ring_weighs_every_pixel_the_same_over_all_pairs():
    scores = [WarmScore((), -30, 3, 10, 10), WarmScore((), 20, 7, 0, 30)]
    assert summarize_warm(scores).ring == pytest.approx(-10 / 10 - 10 / 40)
    assert summarize_warm([WarmScore((), -30, 3, 0, 0)]).ring is None


def test_without_objects_there_is_nothing_to_tell():
    plane = scene()
    assert summarize_warm([WarmObjects(plane).score(plane, plane)]) == WarmSummary(0, None, None, None)
    assert summarize_warm([]) == WarmSummary(0, None, None, None)


@pytest.mark.parametrize("shape", [(241, 333), (400, 307)])
def test_the_wide_blur_of_large_planes_is_that_of_the_whole_plane(shape: tuple[int, int]):
    noise = np.random.default_rng(3).integers(0, 60, shape, np.uint8)
    ir = cv2.add(scene((0, 0, 30, 25), (100, 150, 130, 170), (211, 280, 241, 307), level=170, shape=shape), noise)
    whole = cv2.GaussianBlur(ir.astype(np.float32), (0, 0), min(shape) / 10)
    assert np.abs(warm_objects._scene(ir) - whole).max() < 0.1


def test_scores_are_the_same_with_any_number_of_threads_and_anywhere_in_memory():
    rng = np.random.default_rng(2)
    ir = cv2.add(scene(BODY, (0, 100, 30, 120)), rng.integers(0, 40, SHAPE, np.uint8))
    planes = [ir, *rng.integers(0, 256, (2, *SHAPE), np.uint8)]
    expected = WarmObjects(planes[0]).score(*planes[1:])
    threads = cv2.getNumThreads()
    try:
        for offset in range(1, 8):
            cv2.setNumThreads(offset)
            moved = [np.empty(plane.size + offset, np.uint8)[offset:].reshape(SHAPE) for plane in planes]
            for target, plane in zip(moved, planes, strict=True):
                target[:] = plane
            assert WarmObjects(moved[0]).score(*moved[1:]) == expected
    finally:
        cv2.setNumThreads(threads)


def test_wrong_planes_are_refused_with_a_sentence():
    plane = scene(BODY)
    with pytest.raises(ValueError, match=r"ir is float32 of shape \(160, 170\)"):
        WarmObjects(plane.astype(np.float32))
    with pytest.raises(ValueError, match="ir is 170x160 pixels but fused is 169x160"):
        WarmObjects(plane).score(plane, plane[:, 1:])


@pytest.mark.skipif(not MSRS_VAL.is_dir(), reason="the msrs_val pairs are not beside the repository")
def test_what_seafusions_published_images_and_rgb_alone_show_of_warm_objects():
    def score(name: str) -> tuple[WarmScore, WarmScore]:
        ir, vis, fused = (
            to_grey(cv2.imread(str(MSRS_VAL / folder / name), cv2.IMREAD_UNCHANGED))
            for folder in ("thermal", "rgb", "seafusion_fused")
        )
        objects = WarmObjects(ir)
        return objects.score(vis, fused), objects.score(vis, vis)

    names = sorted(path.name for path in (MSRS_VAL / "seafusion_fused").glob("*.png"))
    with ThreadPoolExecutor(2) as pool:
        seafusion, rgb = (summarize_warm(scores) for scores in zip(*pool.map(score, names), strict=True))
    assert seafusion.kept == pytest.approx(0.799, abs=5e-4)
    assert seafusion.lost == pytest.approx(12.1, abs=0.1)
    assert seafusion.ring == pytest.approx(6.7, abs=0.05)
    assert (rgb.lost, rgb.ring) == (pytest.approx(49.4, abs=0.1), 0.0)
