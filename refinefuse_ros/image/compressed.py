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

"""The images of `sensor_msgs/CompressedImage`: JPEG, PNG, and what compressedDepth makes of them."""

from __future__ import annotations

import re
import struct
from typing import Final

import cv2
import numpy as np

from refinefuse_ros.image.codec import (
    MAX_PIXELS,
    MOSAIC_ENCODINGS,
    MalformedImage,
    MessageData,
    check_finite,
    check_pixels,
    decode_file,
    depth16_to_8,
    known_encoding,
)
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.headers import JPEG_START, PNG_START, stated_size
from refinefuse_ros.image.jpeg import read_jpeg
from refinefuse_ros.image.rvl import decode_rvl

# compressed_image_transport writes "<raw encoding>; <codec> compressed <encoding of the compressed pixels>".
_AS_RGB: Final = re.compile(r"compressed\s+rgb", re.IGNORECASE)
# compressed_depth_image_transport writes "<raw encoding>; compressedDepth <png or rvl>"; once, without the last word.
_DEPTH: Final = re.compile(r"compressedDepth\s*(\w*)", re.IGNORECASE)
# Its data begin with an enum and the two coefficients of the quantisation of floats; RVL then with width and height.
_DEPTH_HEADER: Final = struct.Struct("<iff")
_RVL_HEADER: Final = struct.Struct("<II")


def decode_compressed(format: str, data: MessageData, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, str]:
    """Return the pixels of a `sensor_msgs/CompressedImage` and their encoding.

    That is `bgr8`, `mono8` or `mono16`; a Bayer encoding where `format` names one and the picture is grey (image
    transports compress the mosaic itself); `32FC1` for quantised depth. The codec is told by the data (JPEG or PNG),
    since `format` varies between publishers; it also tells whether the compressed colours are in RGB order
    ("... compressed rgb8"). Alpha is dropped, and colour deeper than 8 bit is reduced to 8.

    Raises:
        MalformedImage: `compressed` (of no known codec, truncated, damaged, or not decodable), `too_large` (more than
            `max_pixels`, by its header: it is not decoded), or `not_finite` (depth without a single reading).
    """
    raw = bytes(data)
    if depth := _DEPTH.search(format):
        return _decode_depth(format, depth[1].lower(), raw, max_pixels)
    pixels = _decode_picture(format, raw, max_pixels)
    source = known_encoding(format.partition(";")[0].strip())
    if pixels.ndim == 2:
        encoding = "mono16" if pixels.dtype == np.uint16 else "mono8"
        fits = source in MOSAIC_ENCODINGS and MOSAIC_ENCODINGS[source].dtype == pixels.dtype
        return pixels, source if fits else encoding
    if pixels.dtype == np.uint16:
        pixels = depth16_to_8(pixels)
    if pixels.shape[2] == 4:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGRA2BGR)
    if _AS_RGB.search(format):
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return pixels, "bgr8"


def _decode_picture(format: str, raw: bytes, max_pixels: int) -> np.ndarray:
    """A JPEG's or a PNG's pixels as OpenCV has them unchanged."""
    if not raw.startswith((JPEG_START, PNG_START)):
        raise MalformedImage(
            "compressed",
            f"compressed image with format '{format}' starts with '{raw[:4].hex()}', neither JPEG nor PNG; "
            "set the publisher to one of them.",
        )
    size = stated_size(raw)
    if size is not None:
        check_pixels(size, max_pixels)
        is_jpeg = raw.startswith(JPEG_START)
        pixels = read_jpeg(raw) if is_jpeg else decode_file(raw, cv2.IMREAD_UNCHANGED, max_pixels)
        if pixels is not None:
            return pixels
    raise MalformedImage(
        "compressed",
        f"compressed image of {len(raw)} bytes with format '{format}' is cut off or damaged; check its publisher and"
        " the camera's cable.",
    )


def _decode_depth(format: str, codec: str, raw: bytes, max_pixels: int) -> tuple[np.ndarray, str]:
    """The image of compressedDepth: mono16, or 32FC1 where it was quantised."""
    body = raw[_DEPTH_HEADER.size :]
    pixels = _decode_rvl_body(format, body, max_pixels) if codec == "rvl" else _decode_picture(format, body, max_pixels)
    if pixels.dtype != np.uint16 or pixels.ndim != 2:
        raise MalformedImage(
            "compressed",
            f"compressed image with format '{format}' does not hold 16-bit grey pixels; check its publisher.",
        )
    if not format.strip().upper().startswith("32FC1"):
        return pixels, "mono16"
    _, numerator, offset = _DEPTH_HEADER.unpack_from(raw)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        depth = np.float32(numerator) / (pixels.astype(np.float32) - np.float32(offset))
    depth = np.where(pixels == 0, np.float32(np.nan), depth)  # 0 stands for no reading
    check_finite(depth)
    return depth, "32FC1"


def _decode_rvl_body(format: str, body: bytes, max_pixels: int) -> np.ndarray:
    try:
        width, height = _RVL_HEADER.unpack_from(body)
        if width == 0 or height == 0:
            raise ValueError(f"an image of {width}x{height} has no pixels")
        check_pixels(ImageSize(width, height), max_pixels)
        return decode_rvl(body[_RVL_HEADER.size :], width * height).reshape(height, width)
    except (struct.error, ValueError) as error:
        if isinstance(error, MalformedImage):
            raise
        raise MalformedImage(
            "compressed",
            f"compressed image of {len(body)} bytes with format '{format}' is cut off or damaged ({error});"
            " check its publisher.",
        ) from error
