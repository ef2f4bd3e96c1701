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

"""Image messages to arrays and back: every encoding, layout and fault."""

from __future__ import annotations

import pickle
import sys
from array import array

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from refinefuse_ros.image.codec import (
    ENCODINGS,
    YUV444,
    MalformedImage,
    decode,
    depth16_to_8,
    encode,
    encode_jpeg,
    known_encoding,
    to_message_data,
)

HOST_IS_BIG = sys.byteorder == "big"
# Whose pixels lie in a message as they come out.
PACKED = sorted(name for name, layout in ENCODINGS.items() if not layout.decoded)


@st.composite
def images(draw: st.DrawFn) -> tuple[str, np.ndarray]:
    encoding = draw(st.sampled_from(PACKED))
    layout = ENCODINGS[encoding]
    shape = (draw(st.integers(1, 9)), layout.group * draw(st.integers(1, 9)))
    if layout.channels > 1:
        shape = (*shape, layout.channels)
    elements = st.floats(width=32, allow_nan=False, allow_infinity=False) if layout.dtype.kind == "f" else None
    return encoding, draw(arrays.arrays(layout.dtype, shape, elements=elements))


def padded_rows(pixels: np.ndarray, padding: int) -> bytes:
    return b"".join(row.tobytes() + b"\xaa" * padding for row in pixels)


@given(
    image=images(),
    padding=st.integers(0, 5),
    big_endian=st.booleans(),
    container=st.sampled_from([bytes, bytearray, memoryview, "array", "numpy"]),
)
def test_decoding_gives_back_what_was_laid_out(image, padding, big_endian, container):
    encoding, pixels = image
    stored = pixels.astype(pixels.dtype.newbyteorder(">" if big_endian else "<"))
    raw = padded_rows(stored, padding)
    data = {"array": lambda b: array("B", b), "numpy": lambda b: np.frombuffer(b, np.uint8)}.get(container, container)(
        raw
    )

    decoded, name = decode(encoding, *pixels.shape[:2], len(raw) // pixels.shape[0], big_endian, data)

    assert name == encoding
    assert decoded.dtype == pixels.dtype
    assert decoded.dtype.isnative
    np.testing.assert_array_equal(decoded, pixels)


@given(image=images())
def test_encoding_is_undone_by_decoding(image):
    encoding, pixels = image
    flat, step = encode(pixels, encoding)
    assert flat.dtype == np.uint8
    assert flat.ndim == 1
    decoded, _ = decode(encoding, *pixels.shape[:2], step, HOST_IS_BIG, flat)
    np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize("encoding", sorted(set(PACKED) - {"32FC1"}))
@pytest.mark.parametrize("padding", [0, 4])
def test_native_images_are_decoded_without_a_copy_and_cannot_be_written(encoding, padding):
    step = 6 * ENCODINGS[encoding].bytes_per_pixel + padding
    data = array("B", bytes(5 * step))
    decoded, _ = decode(encoding, 5, 6, step, HOST_IS_BIG, data)
    assert np.shares_memory(decoded, np.frombuffer(data, np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        decoded[0, 0] = 1


@pytest.mark.parametrize(
    ("name", "known"),
    [("YUYV", "yuyv"), ("YUY2", "yuyv"), ("UYVY", "uyvy"), ("BGR8", "bgr8"), ("BayerRG8", "bayer_rggb8"),
     ("BayerGB16", "bayer_gbrg16"), ("Mono16", "mono16"), ("16uc1", "16UC1"), ("NV12", "nv12")],
)  # fmt: skip
def test_drivers_own_names_are_understood(name, known):
    assert known_encoding(name) == known
    assert known_encoding(known) == known
    assert known_encoding(f"x{name}") is None


@pytest.mark.parametrize("big_endian", [False, True])
def test_doubles_become_floats(big_endian):
    pixels = np.array([[20.5, np.nan, 1e300], [-3.25, 0.0, 36.6]], ">f8" if big_endian else "<f8")
    decoded, encoding = decode("64FC1", 2, 3, 24, big_endian, pixels.tobytes())
    assert (encoding, decoded.dtype) == ("32FC1", np.float32)
    np.testing.assert_array_equal(decoded, np.float32([[20.5, np.nan, np.inf], [-3.25, 0.0, 36.6]]))


def planes(height: int, width: int, step: int, shared: int) -> tuple[np.ndarray, np.ndarray]:
    """Luma and colour pairs as they lie in memory: each row of luma takes `step` bytes."""
    random = np.random.default_rng(height * width)
    luma = random.integers(0, 256, (height, step), np.uint8)
    if shared == 1:
        return luma, random.integers(0, 256, (height, 2 * step), np.uint8)
    return luma, random.integers(0, 256, (-(-height // 2), step), np.uint8)


@pytest.mark.parametrize(("encoding", "to_bgr"), [("nv12", cv2.COLOR_YUV2BGR_NV12), ("nv21", cv2.COLOR_YUV2BGR_NV21)])
def test_planes_with_shared_colour_are_those_of_opencv(encoding, to_bgr):
    luma, colour = planes(6, 8, 8, shared=2)
    stacked = np.vstack([luma, colour])
    pixels, decoded = decode(encoding, 6, 8, 8, False, stacked.tobytes())
    assert decoded == "yuyv"
    np.testing.assert_array_equal(pixels[..., 0], luma)
    np.testing.assert_array_equal(cv2.cvtColor(pixels, cv2.COLOR_YUV2BGR_YUYV), cv2.cvtColor(stacked, to_bgr))


@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
@pytest.mark.parametrize(("height", "width", "step"), [(5, 7, 8), (5, 7, 11), (4, 7, 8), (5, 8, 12)])
def test_planes_of_odd_sizes_and_padded_rows_lose_no_pixel(encoding, height, width, step):
    luma, colour = planes(height, width, step, shared=2)
    pixels, decoded = decode(encoding, height, width, step, False, np.vstack([luma, colour]).tobytes())
    assert pixels.shape[:2] == (height, width)
    first, second = (0, 1) if encoding == "nv12" else (1, 0)
    for row, column in np.ndindex(height, width):
        pair = colour[row // 2, column // 2 * 2 : column // 2 * 2 + 2]
        blue, red = pair[first], pair[second]
        expected = [luma[row, column], blue, red] if decoded == YUV444 else [luma[row, column], [blue, red][column % 2]]
        assert pixels[row, column].tolist() == expected
    assert decoded == (YUV444 if width % 2 else "yuyv")


@pytest.mark.parametrize("step", [5, 9])
def test_planes_with_a_colour_for_each_pixel_are_interleaved(step):
    luma, colour = planes(3, 5, step, shared=1)
    pixels, decoded = decode("nv24", 3, 5, step, False, luma.tobytes() + colour.tobytes())
    assert decoded == YUV444
    np.testing.assert_array_equal(pixels[..., 0], luma[:, :5])
    np.testing.assert_array_equal(pixels[..., 1:], colour[:, :10].reshape(3, 5, 2))


@pytest.mark.parametrize(("encoding", "luma", "colour"), [("uyvy", 1, 0), ("yuv422", 1, 0), ("yuyv", 0, 1)])
def test_pixels_of_odd_width_share_the_colour_of_the_padding(encoding, luma, colour):
    stored = np.arange(2 * 6 * 2, dtype=np.uint8).reshape(2, 6, 2)
    pixels, decoded = decode(encoding, 2, 5, 12, False, stored.tobytes())
    assert decoded == YUV444
    for row, column in np.ndindex(2, 5):
        pair = stored[row, column // 2 * 2 : column // 2 * 2 + 2, colour]
        assert pixels[row, column].tolist() == [stored[row, column, luma], *pair]


def test_padded_rows_go_straight_into_opencv():
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    decoded, _ = decode("bgr8", 5, 7, 7 * 3 + 11, False, padded_rows(pixels, 11))
    np.testing.assert_array_equal(cv2.cvtColor(decoded, cv2.COLOR_BGR2GRAY), cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY))


def test_rows_of_odd_step_become_aligned_16_bit_pixels():
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    decoded, _ = decode("mono16", 3, 4, 9, HOST_IS_BIG, padded_rows(pixels, 1))
    assert decoded.flags.aligned
    np.testing.assert_array_equal(decoded, pixels)


def test_encoding_a_contiguous_image_makes_no_copy_and_a_cropped_one_is_packed():
    pixels = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    assert np.shares_memory(encode(pixels, "bgr8")[0], pixels)
    flat, step = encode(pixels[1:4, 2:5], "bgr8")
    assert step == 9
    assert flat.tobytes() == pixels[1:4, 2:5].tobytes()


@pytest.mark.parametrize(
    ("pixels", "encoding"),
    [
        (np.zeros((2, 2), np.uint8), "bgr8"),
        (np.zeros((2, 2, 3), np.uint8), "mono8"),
        (np.zeros((2, 2), np.uint8), "mono16"),
        (np.zeros(4, np.uint8), "mono8"),
        (np.zeros((6, 4), np.uint8), "nv12"),
    ],
)
def test_pixels_of_another_layout_are_not_sent(pixels, encoding):
    with pytest.raises(ValueError, match=encoding):
        encode(pixels, encoding)


@pytest.mark.parametrize(
    "pixels", [np.arange(24, dtype=np.uint16).reshape(4, 6), np.arange(24, dtype=np.uint16).reshape(4, 6).T]
)
def test_message_data_holds_the_bytes_of_the_rows(pixels):
    data = to_message_data(pixels)
    assert isinstance(data, array)
    assert data.typecode == "B"
    assert data.tobytes() == pixels.tobytes()


@pytest.mark.parametrize(
    ("arguments", "reason", "words"),
    [
        (("yuv9000", 2, 3, 6, False, bytes(12)), "encoding", ["yuv9000", "mono16", "bgr8"]),
        (("yuyv", 2, 3, 6, False, bytes(12)), "step", ["3 pixels", "6 bytes", "8 bytes"]),
        (("nv12", 2, 3, 3, False, bytes(9)), "step", ["3 bytes", "4 bytes"]),
        (("nv12", 3, 4, 4, False, bytes(16)), "data_length", ["16", "2 rows of colour", "20"]),
        (("nv24", 2, 4, 4, False, bytes(16)), "data_length", ["16", "24"]),
        (("", 2, 3, 6, False, bytes(12)), "encoding", ["''"]),
        (("mono8", 0, 3, 3, False, b""), "size", ["0", "3"]),
        (("mono8", 2, 0, 3, False, bytes(6)), "size", ["0", "2"]),
        (("mono16", 2, 3, 5, False, bytes(10)), "step", ["5 bytes", "6 bytes"]),
        (("bgr8", 2, 3, 9, False, bytes(17)), "data_length", ["17", "18"]),
        (("bgr8", 2, 3, 9, False, bytes(19)), "data_length", ["19", "18"]),
        (("mono8", 2, 3, 3, False, b""), "data_length", ["0", "6"]),
        (("32FC1", 1, 2, 8, False, np.array([np.nan, np.inf], "<f4").tobytes()), "not_finite", ["32FC1"]),
    ],
)
def test_malformed_images_are_refused_with_reason_and_numbers(arguments, reason, words):
    with pytest.raises(MalformedImage) as refusal:
        decode(*arguments)
    assert refusal.value.reason == reason
    assert all(word in str(refusal.value) for word in words)


@given(
    encoding=st.sampled_from([*sorted(ENCODINGS), "nonsense"]),
    height=st.integers(-1, 5),
    width=st.integers(-1, 5),
    step=st.integers(-1, 90),
    is_bigendian=st.booleans(),
    data=st.binary(max_size=120),
)
def test_any_message_is_decoded_or_refused(encoding, height, width, step, is_bigendian, data):
    try:
        pixels, _ = decode(encoding, height, width, step, is_bigendian, data)
    except MalformedImage:
        return
    assert pixels.shape[:2] == (height, width)
    assert np.isfinite(pixels).any()


@pytest.mark.parametrize("big_endian", [False, True])
def test_pixels_that_are_not_finite_stay_what_they_are(big_endian):
    pixels = np.array([[300.0, np.nan, 290.5], [np.inf, 310.0, -np.inf]], ">f4" if big_endian else "<f4")
    decoded, _ = decode("32FC1", 2, 3, 12, big_endian, pixels.tobytes())
    np.testing.assert_array_equal(decoded, pixels.astype(np.float32))


def test_a_raw_image_has_at_most_the_pixels_that_are_allowed():
    assert decode("mono8", 40, 50, 50, False, bytes(2000), max_pixels=2000)[0].shape == (40, 50)
    with pytest.raises(MalformedImage, match="image of 50x40 has more than 1999 pixels, the most") as refusal:
        decode("mono8", 40, 50, 50, False, bytes(2000), max_pixels=1999)
    assert refusal.value.reason == "too_large"


def test_a_refusal_comes_back_from_another_process_as_it_was():
    refusal = pickle.loads(pickle.dumps(MalformedImage("size", "image of width 0")))
    assert (refusal.reason, str(refusal)) == ("size", "image of width 0")


def test_only_8_bit_pixels_become_jpeg():
    with pytest.raises(ValueError, match="uint16"):
        encode_jpeg(np.zeros((4, 4), np.uint16), 90)


def test_full_range_16_bit_becomes_full_range_8_bit():
    np.testing.assert_array_equal(depth16_to_8(np.array([[0, 128, 129, 65535]], np.uint16)), [[0, 0, 1, 255]])
