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

"""Compressed messages to arrays: what publishers send, whole, padded, damaged and cut off."""

from __future__ import annotations

import struct
from array import array

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinefuse_ros.image.codec import MalformedImage, encode_jpeg
from refinefuse_ros.image.colour import mosaic
from refinefuse_ros.image.compressed import decode_compressed


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


@pytest.mark.parametrize("compressed", [encode_jpeg(smooth_colour(), 90).tobytes(), png(smooth_colour())])
def test_a_compressed_image_is_refused_by_its_header(compressed, monkeypatch):
    assert decode_compressed("jpeg", compressed, max_pixels=48 * 64)[0].shape == (48, 64, 3)
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: pytest.fail("it was decoded"))
    with pytest.raises(MalformedImage, match="image of 64x48 has more than 3071 pixels") as refusal:
        decode_compressed("jpeg", compressed, max_pixels=48 * 64 - 1)
    assert refusal.value.reason == "too_large"


# -- JPEG as cameras send it ------------------------------------------------------------------------------------------


def scene() -> np.ndarray:
    """Structure everywhere, so that what is missing shows."""
    rows, columns = np.mgrid[0:120, 0:160]
    waves = 128 + 60 * np.sin(rows / 5) + 60 * np.cos(columns / 7)
    return np.dstack([waves, np.roll(waves, 30, 0), np.roll(waves, 50, 1)]).astype(np.uint8)


def jpeg(pixels: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90, *options])[1].tobytes()


def without_huffman_tables(content: bytes) -> bytes:
    """As webcams send the frames of MJPEG, which has standard ones."""
    kept, position = content[:2], 2
    while content[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(content[position + 2 : position + 4], "big")
        kept += content[position:end] if content[position + 1] != 0xC4 else b""
        position = end
    return kept + content[position:]


WHOLE = jpeg(scene())
CUT = len(WHOLE) * 6 // 10


@pytest.mark.parametrize(
    "sampling",
    [getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{name}") for name in ("411", "420", "422", "440", "444")],
)
@pytest.mark.parametrize("shape", [(120, 160), (119, 157)])
def test_jpeg_of_any_sampling_and_size_is_what_opencv_makes_of_it(sampling, shape):
    content = jpeg(scene()[: shape[0], : shape[1]], cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling)
    decoded, encoding = decode_compressed("jpeg", content)
    expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert (encoding, decoded.shape) == ("bgr8", (*shape, 3))
    difference = np.abs(decoded.astype(int) - expected)
    assert difference.mean() < 0.3
    assert difference.max() <= 16


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(jpeg(scene(), cv2.IMWRITE_JPEG_PROGRESSIVE, 1), id="progressive"),
        pytest.param(jpeg(scene(), cv2.IMWRITE_JPEG_RST_INTERVAL, 4), id="restart marks"),
        pytest.param(without_huffman_tables(WHOLE), id="no Huffman tables"),
        pytest.param(WHOLE + bytes(4096), id="a page of zeros behind it"),
        pytest.param(WHOLE + bytes(3 * len(WHOLE)), id="mostly zeros behind it"),
        pytest.param(WHOLE[:-2] + b"\x12\x34" + WHOLE[-2:], id="bytes too many before its end"),
        pytest.param(WHOLE[:2] + b"\xff\xe1\0\4ab" + WHOLE[2:], id="a short application segment"),
    ],
)
def test_jpeg_that_is_odd_but_whole_is_taken_in_silence(content, capfd):
    decoded, encoding = decode_compressed("jpeg", content)
    assert encoding == "bgr8"
    assert np.abs(decoded.astype(int) - scene()).mean() < 4
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("optimised", [0, 1])
@pytest.mark.parametrize("pixels", [np.full((480, 640, 3), 40, np.uint8), np.zeros((480, 640), np.uint8)])
def test_a_flat_picture_is_no_damage(optimised, pixels):
    decoded, _ = decode_compressed("jpeg", jpeg(pixels, cv2.IMWRITE_JPEG_OPTIMIZE, optimised))
    np.testing.assert_array_equal(decoded, pixels)


def test_zeros_that_would_decode_are_still_damage(capfd):
    fine = jpeg(np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8), cv2.IMWRITE_JPEG_QUALITY, 98)
    with pytest.raises(MalformedImage, match="damaged"):
        decode_compressed("jpeg", fine[: len(fine) // 2] + bytes(len(fine) // 2 - 2) + b"\xff\xd9")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(WHOLE[:CUT] + bytes(len(WHOLE) - CUT - 2) + b"\xff\xd9", id="zeros to its end"),
        pytest.param(WHOLE[:CUT] + bytes(len(WHOLE) - CUT), id="zeros"),
        pytest.param(WHOLE[:CUT] + b"\xff\xd9", id="ends early"),
        pytest.param(WHOLE[:CUT] + np.random.default_rng(1).bytes(len(WHOLE) - CUT - 2) + b"\xff\xd9", id="noise"),
        pytest.param(WHOLE[:CUT], id="cut off"),
        pytest.param(WHOLE[:-2], id="no end mark"),
        pytest.param(WHOLE[:CUT] + WHOLE, id="the next frame begins in it"),
    ],
)
def test_jpeg_that_is_damaged_is_refused_in_silence(content, capfd):
    with pytest.raises(MalformedImage, match="is cut off or damaged; check") as refusal:
        decode_compressed("bgr8; jpeg compressed bgr8", content)
    assert refusal.value.reason == "compressed"
    assert capfd.readouterr() == ("", "")


def test_png_that_was_changed_is_refused_in_silence(capfd):
    content = bytearray(png(smooth_colour()))
    content[len(content) // 2] ^= 1
    with pytest.raises(MalformedImage, match="cut off or damaged"):
        decode_compressed("png", content)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("target", ["", "bayer_rggb8", "mono8"])
def test_a_mosaic_that_was_compressed_is_one_again(target):
    seen = mosaic(smooth_colour(), "bayer_rggb8")
    format = f"bayer_rggb8; png compressed {target}"
    decoded, encoding = decode_compressed(format, png(seen))
    assert encoding == "bayer_rggb8"
    np.testing.assert_array_equal(decoded, seen)
    assert decode_compressed(format.replace("png", "jpeg"), jpeg(seen))[1] == "bayer_rggb8"


def test_a_mosaic_of_16_bits_keeps_them_and_one_that_became_colour_is_colour():
    deep = mosaic(smooth_colour(), "bayer_gbrg8").astype(np.uint16) * 16
    decoded, encoding = decode_compressed("bayer_gbrg16; png compressed ", png(deep))
    assert encoding == "bayer_gbrg16"
    np.testing.assert_array_equal(decoded, deep)
    assert decode_compressed("bayer_gbrg8; jpeg compressed bgr8", jpeg(smooth_colour()))[1] == "bgr8"


# -- compressedDepth ---------------------------------------------------------------------------------------------------

COUNTS = (np.add.outer(np.arange(9), np.arange(14)) * 731 % 65536).astype(np.uint16)
COUNTS[2, 3:9] = 0
COUNTS[-1] = 0


def depth_header(numerator: float = 0.0, offset: float = 0.0) -> bytes:
    return struct.pack("<iff", 0, numerator, offset)


def rvl(pixels: np.ndarray) -> bytes:
    """Wilson's encoder, nibble by nibble."""
    nibbles: list[int] = []

    def number(value: int) -> None:
        while True:
            nibbles.append((value & 7) | (8 if value > 7 else 0))
            value >>= 3
            if not value:
                return

    values, position, previous = pixels.ravel().astype(int).tolist(), 0, 0
    while position < len(values):
        for is_run in (lambda value: value == 0, lambda value: value != 0):
            end = position
            while end < len(values) and is_run(values[end]):
                end += 1
            number(end - position)
            for value in values[position:end] if values[position : position + 1] != [0] else ():
                delta = value - previous
                number(delta << 1 if delta >= 0 else (-delta << 1) - 1)
                previous = value
            position = end
    nibbles += [0] * (-len(nibbles) % 8)
    words = [int("".join(f"{nibble:x}" for nibble in nibbles[i : i + 8]), 16) for i in range(0, len(nibbles), 8)]
    return struct.pack(f"<2I{len(words)}I", pixels.shape[1], pixels.shape[0], *words)


@pytest.mark.parametrize(
    "format", ["16UC1; compressedDepth png", "16UC1; compressedDepth", "mono16;compressedDepth png"]
)
def test_depth_in_png_comes_back_exactly(format):
    decoded, encoding = decode_compressed(format, array("B", depth_header() + png(COUNTS)))
    assert encoding == "mono16"
    np.testing.assert_array_equal(decoded, COUNTS)


@pytest.mark.parametrize(
    "counts", [COUNTS, COUNTS[:1, :1], np.zeros((3, 5), np.uint16), np.full((4, 4), 65535, np.uint16)]
)
def test_depth_in_rvl_comes_back_exactly(counts):
    decoded, encoding = decode_compressed("16UC1; compressedDepth rvl", depth_header() + rvl(counts))
    assert encoding == "mono16"
    assert decoded.dtype == np.uint16
    np.testing.assert_array_equal(decoded, counts)


def test_rvl_is_what_its_author_defines():
    # 2 zeros, then 3 pixels 5, 4, 260: differences 5, -1, 256 as zigzag 10, 1, 512; nibbles 2 | 3 | a 1 | 1 | 8 8 8 1.
    words = struct.pack("<2I2I", 5, 1, 0x23A11888, 0x10000000)
    decoded, _ = decode_compressed("16UC1; compressedDepth rvl", depth_header() + words)
    assert decoded.tolist() == [[0, 0, 5, 4, 260]]


@pytest.mark.parametrize("codec", ["png", "rvl"])
def test_quantised_depth_is_metres_again(codec):
    body = png(COUNTS) if codec == "png" else rvl(COUNTS)
    decoded, encoding = decode_compressed(f"32FC1; compressedDepth {codec}", depth_header(5000.0, -20.0) + body)
    assert encoding == "32FC1"
    expected = 5000.0 / (COUNTS.astype(float) + 20.0)
    expected[COUNTS == 0] = np.nan  # no reading
    np.testing.assert_allclose(decoded, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("format", "data"),
    [
        ("16UC1; compressedDepth png", b""),
        ("16UC1; compressedDepth png", depth_header() + b"\x01" * 90),
        ("16UC1; compressedDepth png", depth_header() + png(smooth_colour())),
        ("16UC1; compressedDepth rvl", depth_header()),
        ("16UC1; compressedDepth rvl", depth_header() + b"\0" * 40),
        ("16UC1; compressedDepth rvl", depth_header() + b"\x01" * 400),
        ("16UC1; compressedDepth rvl", depth_header() + rvl(COUNTS)[:-8]),
        ("16UC1; compressedDepth rvl", depth_header() + struct.pack("<2I", 40, 30) + b"\xff" * 99),
    ],
)
def test_depth_that_is_damaged_is_refused(format, data):
    with pytest.raises(MalformedImage) as refusal:
        decode_compressed(format, data)
    assert refusal.value.reason in ("compressed", "too_large")


def test_depth_of_too_many_pixels_is_not_decoded():
    with pytest.raises(MalformedImage) as refusal:
        decode_compressed("16UC1; compressedDepth rvl", depth_header() + rvl(COUNTS), max_pixels=COUNTS.size - 1)
    assert refusal.value.reason == "too_large"


@given(st.binary(max_size=60))
def test_any_rvl_is_decoded_or_refused(body):
    header = struct.pack("<2I", 5, 4)
    try:
        pixels, _ = decode_compressed("16UC1; compressedDepth rvl", depth_header() + header + body)
    except MalformedImage:
        return
    assert pixels.shape == (4, 5)
