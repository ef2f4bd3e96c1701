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

"""Reading JPEG files so that a damaged one is found out.

libjpeg, which OpenCV decodes with, fills what it cannot read with grey and tells of it on the console alone. FFmpeg's
decoder says that it failed, fills in the Huffman tables that many webcams leave out, and is no slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.headers import stated_size

if TYPE_CHECKING:
    import av

_DHT: Final = b"\xff\xc4"
_SOS: Final = b"\xff\xda"
_EOI: Final = b"\xff\xd9"
# What memory that was never filled leaves of a picture; by the usual tables it even decodes, to a pattern of stripes.
_LOST: Final = bytes(64)
# Full-range BT.601 as in JFIF, by how many pixels share a colour in a row and in a column. What is rare (CMYK, RGB,
# four in a row) is left to OpenCV.
_YCBCR: Final = {"yuvj420p": (2, 2), "yuvj422p": (2, 1), "yuvj440p": (1, 2), "yuvj444p": (1, 1)}
_TO_BGR: Final = cv2.COLOR_YCrCb2BGR


def read_jpeg(content: bytes) -> np.ndarray | None:
    """The pixels of a JPEG file: uint8 (H, W, 3) BGR, or (H, W) of a grey one; None where any part of it is broken.

    Bytes after the end mark are not looked at: cameras fill their buffers up. The orientation that an EXIF header
    states is not applied.
    """
    frame = _decoded(content)
    if frame is None:
        return None
    if ImageSize(frame.width, frame.height) == stated_size(content):  # FFmpeg joins the two fields of an old AVI's
        if frame.format.name == "gray":
            return _plane(frame.planes[0]).copy()
        if frame.format.name in _YCBCR:
            luma, blue, red = (_plane(plane) for plane in frame.planes)
            shared = _YCBCR[frame.format.name]
            return cv2.cvtColor(cv2.merge([luma, _spread(red, shared, luma), _spread(blue, shared, luma)]), _TO_BGR)
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None


def _spread(colour: np.ndarray, shared: tuple[int, int], luma: np.ndarray) -> np.ndarray:
    """A plane of colour at the size of `luma`; a sample lies in the middle of the pixels that share it."""
    if shared == (1, 1):
        return colour
    height, width = colour.shape
    spread = cv2.resize(colour, (width * shared[0], height * shared[1]))
    return spread[: luma.shape[0], : luma.shape[1]]


def is_whole_jpeg(content: bytes) -> bool:
    """Whether a JPEG file can be decoded to its last pixel."""
    return _decoded(content) is not None


def _decoded(content: bytes) -> av.VideoFrame | None:
    import av  # here, because a node of raw images needs no FFmpeg

    begin = content.rfind(_SOS)
    end = content.find(_EOI, begin)
    if end < 0:  # FFmpeg does not miss the last few pixels
        return None
    if content.find(_LOST, begin, end) >= 0 and not _zeros_are_pixels(content):
        return None
    # A decoder of its own for each file: one that is kept remembers tables, which the next file may lack.
    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.thread_count = 1
    decoder.options = {"err_detect": "explode"}
    try:
        frames = decoder.decode(av.Packet(content))
    except av.FFmpegError:
        return None
    return frames[0] if frames else None


def _zeros_are_pixels(content: bytes) -> bool:
    """Whether zero bits say that blocks are flat (T.81, annex C): by tables of its own, where that has the first code.

    The standard table of luma is none of these.
    """
    first_codes = []
    position = content.find(_DHT)
    while position >= 0:
        end = position + 2 + int.from_bytes(content[position + 2 : position + 4], "big")
        position += 4
        while position + 17 < end:
            if content[position] >> 4 == 1:  # of coefficients; the others are of blocks' means
                first_codes.append(content[position + 17])
            position += 17 + sum(content[position + 1 : position + 17])
        position = content.find(_DHT, end)
    return bool(first_codes) and not any(first_codes)


def _plane(plane: av.VideoPlane) -> np.ndarray:
    """A view of an 8-bit plane, (H, W) uint8."""
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
