# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
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
    MalformedImage,
    decode,
    decode_compressed,
    depth16_to_8,
    encode,
    encode_jpeg,
    to_message_data,
)

HOST_IS_BIG = sys.byteorder == "big"


@st.composite
def images(draw: st.DrawFn) -> tuple[str, np.ndarray]:
    encoding = draw(st.sampled_from(sorted(ENCODINGS)))
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

    decoded = decode(encoding, pixels.shape[0], pixels.shape[1], len(raw) // pixels.shape[0], big_endian, data)

    assert decoded.dtype == pixels.dtype
    assert decoded.dtype.isnative
    np.testing.assert_array_equal(decoded, pixels)


@given(image=images())
def test_encoding_is_undone_by_decoding(image):
    encoding, pixels = image
    flat, step = encode(pixels, encoding)
    assert flat.dtype == np.uint8
    assert flat.ndim == 1
    decoded = decode(encoding, pixels.shape[0], pixels.shape[1], step, HOST_IS_BIG, flat)
    np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize("encoding", sorted(set(ENCODINGS) - {"32FC1"}))
@pytest.mark.parametrize("padding", [0, 4])
def test_native_images_are_decoded_without_a_copy_and_cannot_be_written(encoding, padding):
    step = 6 * ENCODINGS[encoding].bytes_per_pixel + padding
    data = array("B", bytes(5 * step))
    decoded = decode(encoding, 5, 6, step, HOST_IS_BIG, data)
    assert np.shares_memory(decoded, np.frombuffer(data, np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        decoded[0, 0] = 1


def test_padded_rows_go_straight_into_opencv():
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    decoded = decode("bgr8", 5, 7, 7 * 3 + 11, False, padded_rows(pixels, 11))
    np.testing.assert_array_equal(cv2.cvtColor(decoded, cv2.COLOR_BGR2GRAY), cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY))


def test_rows_of_odd_step_become_aligned_16_bit_pixels():
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    decoded = decode("mono16", 3, 4, 9, HOST_IS_BIG, padded_rows(pixels, 1))
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
        (("nv21", 2, 3, 6, False, bytes(12)), "encoding", ["nv21", "mono16", "bgr8"]),
        (("yuyv", 2, 3, 6, False, bytes(12)), "size", ["width 3"]),
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
        pixels = decode(encoding, height, width, step, is_bigendian, data)
    except MalformedImage:
        return
    assert pixels.shape[:2] == (height, width)
    assert np.isfinite(pixels).all()


@pytest.mark.parametrize("big_endian", [False, True])
def test_non_finite_pixels_take_the_smallest_finite_value(big_endian):
    pixels = np.array([[300.0, np.nan, 290.5], [np.inf, 310.0, -np.inf]], ">f4" if big_endian else "<f4")
    decoded = decode("32FC1", 2, 3, 12, big_endian, pixels.tobytes())
    np.testing.assert_array_equal(decoded, [[300.0, 290.5, 290.5], [290.5, 310.0, 290.5]])


def smooth_colour() -> np.ndarray:
    rows, columns = np.mgrid[0:48, 0:64]
    return np.dstack([rows * 5, columns * 4, 255 - rows * 5]).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


@pytest.mark.parametrize(
    ("format", "pixels", "encoding"),
    [
        ("png", smooth_colour(), "bgr8"),
        ("rgb8; png compressed bgr8", smooth_colour(), "bgr8"),
        ("mono8; png compressed ", smooth_colour()[..., 0], "mono8"),
        ("mono16; png compressed ", smooth_colour()[..., 0].astype(np.uint16) * 200, "mono16"),
        ("16UC1; png compressed ", smooth_colour()[..., 1].astype(np.uint16) * 200, "mono16"),
    ],
)
def test_png_comes_back_exactly(format, pixels, encoding):
    decoded, actual = decode_compressed(format, array("B", png(pixels)))
    assert actual == encoding
    assert decoded.dtype == pixels.dtype
    np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize("format", ["jpeg", "bgr8; jpeg compressed bgr8", "rgb8; jpeg compressed bgr8", "jpg"])
def test_jpeg_comes_back_nearly(format):
    decoded, encoding = decode_compressed(format, encode_jpeg(smooth_colour(), 95))
    assert encoding == "bgr8"
    assert np.abs(decoded.astype(int) - smooth_colour()).mean() < 3


def test_grey_jpeg_is_mono8():
    decoded, encoding = decode_compressed("mono8; jpeg compressed ", encode_jpeg(smooth_colour()[..., 0], 95))
    assert (encoding, decoded.shape) == ("mono8", (48, 64))


def test_colours_compressed_in_rgb_order_are_swapped():
    decoded, encoding = decode_compressed("rgb8; png compressed rgb8", png(smooth_colour()))
    assert encoding == "bgr8"
    np.testing.assert_array_equal(decoded, smooth_colour()[..., ::-1])


def test_alpha_is_dropped_and_deep_colour_reduced():
    bgra = np.dstack([smooth_colour(), np.full((48, 64), 7, np.uint8)])
    np.testing.assert_array_equal(decode_compressed("png", png(bgra))[0], smooth_colour())
    deep = smooth_colour().astype(np.uint16) * 257
    np.testing.assert_array_equal(decode_compressed("png", png(deep))[0], smooth_colour())


def test_padding_after_the_end_of_a_jpeg_does_no_harm():
    whole = encode_jpeg(smooth_colour(), 90).tobytes()
    np.testing.assert_array_equal(decode_compressed("jpeg", whole + bytes(64))[0], decode_compressed("jpeg", whole)[0])


@pytest.mark.parametrize("compressed", [encode_jpeg(smooth_colour(), 90).tobytes(), png(smooth_colour())])
@given(share=st.floats(0.0, 0.99))
def test_truncated_files_are_refused(compressed, share):
    with pytest.raises(MalformedImage) as refusal:
        decode_compressed("jpeg", compressed[: int(share * len(compressed))])
    assert refusal.value.reason == "compressed"


@given(
    start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]),
    middle=st.binary(max_size=60),
    end=st.sampled_from([b"", b"\xff\xd9", b"IEND"]),
)
def test_garbage_is_refused(start, middle, end):
    with pytest.raises(MalformedImage):
        decode_compressed("jpeg", start + middle + end)


def test_a_raw_image_has_at_most_the_pixels_that_are_allowed():
    assert decode("mono8", 40, 50, 50, False, bytes(2000), max_pixels=2000).shape == (40, 50)
    with pytest.raises(MalformedImage, match="image of 50x40 has more than 1999 pixels, the most") as refusal:
        decode("mono8", 40, 50, 50, False, bytes(2000), max_pixels=1999)
    assert refusal.value.reason == "too_large"


@pytest.mark.parametrize("compressed", [encode_jpeg(smooth_colour(), 90).tobytes(), png(smooth_colour())])
def test_a_compressed_image_is_refused_by_its_header(compressed, monkeypatch):
    assert decode_compressed("jpeg", compressed, max_pixels=48 * 64)[0].shape == (48, 64, 3)
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: pytest.fail("it was decoded"))
    with pytest.raises(MalformedImage, match="image of 64x48 has more than 3071 pixels") as refusal:
        decode_compressed("jpeg", compressed, max_pixels=48 * 64 - 1)
    assert refusal.value.reason == "too_large"


def test_a_refusal_comes_back_from_another_process_as_it_was():
    refusal = pickle.loads(pickle.dumps(MalformedImage("size", "image of width 0")))
    assert (refusal.reason, str(refusal)) == ("size", "image of width 0")


def test_only_8_bit_pixels_become_jpeg():
    with pytest.raises(ValueError, match="uint16"):
        encode_jpeg(np.zeros((4, 4), np.uint16), 90)


def test_full_range_16_bit_becomes_full_range_8_bit():
    np.testing.assert_array_equal(depth16_to_8(np.array([[0, 128, 129, 65535]], np.uint16)), [[0, 0, 1, 255]])
