# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""ROS image messages to numpy arrays and back.

The functions take the fields of `sensor_msgs/Image` and `sensor_msgs/CompressedImage`, not the messages, so
they need no ROS. Raw images are decoded without a copy wherever memory layout and byte order allow it.
"""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.headers import JPEG_START, PNG_START, stated_size

MAX_PIXELS: Final = 16_000_000
"""The most pixels of an image where nobody says otherwise: a larger one is refused before it is decoded."""

# What rclpy hands over as `data` (array), what files and sockets give (bytes, memoryview), and plain arrays.
MessageData = array | bytes | bytearray | memoryview | np.ndarray


class MalformedImage(ValueError):  # noqa: N818  (a state of the input, not of the program)
    """An image that cannot be used, with a short `reason` to count it by and one sentence to show.

    Reasons raised in this package: `encoding`, `size`, `too_large`, `step`, `data_length`, `not_finite`, `compressed`.
    Callers that find other faults in a frame (`zero_stamp`, say) raise it with their own.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[MalformedImage], tuple[str, str]]:
        """Lets it come back from a worker process, whose pool would break over it otherwise."""
        return type(self), (self.reason, str(self))


@dataclass(frozen=True)
class PixelFormat:
    """Memory layout of one pixel: `channels` values of `dtype`; a row holds a multiple of `group` pixels."""

    dtype: np.dtype
    channels: int
    group: int = 1

    @property
    def bytes_per_pixel(self) -> int:
        return self.dtype.itemsize * self.channels


ENCODINGS: Final[dict[str, PixelFormat]] = {
    "mono8": PixelFormat(np.dtype(np.uint8), 1),
    "8UC1": PixelFormat(np.dtype(np.uint8), 1),
    "mono16": PixelFormat(np.dtype(np.uint16), 1),
    "16UC1": PixelFormat(np.dtype(np.uint16), 1),
    "32FC1": PixelFormat(np.dtype(np.float32), 1),
    "bgr8": PixelFormat(np.dtype(np.uint8), 3),
    "8UC3": PixelFormat(np.dtype(np.uint8), 3),
    "rgb8": PixelFormat(np.dtype(np.uint8), 3),
    "bgra8": PixelFormat(np.dtype(np.uint8), 4),
    "rgba8": PixelFormat(np.dtype(np.uint8), 4),
    "bayer_rggb8": PixelFormat(np.dtype(np.uint8), 1),
    "bayer_bggr8": PixelFormat(np.dtype(np.uint8), 1),
    "bayer_gbrg8": PixelFormat(np.dtype(np.uint8), 1),
    "bayer_grbg8": PixelFormat(np.dtype(np.uint8), 1),
    **dict.fromkeys(("uyvy", "yuv422", "yuyv", "yuv422_yuy2"), PixelFormat(np.dtype(np.uint8), 2, group=2)),
}


def check_pixels(size: ImageSize, max_pixels: int = MAX_PIXELS) -> None:
    """Refuse an image of more than `max_pixels`.

    Raises:
        MalformedImage: `too_large`.
    """
    if size.width * size.height > max_pixels:
        raise MalformedImage(
            "too_large",
            f"image of {size} has more than {max_pixels} pixels, the most that are taken; scale it down, or raise the"
            " node's max_pixels.",
        )


def decode(
    encoding: str,
    height: int,
    width: int,
    step: int,
    is_bigendian: bool,
    data: MessageData,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """Return the pixels of a `sensor_msgs/Image` as HxW (one channel) or HxWxC.

    Channels stay in the encoding's order. The result has its dtype in native byte order and is read-only,
    because it is a view of `data` unless bytes had to be swapped, rows are not aligned to the dtype, or
    non-finite pixels were replaced. Padded rows stay a strided view.

    Non-finite pixels of 32FC1 (cameras mark "no reading" with them) take the smallest finite value.

    Raises:
        MalformedImage: `encoding` (unknown), `size` (zero, or odd in 4:2:2), `too_large` (more than `max_pixels`),
            `step` (shorter than a row), `data_length` (not height x step), or `not_finite` (no finite pixel at all).
    """
    layout = _layout_of(encoding)
    _check_geometry(layout, height, width, step, memoryview(data).nbytes)
    check_pixels(ImageSize(width, height), max_pixels)
    stored = layout.dtype.newbyteorder(">" if is_bigendian else "<")
    shape, strides = (height, width), (step, layout.bytes_per_pixel)
    if layout.channels > 1:
        shape, strides = (*shape, layout.channels), (*strides, stored.itemsize)
    pixels = np.ndarray(shape, stored, buffer=np.frombuffer(data, np.uint8), strides=strides)
    if not stored.isnative:
        pixels = pixels.astype(layout.dtype)
    elif not pixels.flags.aligned:
        pixels = pixels.copy()
    if layout.dtype.kind == "f":
        pixels = replace_non_finite(pixels)
    pixels.flags.writeable = False
    return pixels


def encode(pixels: np.ndarray, encoding: str) -> tuple[np.ndarray, int]:
    """Return the bytes of `pixels` (HxW or HxWxC) as a flat uint8 array, and the row step in bytes.

    No copy is made of a C-contiguous array. Bytes are in the host's order: set `is_bigendian` to
    `sys.byteorder == "big"`.

    Raises:
        ValueError: the array does not have the dtype and channels of `encoding`.
        MalformedImage: `encoding` is unknown.
    """
    layout = _layout_of(encoding)
    channels = 1 if pixels.ndim == 2 else pixels.shape[-1]
    if pixels.dtype != layout.dtype or channels != layout.channels or pixels.ndim not in (2, 3):
        raise ValueError(
            f"pixels of shape {pixels.shape} and type {pixels.dtype} cannot be sent as {encoding}; "
            f"it needs {layout.channels} channel(s) of {layout.dtype}."
        )
    flat = np.ascontiguousarray(pixels).reshape(-1).view(np.uint8)
    return flat, pixels.shape[1] * layout.bytes_per_pixel


def to_message_data(pixels: np.ndarray) -> array:
    """Return the bytes of `pixels` as array('B'), the one type that rclpy takes without converting it."""
    data = array("B")
    data.frombytes(np.ascontiguousarray(pixels).data.cast("B"))
    return data


# compressed_image_transport writes "<raw encoding>; <codec> compressed <encoding of the compressed pixels>".
_COMPRESSED_AS_RGB: Final = re.compile(r"compressed\s+rgb", re.IGNORECASE)
_JPEG_END: Final = b"\xff\xd9"


def decode_compressed(format: str, data: MessageData, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, str]:
    """Return the pixels of a `sensor_msgs/CompressedImage` and their encoding: `bgr8`, `mono8` or `mono16`.

    The codec is told by the data (JPEG or PNG), since `format` varies between publishers; `format` only tells
    whether the compressed colours are in RGB order ("... compressed rgb8"). Alpha is dropped, and colour
    deeper than 8 bit is reduced to 8.

    Raises:
        MalformedImage: `compressed` (neither JPEG nor PNG, truncated, or not decodable), or `too_large` (more than
            `max_pixels`, by its header: it is not decoded).
    """
    raw = bytes(data)
    _check_compressed(format, raw)
    pixels = decode_file(raw, cv2.IMREAD_UNCHANGED, max_pixels)
    if pixels is None:
        raise MalformedImage(
            "compressed",
            f"compressed image of {len(raw)} bytes with format '{format}' cannot be decoded; check its publisher.",
        )
    if pixels.ndim == 2:
        return pixels, "mono16" if pixels.dtype == np.uint16 else "mono8"
    if pixels.dtype == np.uint16:
        pixels = depth16_to_8(pixels)
    if pixels.shape[2] == 4:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGRA2BGR)
    if _COMPRESSED_AS_RGB.search(format):
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return pixels, "bgr8"


def decode_file(content: bytes, flags: int, max_pixels: int = MAX_PIXELS) -> np.ndarray | None:
    """Return the pixels of an image file as OpenCV reads it with `flags`, such as cv2.IMREAD_UNCHANGED.

    None where it is cut off, broken, or neither JPEG, PNG, TIFF nor BMP.

    Raises:
        MalformedImage: `too_large` (more than `max_pixels`, by its header: it is not decoded).
    """
    size = stated_size(content)
    if size is None or is_cut_off(content):
        return None
    check_pixels(size, max_pixels)
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        return None


def encode_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Compress uint8 HxWx3 BGR or HxW grey pixels to JPEG, `quality` 0..100; returns the file as flat uint8.

    Raises:
        ValueError: the pixels are not an 8-bit image.
    """
    if pixels.dtype != np.uint8 or pixels.size == 0:
        raise ValueError(
            f"pixels of shape {pixels.shape} and type {pixels.dtype} cannot become JPEG; give uint8 pixels."
        )
    _, compressed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return compressed.reshape(-1)


def depth16_to_8(pixels: np.ndarray) -> np.ndarray:
    """Return full-range uint16 pixels of any shape as uint8: round(value * 255 / 65535)."""
    return cv2.convertScaleAbs(pixels, alpha=255 / 65535)


def _layout_of(encoding: str) -> PixelFormat:
    layout = ENCODINGS.get(encoding)
    if layout is None:
        raise MalformedImage(
            "encoding",
            f"image encoding '{encoding}' is not supported; set the camera to one of {', '.join(ENCODINGS)}.",
        )
    return layout


def _check_geometry(layout: PixelFormat, height: int, width: int, step: int, length: int) -> None:
    if height <= 0 or width <= 0:
        raise MalformedImage("size", f"image of width {width} and height {height} has no pixels; check its publisher.")
    if width % layout.group:
        raise MalformedImage(
            "size",
            f"image of width {width} cannot be in an encoding whose pixels share colours by {layout.group};"
            " check its publisher.",
        )
    if step < width * layout.bytes_per_pixel:
        raise MalformedImage(
            "step",
            f"image step of {step} bytes is shorter than a row of {width} pixels, "
            f"{width * layout.bytes_per_pixel} bytes; check its publisher.",
        )
    if length != height * step:
        raise MalformedImage(
            "data_length",
            f"image data holds {length} bytes where height {height} x step {step} makes {height * step}; "
            "check its publisher.",
        )


def replace_non_finite(pixels: np.ndarray) -> np.ndarray:
    """Return float pixels of any shape with the smallest finite value in place of NaN and infinities.

    Raises:
        MalformedImage: `not_finite`: no pixel is finite.
    """
    finite = np.isfinite(pixels)
    if finite.all():
        return pixels
    if not finite.any():
        raise MalformedImage("not_finite", "32FC1 image has no finite pixel; check the camera's output.")
    return np.where(finite, pixels, pixels[finite].min())


def _check_compressed(format: str, raw: bytes) -> None:
    if not raw.startswith((JPEG_START, PNG_START)):
        raise MalformedImage(
            "compressed",
            f"compressed image with format '{format}' starts with '{raw[:4].hex()}', neither JPEG nor PNG; "
            "set the publisher to one of them.",
        )
    if is_cut_off(raw):
        raise MalformedImage(
            "compressed",
            f"compressed image with format '{format}' is cut off at {len(raw)} bytes; check its publisher.",
        )


def is_cut_off(raw: bytes) -> bool:
    """Whether a JPEG or PNG file lacks its end, where OpenCV gives a partly grey image (JPEG) or believes it (PNG).

    False for files of other formats.
    """
    if raw.startswith(JPEG_START):
        # Padding may follow the end mark; one in the first half belongs to an embedded thumbnail.
        return raw.find(_JPEG_END, len(raw) // 2) < 0
    return raw.startswith(PNG_START) and not _is_whole_png(raw)


def _is_whole_png(raw: bytes) -> bool:
    """Whether the chunks (PNG specification, section 5.3) are as long as they say and end with IEND.

    OpenCV allocates what a chunk's length field says before it reads: half a gigabyte for a few wrong bytes.
    """
    position = len(PNG_START)
    while position + 12 <= len(raw):
        length = int.from_bytes(raw[position : position + 4], "big")
        kind = raw[position + 4 : position + 8]
        if (position == len(PNG_START)) != (kind == b"IHDR"):
            return False
        position += 12 + length
        if kind == b"IEND":
            return position <= len(raw)
    return False
