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

"""ROS image messages to numpy arrays and back.

The functions take the fields of `sensor_msgs/Image`, not the message, so they need no ROS. Raw images are decoded
without a copy wherever memory layout and byte order allow it.
"""

from __future__ import annotations

import zlib
from array import array
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.headers import JPEG_START, PNG_START, stated_size
from refinefuse_ros.image.jpeg import is_whole_jpeg

MAX_PIXELS: Final = 16_000_000
"""The most pixels of an image where nobody says otherwise: a larger one is refused before it is decoded."""

# Limited-range Y, Cb, Cr of each pixel, (H, W, 3) uint8: what is decoded of planes, which no message has as pixels.
YUV444: Final = "yuv444"

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
    """How an encoding lies in memory: rows of pixels of `channels` values of `dtype`.

    Attributes:
        dtype: of each value.
        channels: values a pixel.
        group: a row holds a multiple of so many pixels, the last of which may be padding.
        decoded: the encoding that pixels are given back in; empty where it is the same.
    """

    dtype: np.dtype
    channels: int
    group: int = 1
    decoded: str = ""

    @property
    def bytes_per_pixel(self) -> int:
        return self.dtype.itemsize * self.channels

    def row_bytes(self, width: int) -> int:
        """The bytes of a row of `width` pixels, without padding but for the last group's."""
        return -(-width // self.group) * self.group * self.bytes_per_pixel


_U8, _U16 = np.dtype(np.uint8), np.dtype(np.uint16)
_MOSAICS: Final = ("bayer_rggb", "bayer_bggr", "bayer_gbrg", "bayer_grbg")
GREY_ENCODINGS: Final[dict[str, PixelFormat]] = {
    **dict.fromkeys(("mono8", "8UC1"), PixelFormat(_U8, 1)),
    **dict.fromkeys(("mono16", "16UC1"), PixelFormat(_U16, 1)),
}
COUNT_ENCODINGS: Final[dict[str, PixelFormat]] = {
    "16SC1": PixelFormat(np.dtype(np.int16), 1),
    "32FC1": PixelFormat(np.dtype(np.float32), 1),
    "64FC1": PixelFormat(np.dtype(np.float64), 1, decoded="32FC1"),
}
COLOUR_ENCODINGS: Final[dict[str, PixelFormat]] = {
    **dict.fromkeys(("bgr8", "rgb8", "8UC3"), PixelFormat(_U8, 3)),
    **dict.fromkeys(("bgra8", "rgba8", "8UC4"), PixelFormat(_U8, 4)),
    **dict.fromkeys(("bgr16", "rgb16", "16UC3"), PixelFormat(_U16, 3)),
    **dict.fromkeys(("bgra16", "rgba16", "16UC4"), PixelFormat(_U16, 4)),
    **dict.fromkeys(("uyvy", "yuv422", "yuyv", "yuv422_yuy2"), PixelFormat(_U8, 2, group=2)),
    "nv12": PixelFormat(_U8, 1, group=2, decoded="yuyv"),
    "nv21": PixelFormat(_U8, 1, group=2, decoded="yuyv"),
    "nv24": PixelFormat(_U8, 1, decoded=YUV444),
}
MOSAIC_ENCODINGS: Final[dict[str, PixelFormat]] = {
    **dict.fromkeys((f"{mosaic}8" for mosaic in _MOSAICS), PixelFormat(_U8, 1)),
    **dict.fromkeys((f"{mosaic}16" for mosaic in _MOSAICS), PixelFormat(_U16, 1)),
}
ENCODINGS: Final[dict[str, PixelFormat]] = (
    GREY_ENCODINGS | COUNT_ENCODINGS | COLOUR_ENCODINGS | MOSAIC_ENCODINGS  # every one that a message may name
)
# What drivers call them besides, in lower case: V4L2's, FFmpeg's and GenICam's names.
_ALIASES: Final[dict[str, str]] = {
    **{name.lower(): name for name in ENCODINGS},
    **dict.fromkeys(("yuy2", "yuyv422", "yuv422_yuyv"), "yuyv"),
    **dict.fromkeys(("uyvy422", "yuv422_uyvy"), "uyvy"),
    **{
        f"bayer{name[:2]}{bits}": f"bayer_{name}{bits}" for name in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16)
    },
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


def known_encoding(name: str) -> str | None:
    """The ROS name of an encoding whatever its driver calls it ("YUYV", "BGR8", "BayerRG8"); None of an unknown one."""
    return name if name in ENCODINGS else _ALIASES.get(name.lower())


def decode(
    encoding: str,
    height: int,
    width: int,
    step: int,
    is_bigendian: bool,
    data: MessageData,
    max_pixels: int = MAX_PIXELS,
) -> tuple[np.ndarray, str]:
    """Return the pixels of a `sensor_msgs/Image` as HxW (one channel) or HxWxC, and the encoding that they are in.

    Channels stay in the encoding's order. The result has its dtype in native byte order and is read-only,
    because it is a view of `data` unless bytes had to be swapped or rows are not aligned to the dtype. Padded
    rows stay a strided view.

    The encoding is the message's own, under its ROS name, with these exceptions: 64FC1 becomes 32FC1; the planes of
    nv12 and nv21 are interleaved to yuyv, those of nv24 to `YUV444`; and so are 4:2:2 and 4:2:0 images of odd width,
    whose last pixel shares its colour with the padding.

    Pixels of 32FC1 may be NaN or infinite: cameras mark with them what they have no reading of, or what is out of
    their range.

    Raises:
        MalformedImage: `encoding` (unknown), `size` (zero), `too_large` (more than `max_pixels`), `step` (shorter than
            a row), `data_length` (not height x step), or `not_finite` (no finite pixel at all).
    """
    name = known_encoding(encoding)
    layout = _layout_of(encoding)
    planes = _PLANES.get(name)
    chroma_rows = planes.chroma_rows(height) if planes else 0
    _check_geometry(layout, height, width, step, memoryview(data).nbytes, chroma_rows)
    check_pixels(ImageSize(width, height), max_pixels)
    raw = np.frombuffer(data, np.uint8)
    if planes:
        return _joined_planes(planes, raw, height, width, step)
    if width % layout.group:
        pixels = _split_pairs(_pixels(layout, raw, height, width + 1, step), name)[:, :width]
        return _read_only(pixels), YUV444
    pixels = _pixels(layout, raw, height, width, step, is_bigendian)
    if layout.dtype.kind == "f":
        with np.errstate(over="ignore"):
            pixels = pixels.astype(np.float32, copy=False)
        check_finite(pixels)
    return _read_only(pixels), layout.decoded or name


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
    if layout.decoded or (pixels.dtype, channels) != (layout.dtype, layout.channels) or pixels.ndim not in (2, 3):
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


def decode_file(content: bytes, flags: int, max_pixels: int = MAX_PIXELS) -> np.ndarray | None:
    """Return the pixels of an image file as OpenCV reads it with `flags`, such as cv2.IMREAD_UNCHANGED.

    None where it is cut off, broken, or neither JPEG, PNG, TIFF nor BMP.

    Raises:
        MalformedImage: `too_large` (more than `max_pixels`, by its header: it is not decoded).
    """
    size = stated_size(content)
    if size is None or is_broken_png(content):
        return None
    check_pixels(size, max_pixels)
    if content.startswith(JPEG_START) and not is_whole_jpeg(content):
        return None
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
    layout = ENCODINGS.get(known_encoding(encoding) or encoding)
    if layout is None:
        raise MalformedImage(
            "encoding",
            f"image encoding '{encoding}' is not supported; set the camera to one of {', '.join(ENCODINGS)}.",
        )
    return layout


def _check_geometry(layout: PixelFormat, height: int, width: int, step: int, length: int, chroma_rows: int) -> None:
    if height <= 0 or width <= 0:
        raise MalformedImage("size", f"image of width {width} and height {height} has no pixels; check its publisher.")
    if step < layout.row_bytes(width):
        raise MalformedImage(
            "step",
            f"image step of {step} bytes is shorter than a row of {width} pixels, "
            f"{layout.row_bytes(width)} bytes; check its publisher.",
        )
    rows = height + chroma_rows
    if length != rows * step:
        colour = f" and {chroma_rows} rows of colour" if chroma_rows else ""
        raise MalformedImage(
            "data_length",
            f"image data holds {length} bytes where height {height}{colour} x step {step} makes {rows * step}; "
            "check its publisher.",
        )


def _pixels(
    layout: PixelFormat, raw: np.ndarray, height: int, width: int, step: int, is_bigendian: bool = False
) -> np.ndarray:
    """The pixels in native byte order: a view of `raw` where it has that, and is aligned."""
    stored = layout.dtype.newbyteorder(">" if is_bigendian else "<")
    shape, strides = (height, width), (step, layout.bytes_per_pixel)
    if layout.channels > 1:
        shape, strides = (*shape, layout.channels), (*strides, stored.itemsize)
    pixels = np.ndarray(shape, stored, buffer=raw, strides=strides)
    if not stored.isnative:
        return pixels.astype(layout.dtype)
    return pixels if pixels.flags.aligned else pixels.copy()


def _read_only(pixels: np.ndarray) -> np.ndarray:
    pixels.flags.writeable = False
    return pixels


@dataclass(frozen=True)
class _Planes:
    """A plane of luma with one of colour pairs below it, each pair for `shared` x `shared` pixels."""

    shared: int
    red_first: bool

    def chroma_rows(self, height: int) -> int:
        """Rows of `step` bytes that the colour takes."""
        return -(-height // 2) if self.shared == 2 else 2 * height


_PLANES: Final[dict[str | None, _Planes]] = {
    "nv12": _Planes(2, red_first=False),
    "nv21": _Planes(2, red_first=True),
    "nv24": _Planes(1, red_first=False),
}


def _joined_planes(planes: _Planes, raw: np.ndarray, height: int, width: int, step: int) -> tuple[np.ndarray, str]:
    """Luma and colour pixel by pixel: yuyv, or `YUV444`; nothing is interpolated."""
    luma = raw[: height * step].reshape(height, step)
    if planes.shared == 1:  # two bytes a pixel: each row of colour takes two steps
        pairs = raw[height * step :].reshape(height, 2 * step)[:, : 2 * width].reshape(height, width, 2)
        return _read_only(np.dstack([luma[:, :width], pairs])), YUV444
    even = width + width % 2
    colour = np.repeat(raw[height * step :].reshape(-1, step)[:, :even], 2, axis=0)[:height]
    yuyv = np.empty((height, even, 2), np.uint8)
    yuyv[..., 0] = luma[:, :even]
    yuyv[..., 1] = colour.reshape(height, -1, 2)[..., ::-1].reshape(height, even) if planes.red_first else colour
    if even != width:
        return _read_only(_split_pairs(yuyv, "yuyv")[:, :width]), YUV444
    return _read_only(yuyv), "yuyv"


def _split_pairs(pixels: np.ndarray, encoding: str) -> np.ndarray:
    """`YUV444` pixels of 4:2:2 ones of even width; both of a pair have its colour."""
    luma, colour = (1, 0) if encoding in ("uyvy", "yuv422") else (0, 1)
    blue, red = (np.repeat(pixels[:, first::2, colour], 2, axis=1) for first in (0, 1))
    return np.dstack([pixels[..., luma], blue, red])


def check_finite(pixels: np.ndarray) -> None:
    """Refuse float pixels of any shape that are all NaN or infinite.

    Raises:
        MalformedImage: `not_finite`.
    """
    if not np.isfinite(pixels).any():
        raise MalformedImage("not_finite", "32FC1 image has no finite pixel; check the camera's output.")


def is_broken_png(content: bytes) -> bool:
    """Whether a PNG file is cut off or changed: by the chunks' lengths and checksums (specification, section 5.3).

    OpenCV allocates what a chunk's length field says before it reads, half a gigabyte for a few wrong bytes, and tells
    of a wrong checksum on the console only. False for files of other formats.
    """
    if not content.startswith(PNG_START):
        return False
    view, position = memoryview(content), len(PNG_START)
    while position + 12 <= len(content):
        end = position + 8 + int.from_bytes(view[position : position + 4], "big")
        kind = bytes(view[position + 4 : position + 8])
        if (position == len(PNG_START)) != (kind == b"IHDR") or end + 4 > len(content):
            return True
        if zlib.crc32(view[position + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            return True
        if kind == b"IEND":
            return False
        position = end + 4
    return True
