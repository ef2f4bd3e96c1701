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

"""A camera's images as they are to be taken: relabelled, spread, cropped, turned and mirrored, to the pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from refinefuse_ros.image.codec import MalformedImage
from refinefuse_ros.image.colour import mosaic
from refinefuse_ros.image.sensor_view import Crop, SensorView

COUNTS = (np.arange(6 * 8, dtype=np.uint16) * 613).reshape(6, 8)
BGR = np.random.default_rng(4).integers(0, 256, (6, 8, 3), np.uint8)


def taken(view: SensorView, pixels: np.ndarray, encoding: str, big_endian: bool = False) -> tuple[np.ndarray, str]:
    """`pixels` as a message that lies in memory as they do."""
    return view.decode(encoding, *pixels.shape[:2], pixels.strides[0], big_endian, pixels.tobytes())


def test_an_image_is_taken_as_it_is():
    pixels, encoding = taken(SensorView("thermal"), COUNTS, "16UC1")
    assert encoding == "16UC1"
    np.testing.assert_array_equal(pixels, COUNTS)


@pytest.mark.parametrize(
    ("text", "rows", "columns"),
    [
        ("", slice(0, 6), slice(0, 8)),
        ("0 2 8 4", slice(2, 6), slice(0, 8)),
        ("1 2 3 4", slice(2, 6), slice(1, 4)),
        ("0 0 0 -2", slice(0, 4), slice(0, 8)),
        ("3 1 -1 0", slice(1, 6), slice(3, 7)),
    ],
)
@pytest.mark.parametrize(
    ("pixels", "encoding"), [(COUNTS, "mono16"), (COUNTS.astype(np.int16), "16SC1"), (BGR, "bgr8")]
)
def test_a_part_is_cut_out(text, rows, columns, pixels, encoding):
    cut, named = taken(SensorView("thermal", crop=Crop.parse(text)), pixels, encoding)
    assert named == encoding
    np.testing.assert_array_equal(cut, pixels[rows, columns])


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", ["none", "horizontal", "vertical"])
@pytest.mark.parametrize(
    ("pixels", "encoding"),
    [(COUNTS, "mono16"), (COUNTS.astype(np.int16), "16SC1"), (COUNTS.astype(np.float32), "32FC1"), (BGR, "bgr8")],
)
def test_what_was_cut_out_is_turned_clockwise_and_then_mirrored(rotate, flip, pixels, encoding):
    seen, _ = taken(SensorView("thermal", crop=Crop(1, 2, 0, 0), rotate=rotate, flip=flip), pixels, encoding)
    expected = np.rot90(pixels[2:, 1:], -rotate // 90)
    expected = {"none": expected, "horizontal": expected[:, ::-1], "vertical": expected[::-1]}[flip]
    np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("text", ["1 2 3", "0 2 640x512", "-1 0 4 4", "0 -1 4 4", "0 0 4.5 4"])
def test_what_is_no_part_is_refused_with_what_would_be(text):
    with pytest.raises(ValueError, match="is no part of an image; write it as x y width height") as refusal:
        Crop.parse(text)
    assert f"'{text}'" in str(refusal.value)


@pytest.mark.parametrize("text", ["0 0 9 6", "0 3 8 4", "8 0 0 0", "0 0 0 -6"])
def test_a_part_that_lies_outside_is_refused_with_the_parameter(text):
    with pytest.raises(MalformedImage, match=r"image of 8x6 has no part of .*; change thermal\.crop\.") as refusal:
        taken(SensorView("thermal", crop=Crop.parse(text)), COUNTS, "mono16")
    assert refusal.value.reason == "crop"


@pytest.mark.parametrize("bits", [8, 16])
def test_a_mosaic_is_interpolated_before_it_is_cut(bits):
    deep = mosaic(BGR, "bayer_gbrg8").astype(f"u{bits // 8}") * (257 if bits == 16 else 1)
    seen, encoding = taken(SensorView("rgb", crop=Crop(1, 1, 0, 0), flip="horizontal"), deep, f"bayer_gbrg{bits}")
    assert encoding == f"bgr{bits}"
    np.testing.assert_array_equal(seen, cv2.cvtColor(deep, cv2.COLOR_BayerGR2BGR)[1:, 1:][:, ::-1])


def test_shared_colours_become_each_pixels_own_before_it_is_cut():
    pairs = BGR[..., :2].copy()
    seen, encoding = taken(SensorView("rgb", crop=Crop(1, 0, 0, 0)), pairs, "uyvy")
    assert encoding == "bgr8"
    np.testing.assert_array_equal(seen, cv2.cvtColor(pairs, cv2.COLOR_YUV2BGR_UYVY)[:, 1:])
    seen, encoding = taken(SensorView("thermal", crop=Crop(1, 0, 0, 0)), pairs, "uyvy")
    assert encoding == "mono8"
    np.testing.assert_array_equal(seen, pairs[:, 1:, 1])


@pytest.mark.parametrize(
    ("encoding", "shape"), [("bayer_rggb16", (6, 8)), ("mono16", (6, 8)), ("bgr16", (6, 8, 3)), ("rgba16", (6, 8, 4))]
)
@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("big_endian", [False, True])
def test_few_bits_are_spread_to_all_sixteen(encoding, shape, bits, big_endian):
    values = np.random.default_rng(bits).integers(0, 2**bits, shape, np.uint16)
    values[0, 0], values[0, 1] = 2**bits - 1, 2**bits  # the second is more than there should be
    stored = values.astype(">u2" if big_endian else "<u2")
    pixels, named = taken(SensorView("rgb", bits=bits), stored, encoding, big_endian)
    assert (named, pixels.dtype) == (encoding, np.uint16)
    expected = np.minimum(np.rint(values * (65535 / (2**bits - 1))), 65535)
    assert np.abs(pixels - expected).max() <= 1
    assert (pixels[0, :2] == 65535).all()


@pytest.mark.parametrize(("said", "order"), [(False, ">"), (True, "<")])
def test_a_wrong_byte_order_is_overruled(said, order):
    view = SensorView("thermal", big_endian=not said)
    pixels, _ = taken(view, COUNTS.astype(f"{order}u2"), "mono16", said)
    np.testing.assert_array_equal(pixels, COUNTS)


def test_a_wrong_label_is_overruled():
    pixels, encoding = taken(SensorView("thermal", encoding="16SC1"), (COUNTS - 2000).view(np.int16), "mono16")
    assert encoding == "16SC1"
    np.testing.assert_array_equal(pixels, (COUNTS - 2000).view(np.int16))
    seen = mosaic(BGR, "bayer_rggb8")
    content = cv2.imencode(".png", seen)[1]
    pixels, encoding = SensorView("rgb", encoding="BayerRG8").decode_compressed("mono8; png compressed mono8", content)
    assert encoding == "bayer_rggb8"
    np.testing.assert_array_equal(pixels, seen)
    with pytest.raises(MalformedImage, match=r"holds mono8 pixels, which cannot be 'rgb8'; change rgb\.encoding"):
        SensorView("rgb", encoding="rgb8").decode_compressed("png", content)


def test_each_camera_is_refused_what_it_cannot_send():
    with pytest.raises(MalformedImage, match="an RGB image cannot be '32FC1', which thermal cameras send"):
        taken(SensorView("rgb"), COUNTS.astype(np.float32), "32FC1")
    with pytest.raises(MalformedImage, match="a thermal image cannot be 'bayer_rggb8', which sensors behind"):
        taken(SensorView("thermal"), COUNTS.astype(np.uint8), "bayer_rggb8")
    with pytest.raises(MalformedImage, match="an RGB image cannot be 'yuv9000', which is unknown"):
        taken(SensorView("rgb"), BGR, "yuv9000")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"encoding": "bayer_rggb8"}, r"thermal\.encoding cannot be 'bayer_rggb8': a thermal image"),
        ({"rotate": 45}, r"thermal\.rotate cannot be 45; choose 0, 90, 180 or 270\."),
        ({"flip": "both"}, r"thermal\.flip cannot be 'both'; choose none, horizontal, vertical\."),
        ({"bits": 8}, r"thermal\.bits cannot be 8; choose 9 to 16\."),
    ],
)
def test_a_view_that_makes_no_sense_is_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        SensorView("thermal", **arguments)
