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

"""Thermal counts to 8 bit: the range, its pace, its resets."""

from __future__ import annotations

import dataclasses
import itertools
import math

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from refinefuse_ros.image.normalization import CAMERA_SCALES, NormalizationConfig, ThermalNormalizer

SECOND = 1_000_000_000
# The whole range, so that the first and the last count are the range's ends.
WHOLE = NormalizationConfig(low_percentile=0, high_percentile=100, min_span=1)
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 40))
FRAMES = st.one_of(
    arrays.arrays(np.uint16, SHAPES),
    arrays.arrays(np.int16, SHAPES),
    arrays.arrays(np.uint8, SHAPES),
    arrays.arrays(np.float32, SHAPES, elements=st.floats(-(2.0**100), 2.0**100, width=32)),
    arrays.arrays(np.float32, SHAPES, elements=st.sampled_from([20.0, 21.5, 300.0, 900.0, np.inf, -np.inf])),
)


def ramp(low: int, high: int) -> np.ndarray:
    return np.linspace(low, high, 200).round().astype(np.uint16).reshape(10, 20)


def scene(span: float = 1000, low: float = 29000, noise: float = 3.0) -> np.ndarray:
    """Smooth counts over a span, 120x160 float64, with the noise of a camera on top; the top left corner is coldest."""
    y, x = np.mgrid[0:1:120j, 0:1:160j]
    return low + span * (x + y) / 2 + np.random.default_rng(1).normal(0, noise, x.shape)


def counts(values: np.ndarray) -> np.ndarray:
    return values.clip(0, 65535).round().astype(np.uint16)


def alone(pixels: np.ndarray, **config: float | str | bool) -> np.ndarray:
    """The frame's own picture, as integers."""
    return ThermalNormalizer(NormalizationConfig(**config)).normalize(pixels, 0).astype(int)


@given(frames=st.lists(st.tuples(FRAMES, st.integers(0, 20 * SECOND)), min_size=1, max_size=6))
def test_any_sequence_gives_monotone_8_bit_frames(frames):
    normalizer = ThermalNormalizer()
    for pixels, stamp in frames:
        shown = normalizer.normalize(pixels, stamp)
        assert shown.dtype == np.uint8
        assert shown.shape == pixels.shape
        order = np.argsort(pixels, axis=None, kind="stable")
        assert (np.diff(shown.ravel()[order].astype(int)) >= 0).all()


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_the_first_frame_spans_black_to_white(dtype):
    shown = ThermalNormalizer(WHOLE).normalize(ramp(28000, 31000).astype(dtype), 0)
    np.testing.assert_allclose(shown, np.linspace(0, 255, 200).reshape(10, 20), atol=0.6)


def test_percentiles_cut_off_outliers():
    pixels = ramp(29000, 29999)
    pixels[0, 0], pixels[9, 19] = 0, 65535
    shown = ThermalNormalizer(NormalizationConfig(low_percentile=1, high_percentile=99, min_span=1)).normalize(
        pixels, 0
    )
    assert (shown[0, 0], shown[9, 19]) == (0, 255)
    assert 120 < shown[5, 0] < 136


@given(value=st.integers(0, 65535))
def test_a_constant_frame_is_mid_grey(value):
    for dtype in (np.uint16, np.float32):
        shown = ThermalNormalizer().normalize(np.full((4, 5), value, dtype), 0)
        assert np.abs(shown - 127.5).max() <= 1


@pytest.mark.parametrize(("dtype", "unit"), [(np.uint16, 1), (np.float32, 0.01)])
@pytest.mark.parametrize("level", [2, 8])
def test_the_noise_of_a_flat_scene_is_not_amplified(dtype, unit, level):
    noise = np.random.default_rng(1).normal(29500, level, (240, 320)).round() * unit
    assert alone(noise.astype(dtype)).std() == pytest.approx(255 / 72, rel=0.1)


@pytest.mark.parametrize("span", [40, 300, 4000])
def test_a_scene_above_the_noise_has_the_whole_contrast_whatever_a_count_is(span):
    shown = alone(counts(scene(span, noise=span / 400)))
    np.testing.assert_allclose(np.percentile(shown, [1, 50, 99]), [6, 127, 249], atol=6)


@pytest.mark.parametrize(
    ("config", "unit", "span"),
    [
        ({"min_span": 50.0}, 1.0, 50),
        ({"min_span": 2.0, "scale": 0.04}, 1.0, 50),
        ({"min_span": 2.0, "scale": CAMERA_SCALES["lepton"]}, 1.0, 200),
        ({"min_span": 2.0}, 0.01, 200),
    ],
)
def test_the_narrowest_span_is_in_kelvin_where_they_are_known_and_else_in_counts(config, unit, span):
    steps = np.repeat([29500, 29510], 128).reshape(1, 256) * unit
    shown = alone(steps.astype(np.uint16 if unit == 1 else np.float32), **config)
    assert np.ptp(shown) == pytest.approx(255 * 10 / span, abs=1)


def hot_disc(share: float, above: float) -> tuple[np.ndarray, np.ndarray]:
    """A scene with a disc of a share of the picture that is hotter by so many counts, and where the disc is."""
    y, x = np.mgrid[:120, :160]
    disc = (x - 100) ** 2 + (y - 50) ** 2 <= share * 120 * 160 / math.pi
    return scene() + above * disc, disc


@pytest.mark.parametrize("share", [0.004, 0.01, 0.02, 0.03])
@pytest.mark.parametrize("above", [6000, 30000])
@pytest.mark.parametrize("cold", [False, True])
def test_a_small_object_far_out_leaves_the_rest_its_contrast(share, above, cold):
    values, disc = hot_disc(share, above)
    sign = -1 if cold else 1
    before, after = alone(counts(30000 + sign * (scene() - 30000))), alone(counts(30000 + sign * (values - 30000)))
    assert after[~disc].std() > 0.85 * before[~disc].std()
    if cold:
        assert after[disc].max() < after[~disc].min() + 30
        assert after[disc].mean() < 30
    else:
        assert after[disc].min() > 220
        assert after[disc].mean() > 240


def test_people_keep_the_levels_that_they_have_on_a_straight_curve():
    values, _ = hot_disc(0.02, 1200)  # as hot above the scene as the scene is wide
    low, high = np.percentile(values, [0.5, 99.5])
    np.testing.assert_allclose(alone(counts(values)), np.clip((values - low) * 255 / (high - low), 0, 255), atol=3)


def test_dead_columns_and_rows_of_telemetry_leave_the_rest_its_contrast():
    random = np.random.default_rng(2)
    dead, telemetry = counts(scene()), counts(scene())
    dead[:, 70:72] = 65535
    telemetry[-3:] = random.integers(0, 65536, (3, 160))
    normal = alone(counts(scene()))
    for spoilt in (dead, telemetry):
        shown = alone(spoilt)
        assert shown[:-3, :70].std() > 0.75 * normal[:-3, :70].std()


def test_what_lies_beyond_a_knee_keeps_its_order():
    values, disc = hot_disc(0.02, 8000)
    values[disc] = np.linspace(8000, 16000, disc.sum()) + 30000
    shown = alone(counts(values))[disc]
    assert (np.diff(shown) >= 0).all()
    assert shown[-1] - shown[0] > 8


@pytest.mark.parametrize("rate_hz", [9, 30])
@pytest.mark.parametrize("above", [800, 6000, 20000])
def test_an_entering_hot_object_changes_a_still_region_by_a_level_a_frame_at_most(rate_hz, above):
    without, (values, disc) = counts(scene()), hot_disc(0.0105, above)
    normalizer = ThermalNormalizer()
    shown = [normalizer.normalize(without, 0).astype(int)]
    shown += [normalizer.normalize(counts(values), k * SECOND // rate_hz).astype(int) for k in range(1, 8 * rate_hz)]
    changes = [np.abs(after - before)[~disc].mean() for before, after in itertools.pairwise(shown)]
    assert max(changes) <= 1
    assert shown[-1][disc].mean() > 230


def test_a_camera_that_warms_is_followed_without_a_step():
    normalizer = ThermalNormalizer()
    values = scene(noise=0.0)
    shown = [normalizer.normalize(counts(values + 400 * k / 9), k * SECOND // 9).astype(int) for k in range(90)]
    changes = [abs((after - before).mean()) for before, after in itertools.pairwise(shown[9:])]
    assert max(changes) < 0.5
    assert abs(shown[-1].mean() - shown[0].mean()) < 25
    assert shown[-1].std() > 0.95 * shown[0].std()


def test_infinity_is_hot_or_cold_and_no_reading_is_as_the_median():
    degrees = ((scene() - 27315) / 100).astype(np.float32)
    clean = alone(degrees)
    degrees[10:30, 10:30], degrees[40:60, 40:60], degrees[80:90, 80:90] = np.inf, np.nan, -np.inf
    shown = alone(degrees)
    assert (shown[10:30, 10:30] == 255).all()
    assert (shown[80:90, 80:90] == 0).all()
    assert np.abs(shown[40:60, 40:60] - np.median(clean)).max() < 12
    finite = np.isfinite(degrees)
    assert np.abs(shown - clean)[finite].mean() < 6


@pytest.mark.parametrize("mode", ["percentile", "fixed"])
def test_a_frame_without_any_reading_is_grey_and_forgotten(mode):
    normalizer = ThermalNormalizer(NormalizationConfig(mode=mode))
    degrees = ((scene() - 27315) / 100).astype(np.float32)
    before = normalizer.normalize(degrees, SECOND)
    assert np.abs(normalizer.normalize(np.full_like(degrees, np.nan), 2 * SECOND) - 127.5).max() <= 0.5
    np.testing.assert_array_equal(normalizer.normalize(degrees, SECOND), before)


@given(values=arrays.arrays(np.uint8, SHAPES), low=st.integers(0, 213))
def test_8_bit_frames_that_use_levels_enough_are_untouched(values, low):
    values[0, 0], values[-1, -1] = low, low + 42
    assume(np.ptp(values) >= 42)
    assert ThermalNormalizer().normalize(values, 0) is values


@pytest.mark.parametrize(("low", "high"), [(100, 131), (0, 31), (224, 255), (110, 120)])
def test_8_bit_frames_of_few_levels_are_spread(low, high):
    levels = np.linspace(low, high, 200).round().astype(np.uint8).reshape(10, 20)
    shown = alone(levels)
    assert np.ptp(shown) == pytest.approx(min(255, 255 * (high - low) / 32), abs=9)
    between = ThermalNormalizer().normalize(np.linspace(100, 137, 200).round().astype(np.uint8).reshape(10, 20), 0)
    assert 37 < np.ptp(between) < 240


def test_a_camera_that_begins_to_use_few_levels_is_spread_by_and_by():
    normalizer = ThermalNormalizer()
    normalizer.normalize(ramp(0, 255).astype(np.uint8), 0)
    dim = ramp(100, 131).astype(np.uint8)
    spans = [int(np.ptp(normalizer.normalize(dim, k * SECOND // 9))) for k in range(1, 180)]
    assert spans[0] < 36
    assert spans[-1] > 230
    assert max(np.diff(spans)) < 12


@pytest.mark.parametrize(("dtype", "inverted"), [(np.uint8, True), (np.uint16, False), (np.float32, False)])
def test_black_hot_inverts_8_bit_pictures_and_no_counts(dtype, inverted):
    pixels = ramp(10, 250).astype(dtype)
    as_it_is, black_hot = alone(pixels), alone(pixels, black_hot=True)
    np.testing.assert_array_equal(black_hot, 255 - as_it_is if inverted else as_it_is)


def test_the_range_follows_with_the_time_constant_of_the_stamps():
    config = dataclasses.replace(WHOLE, time_constant_s=2.0)
    hot = ramp(29000, 30400)
    for frames_in_two_seconds in (1, 9, 120):
        normalizer = ThermalNormalizer(config)
        normalizer.normalize(ramp(29000, 30000), 5 * SECOND)
        for k in range(1, frames_in_two_seconds + 1):
            shown = normalizer.normalize(hot, 5 * SECOND + 2 * SECOND * k // frames_in_two_seconds)
        high = 30400 - 400 * math.exp(-1)
        np.testing.assert_allclose(shown, np.clip((hot - 29000.0) * 255 / (high - 29000), 0, 255), atol=0.51)


def test_an_entering_hot_object_hardly_changes_the_rest_at_once():
    background = ramp(28800, 29600)
    with_car = background.copy()
    with_car[:3, :5] = 36000
    normalizer = ThermalNormalizer(NormalizationConfig())
    before = normalizer.normalize(background, 0).astype(int)
    after = normalizer.normalize(with_car, SECOND // 30).astype(int)
    assert np.abs(after - before)[3:].max() < 40
    settled = normalizer.normalize(with_car, 60 * SECOND).astype(int)
    assert settled[:3, :5].min() >= 254
    assert settled[3:].max() < 60


def test_the_same_stamp_again_leaves_the_range():
    normalizer = ThermalNormalizer(WHOLE)
    normalizer.normalize(ramp(29000, 30000), SECOND)
    first = normalizer.normalize(ramp(29000, 30300), 2 * SECOND)
    np.testing.assert_array_equal(normalizer.normalize(ramp(29000, 30300), 2 * SECOND), first)


@pytest.mark.parametrize(
    ("scene", "stamp"),
    [
        pytest.param(ramp(29000, 30200), 9 * SECOND, id="stamps went back"),
        pytest.param(ramp(33000, 34000), 10 * SECOND + 1, id="both ends jumped"),
    ],
)
def test_a_cut_resets_the_range_at_once(scene, stamp):
    normalizer = ThermalNormalizer(WHOLE)
    normalizer.normalize(ramp(29000, 30000), 10 * SECOND)
    np.testing.assert_array_equal(normalizer.normalize(scene, stamp), ThermalNormalizer(WHOLE).normalize(scene, stamp))


def test_time_constant_zero_follows_every_frame():
    config = dataclasses.replace(WHOLE, time_constant_s=0.0)
    normalizer = ThermalNormalizer(config)
    normalizer.normalize(ramp(29000, 30000), 0)
    shown = normalizer.normalize(ramp(29000, 30300), 1)
    assert (shown.min(), shown.max()) == (0, 255)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_fixed_mode_maps_the_given_range_for_every_depth(dtype):
    normalizer = ThermalNormalizer(NormalizationConfig(mode="fixed", fixed_low=50, fixed_high=150))
    shown = normalizer.normalize(np.array([[0, 50, 100, 150, 200]], dtype), 0)
    assert shown.tolist() == [[0, 0, 128, 255, 255]]


def test_fixed_bounds_that_are_counts_do_not_black_out_other_cameras():
    grey = ramp(0, 255).astype(np.uint8)
    assert ThermalNormalizer(NormalizationConfig(mode="fixed")).normalize(grey, 0) is grey
    kelvin = np.array([[273.15, 298.15, 323.15, np.nan]], np.float32)
    for degrees in (kelvin, kelvin - np.float32(273.15)):
        np.testing.assert_allclose(alone(degrees, mode="fixed"), [[0, 127.5, 255, 127.5]], atol=0.6)


def test_reconfiguring_takes_effect_on_the_next_frame_and_keeps_the_range():
    normalizer = ThermalNormalizer(WHOLE)
    before = normalizer.normalize(ramp(29000, 30000), 0)
    normalizer.reconfigure(NormalizationConfig(mode="fixed", fixed_low=0, fixed_high=100))
    assert normalizer.normalize(ramp(29000, 30000), 1).min() == 255
    normalizer.reconfigure(WHOLE)
    np.testing.assert_array_equal(normalizer.normalize(ramp(29000, 30000), 2), before)


def test_frames_smaller_and_larger_than_the_sample_have_the_same_range():
    small = scene(noise=0.0)
    np.testing.assert_allclose(
        alone(cv2.resize(small, (640, 480))), cv2.resize(alone(small).astype(float), (640, 480)), atol=4
    )


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"mode": "histogram"}, "histogram"),
        ({"low_percentile": 60.0, "high_percentile": 40.0}, "60.0"),
        ({"high_percentile": 101.0}, "101.0"),
        ({"time_constant_s": -1.0}, "-1.0"),
        ({"min_span": 0.0}, "min_span"),
        ({"scale": -0.1}, "-0.1"),
        ({"reset_spans": math.nan}, "reset_spans"),
        ({"fixed_low": 10.0, "fixed_high": 10.0}, "10.0"),
    ],
)
def test_bad_configurations_are_refused_with_the_value(change, word):
    with pytest.raises(ValueError, match=word):
        NormalizationConfig(**change)
