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

"""How well thermal lies on RGB is measured beside the frames' way, and told only where the pictures tell it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest

from refinefuse_ros.alignment import watching
from refinefuse_ros.alignment.placing import PlacedThermal
from refinefuse_ros.alignment.watching import AlignmentReading, AlignmentWatch

Scene = Callable[..., tuple[list[np.ndarray], list[np.ndarray]]]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[AlignmentWatch]:
    """One that measures all that it is shown."""
    monkeypatch.setattr(watching, "_LONGEST_PERIOD_S", 0.0)
    watch = AlignmentWatch()
    yield watch
    watch.close()


def measured(watch: AlignmentWatch, pairs: list[tuple[PlacedThermal, np.ndarray]]) -> AlignmentReading:
    """The reading after each of the pairs was taken."""
    for count, pair in enumerate(pairs, start=1):
        deadline_s = time.monotonic() + 30
        while watch.read().moments < count and time.monotonic() < deadline_s:
            watch.show(*pair)
            time.sleep(0.002)
    return watch.read()


def moments(scene: Scene, off_px: float, count: int = 3) -> list[tuple[PlacedThermal, np.ndarray]]:
    """Pairs in which thermal lies so far to the right of where it belongs."""
    thermal, rgb = scene(5, count)
    move = np.array([[1, 0, off_px], [0, 1, 0]])
    placed = [
        cv2.warpAffine(plane, move, plane.shape[::-1], borderMode=cv2.BORDER_REFLECT).astype(np.uint8)
        for plane in thermal
    ]
    return [(PlacedThermal(plane), luma) for plane, luma in zip(placed, rgb, strict=True)]


@pytest.mark.parametrize("off_px", [0.0, 12.0, 32.0])
def test_it_says_how_far_thermal_lies_beside_rgb(watch: AlignmentWatch, scene: Scene, off_px: float) -> None:
    reading = measured(watch, moments(scene, off_px))
    assert reading.moments == 3
    assert reading.error_px == pytest.approx(off_px, abs=2.0)


def test_what_is_turned_is_measured_in_the_whole_picture(scene: Scene) -> None:
    thermal, rgb = scene(5, 1)
    height, width = rgb[0].shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 6, 1)
    turned = cv2.warpAffine(thermal[0].astype(np.uint8), turn, (width, height), borderMode=cv2.BORDER_REFLECT)
    off_px = math.radians(6) * math.sqrt((width**2 + height**2) / 12)
    assert watching.error_at_a_glance(PlacedThermal(turned), rgb[0]) == pytest.approx(off_px, rel=0.12)


def test_one_moment_is_not_believed(watch: AlignmentWatch, scene: Scene) -> None:
    reading = measured(watch, moments(scene, 0.0, count=1))
    assert (reading.moments, math.isnan(reading.error_px)) == (1, True)


def test_pictures_that_have_nothing_in_common_tell_nothing(watch: AlignmentWatch, scene: Scene) -> None:
    thermal, _ = scene(5, 3)
    _, rgb = scene(6, 3)
    pairs = [(PlacedThermal(plane.astype(np.uint8)), luma) for plane, luma in zip(thermal, rgb, strict=True)]
    flat = np.zeros_like(rgb[0])
    reading = measured(watch, [*pairs, (PlacedThermal(flat), flat)])
    assert (reading.moments, math.isnan(reading.error_px)) == (4, True)


def glances(monkeypatch: pytest.MonkeyPatch, watch: AlignmentWatch, scene: Scene, *told: float | Exception) -> Iterator:
    """The readings while one measurement after the other tells what is given."""
    calls: list[float | Exception] = []

    def glance(placed: PlacedThermal, luma: np.ndarray) -> float:
        calls.append(told[len(calls)])
        if isinstance(calls[-1], Exception):
            raise calls[-1]
        return calls[-1]

    monkeypatch.setattr(watching, "error_at_a_glance", glance)
    ((placed, luma),) = moments(scene, 0.0, 1)
    for count in range(1, len(told) + 1):
        deadline_s = time.monotonic() + 30
        while len(calls) < count or watch._shown:
            assert time.monotonic() < deadline_s
            if len(calls) < count:
                watch.show(placed, luma)
            time.sleep(0.001)
        yield watch.read()


def test_what_is_known_stays_known_while_some_moments_tell(watch: AlignmentWatch, monkeypatch, scene: Scene) -> None:
    readings = glances(monkeypatch, watch, scene, 4.0, 5.0, math.nan, 4.0, *[math.nan] * 7)
    known = [not math.isnan(reading.error_px) for reading in readings]
    assert known == [False] * 3 + [True] * 7 + [False]


def test_a_measurement_that_fails_is_said_and_the_next_one_is_made(watch: AlignmentWatch, monkeypatch, scene) -> None:
    failed, worked = glances(monkeypatch, watch, scene, KeyError("nobody foresaw this"), 4.0)
    assert "An unforeseen KeyError ('nobody foresaw this')" in failed.fault
    assert (worked.moments, worked.fault) == (2, "")


def test_where_thermal_sees_a_part_only_that_part_is_looked_at(watch: AlignmentWatch, scene: Scene) -> None:
    pairs = []
    for placed, luma in moments(scene, 6.0):
        weight = np.zeros_like(luma)
        weight[50:190, 60:260] = 255
        pairs.append((PlacedThermal(np.where(weight > 0, placed.plane, 0).astype(np.uint8), weight), luma))
    assert measured(watch, pairs).error_px == pytest.approx(6.0, abs=1.5)


def test_it_looks_at_one_pair_a_second_and_delays_none(scene: Scene) -> None:
    watch = AlignmentWatch()
    try:
        pairs = moments(scene, 0.0)
        measured(watch, pairs[:1])
        for _ in range(50):
            watch.show(*pairs[1])
        assert watch.read().moments == 1
    finally:
        watch.close()


@pytest.mark.parametrize("field", [0.62, 0.8, 1.22])
def test_a_camera_of_another_field_of_view_is_told(scene: Scene, field: float) -> None:
    thermal, rgb = scene(2, 1)
    height, width = rgb[0].shape
    about = np.array([(field, 0, (1 - field) * (width - 1) / 2 + 4), (0, field, (1 - field) * (height - 1) / 2 - 3)])
    seen = cv2.warpAffine(thermal[0], about, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    places = np.stack(np.meshgrid(np.linspace(0, width - 1, 9), np.linspace(0, height - 1, 9)), -1).reshape(-1, 2)
    off_px = np.sqrt(((places @ about[:, :2].T + about[:, 2] - places) ** 2).sum(axis=1).mean())
    told = watching.error_at_a_glance(PlacedThermal(seen.clip(0, 255).astype(np.uint8)), rgb[0])
    assert told == pytest.approx(off_px, rel=0.1)
