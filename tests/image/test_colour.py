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

"""Luma and chroma: full-range BT.601, bounded round trip, every channel order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from refinefuse_ros.image.codec import YUV444, MalformedImage
from refinefuse_ros.image.colour import check_thermal, check_visible, join_luma, mosaic, split_luma, to_bgr, to_grey

RED_FIRST = {"rgb8": 3, "rgba8": 4}
BLUE_FIRST = {"bgr8": 3, "8UC3": 3, "bgra8": 4, "8UC4": 4}
COLOURS = st.builds(np.asarray, arrays.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 40), st.just(3))))


def as_encoding(bgr: np.ndarray, encoding: str) -> np.ndarray:
    channels = bgr[..., ::-1] if encoding in RED_FIRST else bgr
    if (RED_FIRST | BLUE_FIRST)[encoding] == 4:
        channels = np.dstack([channels, np.full(bgr.shape[:2], 99, np.uint8)])
    return np.ascontiguousarray(channels)


@pytest.mark.parametrize("encoding", [*RED_FIRST, *BLUE_FIRST])
@given(bgr=COLOURS)
def test_luma_is_full_range_bt601(encoding, bgr):
    luma, _ = split_luma(as_encoding(bgr, encoding), encoding)
    assert luma.dtype == np.uint8
    assert np.abs(luma - bgr @ np.array([0.114, 0.587, 0.299])).max() <= 0.51
    grey = to_grey(as_encoding(bgr, encoding), encoding)
    assert np.abs(grey.astype(int) - luma).max() <= 1


@pytest.mark.parametrize("encoding", [*RED_FIRST, *BLUE_FIRST])
@pytest.mark.parametrize("output", ["bgr8", "rgb8"])
@given(bgr=COLOURS)
def test_unchanged_luma_gives_the_colours_back_within_two_levels(encoding, output, bgr):
    luma, chroma = split_luma(as_encoding(bgr, encoding), encoding)
    joined = join_luma(luma, chroma, output)
    assert np.abs(joined.astype(int) - as_encoding(bgr, output)).max() <= 2


@given(bgr=COLOURS, luma=st.integers(0, 255))
def test_joined_colour_is_the_new_luma_plus_the_old_colour_difference(bgr, luma):
    plane = np.full(bgr.shape[:2], luma, np.uint8)
    _, chroma = split_luma(bgr, "bgr8")
    old_luma = bgr @ np.array([0.114, 0.587, 0.299])
    expected = np.clip(luma + (bgr - old_luma[..., None]), 0, 255)
    assert np.abs(join_luma(plane, chroma, "bgr8") - expected).max() <= 2.5


def test_joining_twice_from_the_same_chroma_does_not_add_up():
    bgr = np.full((4, 4, 3), (200, 30, 90), np.uint8)
    luma, chroma = split_luma(bgr, "bgr8")
    first = join_luma(luma, chroma, "bgr8")
    join_luma(np.zeros_like(luma), chroma, "bgr8")
    np.testing.assert_array_equal(join_luma(luma, chroma, "bgr8"), first)


BAYER = ["bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8"]


@pytest.mark.parametrize("encoding", BAYER)
def test_a_mosaic_shows_the_colour_that_the_sensor_saw(encoding):
    bgr = np.full((8, 10, 3), (40, 90, 200), np.uint8)
    luma, chroma = split_luma(mosaic(bgr, encoding), encoding)
    assert np.abs(join_luma(luma, chroma, "bgr8").astype(int) - bgr).max() <= 2


def test_mosaics_are_named_by_their_first_two_rows():
    bgr = np.dstack([np.full((2, 2), value, np.uint8) for value in (1, 2, 3)])
    expected = {"rggb": [3, 2, 2, 1], "bggr": [1, 2, 2, 3], "gbrg": [2, 1, 3, 2], "grbg": [2, 3, 1, 2]}
    assert {name: mosaic(bgr, f"bayer_{name}8").ravel().tolist() for name in expected} == expected
    with pytest.raises(ValueError, match="mono8"):
        mosaic(bgr, "mono8")


@pytest.mark.parametrize("encoding", BAYER)
def test_mosaics_of_any_size_have_a_luma_of_that_size(encoding):
    for shape in ((1, 1), (2, 2), (3, 5), (33, 47)):
        luma, _ = split_luma(np.full(shape, 7, np.uint8), encoding)
        assert luma.shape == shape


@pytest.mark.parametrize("encoding", ["uyvy", "yuv422", "yuyv", "yuv422_yuy2"])
def test_the_colours_of_usb_cameras_are_theirs(encoding):
    bgr = np.array([40, 90, 200])
    y = 16 + bgr @ [24.966, 128.553, 65.481] / 255  # limited range: BT.601-7, section 2.5.1
    u, v = 128 + bgr @ [112, -74.203, -37.797] / 255, 128 + bgr @ [-18.214, -93.786, 112] / 255
    pair = [[u, y], [v, y]] if encoding in ("uyvy", "yuv422") else [[y, u], [y, v]]
    pixels = np.tile(np.round(pair).astype(np.uint8), (4, 3, 1))
    luma, chroma = split_luma(pixels, encoding)
    assert luma.shape == (4, 6)
    assert np.abs(join_luma(luma, chroma, "bgr8").astype(int) - bgr).max() <= 4
    np.testing.assert_array_equal(to_grey(pixels, encoding), np.full((4, 6), round(y)))


DEEP = {"bgr16": "bgr8", "rgb16": "rgb8", "16UC3": "8UC3", "bgra16": "bgra8", "rgba16": "rgba8", "16UC4": "8UC4"}


@pytest.mark.parametrize("encoding", DEEP)
def test_colours_of_16_bits_are_those_of_8(encoding):
    bgr = np.random.default_rng(2).integers(0, 256, (5, 7, 3), np.uint8)
    shallow = as_encoding(bgr, DEEP[encoding])
    deep = shallow.astype(np.uint16) * 257
    for plane, expected in zip(split_luma(deep, encoding), split_luma(shallow, DEEP[encoding]), strict=True):
        np.testing.assert_array_equal(plane, expected)
    grey = to_grey(deep, encoding)  # a thermal camera's, which keeps its depth
    assert grey.dtype == np.uint16
    assert np.abs(grey / 257 - bgr @ np.array([0.114, 0.587, 0.299])).max() < 0.1


@pytest.mark.parametrize("encoding", BAYER)
def test_mosaics_of_16_bits_are_those_of_8(encoding):
    seen = mosaic(np.random.default_rng(2).integers(0, 256, (6, 8, 3), np.uint8), encoding)
    deep = seen.astype(np.uint16) * 257
    for plane, expected in zip(split_luma(deep, encoding[:-1] + "16"), split_luma(seen, encoding), strict=True):
        np.testing.assert_array_equal(plane, expected)


def test_a_colour_for_each_pixel_is_that_of_opencv_for_two():
    pairs = np.random.default_rng(2).integers(0, 256, (6, 8, 2), np.uint8)
    blue, red = (np.repeat(pairs[:, first::2, 1], 2, axis=1) for first in (0, 1))
    each = np.dstack([pairs[..., 0], blue, red])
    difference = to_bgr(each, YUV444).astype(int) - to_bgr(pairs, "yuyv")
    assert np.abs(difference).max() <= 1  # OpenCV rounds fixed-point numbers
    np.testing.assert_array_equal(to_grey(each, YUV444), pairs[..., 0])


def test_each_camera_is_refused_what_only_the_other_one_sends():
    with pytest.raises(MalformedImage) as refusal:
        check_visible("32FC1")
    assert str(refusal.value).startswith(
        "an RGB image cannot be '32FC1', which thermal cameras send; set the camera to one of bgr8,"
    )
    assert not set(str(refusal.value).split("one of ")[1].strip(".").split(", ")) & {"16SC1", "32FC1", "64FC1"}
    with pytest.raises(MalformedImage) as refusal:
        check_thermal("bayer_rggb8")
    assert str(refusal.value).startswith(
        "a thermal image cannot be 'bayer_rggb8', which sensors behind a Bayer filter send; set the camera to one of"
        " mono8, 8UC1, mono16,"
    )
    assert "bayer" not in str(refusal.value).split("one of")[1]
    with pytest.raises(MalformedImage, match="an RGB image cannot be 'rgb12', which is unknown; set"):
        check_visible("rgb12")


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_grey_visible_images_pass_and_come_out_grey(encoding):
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    luma, chroma = split_luma(grey, encoding)
    assert chroma is None
    np.testing.assert_array_equal(luma, grey)
    np.testing.assert_array_equal(join_luma(luma, chroma, "bgr8"), np.dstack([grey] * 3))


@pytest.mark.parametrize("encoding", ["mono16", "16UC1"])
def test_16_bit_visible_images_are_taken_as_full_range(encoding):
    luma, chroma = split_luma(np.array([[0, 257, 32768, 65535]], np.uint16), encoding)
    assert chroma is None
    np.testing.assert_array_equal(luma, [[0, 1, 128, 255]])


@pytest.mark.parametrize("encoding", ["mono8", "mono16", "32FC1"])
def test_single_channel_images_are_their_own_grey(encoding):
    pixels = np.zeros((2, 3), np.uint16)
    assert to_grey(pixels, encoding) is pixels


def test_mono8_output_is_the_luma():
    luma, chroma = split_luma(np.zeros((2, 3, 3), np.uint8), "bgr8")
    assert join_luma(luma, chroma, "mono8") is luma


@pytest.mark.parametrize("encoding", ["32FC1", "16SC1", "nonsense"])
def test_images_without_luma_are_refused(encoding):
    with pytest.raises(MalformedImage, match=encoding) as refusal:
        split_luma(np.zeros((2, 3), np.float32), encoding)
    assert refusal.value.reason == "encoding"


def test_unknown_output_and_unequal_sizes_are_refused():
    luma, chroma = split_luma(np.zeros((2, 3, 3), np.uint8), "bgr8")
    with pytest.raises(ValueError, match="mono16"):
        join_luma(luma, chroma, "mono16")
    with pytest.raises(ValueError, match="does not fit"):
        join_luma(luma[:1], chroma, "bgr8")
