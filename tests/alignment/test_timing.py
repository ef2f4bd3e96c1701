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

"""The offset between two cameras' clocks is found to some ms where the pictures tell it, and refused where not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from refinefuse_ros.alignment.moving import Film, OffsetError, shrink
from refinefuse_ros.alignment.timing import find_offset
from refinefuse_ros.image.video import VideoReader

M2VD = Path(__file__).resolve().parents[3] / "shared" / "data" / "m2vd"
SECONDS = 6.0
Scene = Callable[..., np.ndarray]
RANDOM = np.random.default_rng(7)


def times(rate_hz: float) -> np.ndarray:
    return np.arange(0, SECONDS, 1 / rate_hz)


def film(times_s: np.ndarray, picture: Callable[[float], np.ndarray], behind_ms: float = 0.0) -> Film:
    """What a camera saw at `times_s`, with its noise; its clock is `behind_ms` behind."""
    planes = [shrink(picture(time_s)) + RANDOM.normal(0, 2, (72, 96)).astype(np.float32) for time_s in times_s]
    return Film(np.round(times_s * 1e9 - behind_ms * 1e6).astype(np.int64), np.array(planes))


@pytest.mark.parametrize(("behind_ms", "rate_hz", "shift"), [(-213.0, 30, 0), (77.0, 25, 9), (300.0, 9, 0)])
def test_the_offset_is_found_whatever_the_rate_and_the_view(
    wanderers: Scene, behind_ms: float, rate_hz: float, shift: float
) -> None:
    thermal = film(times(rate_hz), lambda time_s: wanderers(time_s, True), behind_ms)
    found = find_offset(thermal, film(times(30), lambda time_s: wanderers(time_s, False, shift)))
    assert found.offset_ms == pytest.approx(behind_ms, abs=10)
    assert abs(found.offset_ms - behind_ms) < 3 * found.uncertainty_ms


def test_gain_and_offset_that_step_frames_that_come_again_and_a_jittering_clock_do_no_harm(wanderers: Scene) -> None:
    steady = film(times(30) + RANDOM.normal(0, 0.003, len(times(30))), lambda time_s: wanderers(time_s, True), 150.0)
    planes = np.array(
        [plane * (0.6 if i // 40 % 2 else 1.0) + 30 * (i // 25 % 3) for i, plane in enumerate(steady.planes)]
    )
    planes[100:130] = planes[100]
    times_ns = np.maximum.accumulate(steady.times_ns)
    found = find_offset(Film(times_ns, planes), film(times(30), lambda time_s: wanderers(time_s, False)))
    assert found.offset_ms == pytest.approx(150, abs=10)


def test_an_offset_far_from_the_expected_one_is_not_looked_for_but_near_it_is(wanderers: Scene) -> None:
    thermal = film(times(30), lambda time_s: wanderers(time_s, True), 5150.0)
    rgb = film(times(30), lambda time_s: wanderers(time_s, False))
    assert find_offset(thermal, rgb, expected_ms=5000.0).offset_ms == pytest.approx(5150, abs=10)
    with pytest.raises(OffsetError, match="in common"):
        find_offset(thermal, rgb)


def swaying(time_s: float) -> np.ndarray:
    """A camera that sways 1.25 times a second."""
    noise = np.random.default_rng(3).integers(0, 256, (72, 140), dtype=np.uint8)
    x = 20 + 12 * np.sin(2 * np.pi * 1.25 * time_s)
    return cv2.warpAffine(cv2.GaussianBlur(noise, (0, 0), 3), np.float32([[1, 0, -x], [0, 1, 0]]), (96, 72))


def walker(thermal: bool, shift: float) -> Callable[[float], np.ndarray]:
    """Somebody who walks by, as steadily as nobody does."""

    def picture(time_s: float) -> np.ndarray:
        plane = np.full((72, 96), 90, np.uint8)
        centre = (round(16 * (8 + 9 * time_s + shift)), 16 * 36)
        return cv2.ellipse(plane, centre, (64, 160), 0, 0, 360, 240 if thermal else 10, -1, cv2.LINE_AA, 4)

    return picture


@pytest.mark.parametrize(
    ("thermal", "rgb", "reason"),
    [
        (lambda _: np.full((72, 96), 90, np.uint8), swaying, "Too little moves alike"),
        (swaying, swaying, "repeats itself"),
        (walker(True, 0), walker(False, 9), "too steadily|only to within"),
    ],
)
def test_what_does_not_tell_the_offset_is_refused_with_what_to_record(
    thermal: Callable[[float], np.ndarray], rgb: Callable[[float], np.ndarray], reason: str
) -> None:
    with pytest.raises(OffsetError, match=f"({reason}).*; record 20 s in which"):
        find_offset(film(times(30), thermal, 100.0), film(times(30), rgb))


def test_pictures_of_other_moments_are_refused(wanderers: Scene) -> None:
    with pytest.raises(OffsetError):
        find_offset(
            film(times(30), lambda time_s: wanderers(time_s, True)),
            film(times(30), lambda time_s: wanderers(60 - time_s, False)),
        )


def test_a_still_picture_and_a_short_film_are_refused(wanderers: Scene) -> None:
    rgb = film(times(30), lambda time_s: wanderers(time_s, False))
    still = Film(rgb.times_ns, np.repeat(rgb.planes[:1], len(rgb.times_ns), axis=0))
    with pytest.raises(OffsetError, match="Nothing moves in the thermal pictures"):
        find_offset(still, rgb)
    with pytest.raises(OffsetError, match="Nothing moves in the RGB pictures"):
        find_offset(rgb, still)
    for count, reason in ((0, "0 thermal frames are too few"), (90, "3.0 s in common")):
        with pytest.raises(OffsetError, match=reason):
            find_offset(Film(rgb.times_ns[:count], rgb.planes[:count]), rgb)


@pytest.mark.skipif(not M2VD.is_dir(), reason="the m2vd clips are not here")
def test_a_real_clip_that_begins_later_is_found() -> None:
    def read(camera: str, start: int) -> Film:
        reader = VideoReader(M2VD / camera / "0111_1716.mp4")
        frames = [(time_s, shrink(pixels[..., 1])) for time_s, pixels in islice(reader.timed(), start, None)]
        reader.close()
        return Film(
            np.array([round((at_s - frames[0][0]) * 1e9) for at_s, _ in frames]), np.array([p for _, p in frames])
        )

    found = find_offset(read("thermal", 7), read("rgb", 0))
    assert found.offset_ms == pytest.approx(7 * 1000 / 30, abs=10)
