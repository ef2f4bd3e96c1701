# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Thermal counts to 8 bit: the range, its pace, its resets."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from refinefuse_ros.image.normalization import NormalizationConfig, ThermalNormalizer

SECOND = 1_000_000_000
# The whole range, so that the first and the last count are the range's ends.
WHOLE = NormalizationConfig(low_percentile=0, high_percentile=100, min_span=1)
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 40))
FRAMES = st.one_of(
    arrays.arrays(np.uint16, SHAPES),
    arrays.arrays(np.float32, SHAPES, elements=st.floats(-(2.0**120), 2.0**120, width=32)),
)


def ramp(low: int, high: int) -> np.ndarray:
    return np.linspace(low, high, 200).round().astype(np.uint16).reshape(10, 20)


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


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint16, 1), (np.float32, 0.01)])
def test_a_flat_scene_is_not_amplified(dtype, scale):
    noise = (np.random.default_rng(1).integers(29990, 30010, (40, 40)) * scale).astype(dtype)
    shown = ThermalNormalizer(NormalizationConfig(min_span=200)).normalize(noise, 0)
    assert np.ptp(shown) == pytest.approx(255 * 19 / 200, abs=2)


@given(values=arrays.arrays(np.uint8, SHAPES))
def test_8_bit_frames_are_untouched(values):
    assert ThermalNormalizer().normalize(values, 0) is values


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
    assert settled[3:].max() < 40


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


def test_reconfiguring_takes_effect_on_the_next_frame_and_keeps_the_range():
    normalizer = ThermalNormalizer(WHOLE)
    before = normalizer.normalize(ramp(29000, 30000), 0)
    normalizer.reconfigure(NormalizationConfig(mode="fixed", fixed_low=0, fixed_high=100))
    assert normalizer.normalize(ramp(29000, 30000), 1).min() == 255
    normalizer.reconfigure(WHOLE)
    np.testing.assert_array_equal(normalizer.normalize(ramp(29000, 30000), 2), before)


def test_frames_smaller_and_larger_than_the_sample_have_the_same_range():
    large = np.random.default_rng(0).normal(29500, 200, (480, 640)).astype(np.uint16)
    shown = ThermalNormalizer().normalize(large, 0).astype(float)
    low, high = np.percentile(large, [0.5, 99.5])
    np.testing.assert_allclose(shown, np.clip((large - low) * 255 / (high - low), 0, 255), atol=6)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"mode": "histogram"}, "histogram"),
        ({"low_percentile": 60.0, "high_percentile": 40.0}, "60.0"),
        ({"high_percentile": 101.0}, "101.0"),
        ({"time_constant_s": -1.0}, "-1.0"),
        ({"min_span": 0.0}, "min_span"),
        ({"reset_spans": math.nan}, "reset_spans"),
        ({"fixed_low": 10.0, "fixed_high": 10.0}, "10.0"),
    ],
)
def test_bad_configurations_are_refused_with_the_value(change, word):
    with pytest.raises(ValueError, match=word):
        NormalizationConfig(**change)
