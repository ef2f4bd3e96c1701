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

"""The size of an image file by its header, before anything of it is decoded: JPEG, PNG, TIFF and BMP.

A decoder allocates what the header says: a PNG of 124 kB may unfold to 308 MB. Where a decoder overlooks something
(garbage between the segments of a JPEG, fill bytes), it is overlooked here too, so that both see the same size.
"""

from __future__ import annotations

import struct
from typing import Final

from refinefuse_ros.image.frame import ImageSize

JPEG_START: Final = b"\xff\xd8\xff"
PNG_START: Final = b"\x89PNG\r\n\x1a\n"
_TIFF_STARTS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BMP_START: Final = b"BM"

# JPEG markers (ITU-T T.81, table B.1): SOF0 to SOF15 carry the size, but for three that share their range.
_SOF: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SOS, _EOI = 0xDA, 0xD9
_WITHOUT_LENGTH: Final = frozenset((0x01, *range(0xD0, 0xD9)))
# TIFF 6.0, section 8: tags, and the struct codes of the types that they may have (16 is BigTIFF's LONG8).
_WIDTH_TAG, _HEIGHT_TAG = 256, 257
_TIFF_TYPES: Final = {3: "H", 4: "L", 16: "Q"}


def stated_size(content: bytes) -> ImageSize | None:
    """The width and height that a file's header states, at least 1 each; None where it is of another format or broken.

    Of a file with several images it is the first one's, which is the one that OpenCV decodes.
    """
    try:
        if content.startswith(JPEG_START):
            width, height = _jpeg_size(content)
        elif content.startswith(PNG_START):
            width, height = struct.unpack_from(">II", content, 16)
        elif content.startswith(_TIFF_STARTS):
            width, height = _tiff_size(content)
        elif content.startswith(_BMP_START):
            width, height = _bmp_size(content)
        else:
            return None
    except (struct.error, IndexError, KeyError):
        return None
    return ImageSize(width, height) if width > 0 and height > 0 else None


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """Raises IndexError, or struct.error, where no frame header comes before the picture data."""
    position = 2
    while True:
        position = content.find(b"\xff", position)
        if position < 0:
            raise IndexError
        while content[position] == 0xFF:
            position += 1
        marker = content[position]
        position += 1
        if marker == 0 or marker in _WITHOUT_LENGTH:
            continue
        if marker in (_SOS, _EOI):
            raise IndexError
        if marker in _SOF:
            height, width = struct.unpack_from(">HH", content, position + 3)
            return width, height
        position += struct.unpack_from(">H", content, position)[0]


def _tiff_size(content: bytes) -> tuple[int, int]:
    """Raises KeyError, or struct.error, where the first directory does not state a size."""
    order = "<" if content.startswith(b"II") else ">"
    big = content[2:4].strip(b"\0") == b"+"
    offset, count, entry = ("Q", "Q", "HHQ") if big else ("L", "H", "HHL")
    (position,) = struct.unpack_from(order + offset, content, 8 if big else 4)
    (entries,) = struct.unpack_from(order + count, content, position)
    position += struct.calcsize(order + count)
    head = struct.calcsize(order + entry)
    found: dict[int, int] = {}
    for _ in range(entries):
        tag, kind, _ = struct.unpack_from(order + entry, content, position)
        if tag in (_WIDTH_TAG, _HEIGHT_TAG) and tag not in found:
            (found[tag],) = struct.unpack_from(order + _TIFF_TYPES[kind], content, position + head)
        if len(found) == 2:
            break
        position += head + struct.calcsize(order + offset)
    return found[_WIDTH_TAG], found[_HEIGHT_TAG]


def _bmp_size(content: bytes) -> tuple[int, int]:
    """A height below zero says that the rows go from the top down."""
    (header,) = struct.unpack_from("<L", content, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ll", content, 18)
    return width, abs(height)
