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

"""The synthetic street: repeatable, seamless, and telling each camera what a real one would see."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.synthetic import SyntheticScene

WIDTH, HEIGHT = 320, 256
# Warmer than everything in the street but people and the car's engine and wheels, in counts.
BODY_HEAT = 29350
# The car is still far away.
QUIET_MOMENTS = (2.0, 2.6, 3.4, 4.0)


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return SyntheticScene(WIDTH, HEIGHT)


def luma(bgr: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY).astype(float)


def people(thermal: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the mask of each upright warm body and of the ring around it."""
    warm = thermal > BODY_HEAT
    warm[: thermal.shape[0] // 2] = False
    count, labels, stats, _ = cv2.connectedComponentsWithStats(warm.astype(np.uint8))
    near_anything_warm = cv2.dilate(warm.astype(np.uint8), np.ones((3, 3))).astype(bool)
    found = []
    for label in range(1, count):
        _, _, width, height, area = stats[label]
        if area > 40 and height > width:
            body = labels == label
            around = cv2.dilate(body.astype(np.uint8), np.ones((9, 9))).astype(bool) & ~near_anything_warm
            found.append((body, around))
    return found


@pytest.mark.parametrize(("width", "height"), [(32, 32), (45, 61), (321, 256), (640, 480)])
def test_every_size_is_rendered_throughout_the_period(width, height):
    scene = SyntheticScene(width, height)
    assert scene.size == ImageSize(width, height)
    for moment in np.arange(0.0, SyntheticScene.PERIOD_S, 0.9):
        thermal, bgr = scene.render(float(moment))
        assert (thermal.dtype, thermal.shape) == (np.uint16, (height, width))
        assert (bgr.dtype, bgr.shape) == (np.uint8, (height, width, 3))


@pytest.mark.parametrize(("width", "height"), [(31, 480), (640, 0), (-640, 480)])
def test_a_size_without_room_for_a_scene_is_refused(width, height):
    with pytest.raises(ValueError, match=f"{width}x{height}"):
        SyntheticScene(width, height)


def test_the_same_seed_and_time_give_the_same_pair(scene):
    again = SyntheticScene(WIDTH, HEIGHT)
    again.render(1.0)
    for ours, theirs in zip(scene.render(7.77), again.render(7.77), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_another_seed_is_another_street(scene):
    thermal, bgr = SyntheticScene(WIDTH, HEIGHT, seed=1).render(7.77)
    assert not np.array_equal(thermal, scene.render(7.77)[0])
    assert not np.array_equal(bgr, scene.render(7.77)[1])


def test_a_pair_belongs_to_the_caller(scene):
    thermal, bgr = scene.render(3.0)
    kept = thermal.copy(), bgr.copy()
    thermal[:], bgr[:] = 0, 0
    for ours, before in zip(scene.render(3.0), kept, strict=True):
        np.testing.assert_array_equal(ours, before)


@pytest.mark.parametrize("periods", [-3, 1, 250])
def test_the_scene_repeats_exactly(scene, periods):
    for ours, later in zip(scene.render(4.3), scene.render(4.3 + periods * scene.PERIOD_S), strict=True):
        np.testing.assert_array_equal(ours, later)


def test_the_loop_has_no_seam(scene):
    def change(start: float) -> np.ndarray:
        pairs = zip(scene.render(start), scene.render(start + 1 / 60), strict=True)
        return np.array([cv2.absdiff(a, b).mean() for a, b in pairs])

    usual = np.median([change(start) for start in np.arange(0.5, 11.0, 1.0)], axis=0)
    assert (change(scene.PERIOD_S - 1 / 60) < 1.3 * usual).all()


def test_temperatures_are_those_of_a_cool_night(scene):
    thermal, _ = scene.render(1.0)
    road, sky = thermal[-20:].mean(), thermal[:20, 150:170].mean()
    assert 28500 < road < 29200
    assert sky < road - 400
    assert thermal.min() > 27000
    assert 30000 < thermal.max() < 31500


@pytest.mark.parametrize("moment", QUIET_MOMENTS)
def test_people_are_bright_to_the_thermal_camera_and_not_to_the_rgb_camera(scene, moment):
    thermal, bgr = scene.render(moment)
    grey, found = luma(bgr), people(thermal)
    assert len(found) >= 3
    for body, around in found:
        assert thermal[body].mean() > thermal[around].mean() + 500
        assert grey[body].mean() < grey[around].mean() + 5


def test_smoke_hides_people_from_the_rgb_camera_only(scene):
    hidden = 0
    for moment in QUIET_MOMENTS:
        thermal, bgr = scene.render(moment)
        grey = luma(bgr)
        hidden += sum(abs(grey[body].mean() - grey[around].mean()) < 5 for body, around in people(thermal))
    assert hidden >= 4


def test_both_cameras_see_a_person_at_the_same_place(scene):
    # On the right, where no smoke is: one person is near at 3 s, and nobody but the stroller at 0.2 s.
    part = np.s_[HEIGHT // 2 + 12 : -30, WIDTH * 85 // 100 :]
    (thermal, bgr), (empty_thermal, empty_bgr) = scene.render(3.0), scene.render(0.2)
    warmer = (thermal[part].astype(int) - empty_thermal[part]) > 300
    smooth = [cv2.GaussianBlur(luma(picture), (0, 0), 1.0)[part] for picture in (bgr, empty_bgr)]
    darker = smooth[1] - smooth[0] > 5
    assert warmer.sum() > 300
    assert (warmer & darker).sum() / (warmer | darker).sum() > 0.6


def test_headlights_dazzle_only_the_rgb_camera(scene):
    thermal, bgr = scene.render(9.3)
    dazzled = bgr.min(axis=2) > 245
    assert dazzled.sum() > 4 * (scene.render(0.3)[1].min(axis=2) > 245).sum()
    assert dazzled.mean() > 0.002
    assert (thermal[dazzled] > BODY_HEAT).mean() < 0.4
