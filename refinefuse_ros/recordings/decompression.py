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

"""Decompressing what a recording holds, up to a bound: 6 kB of zstd may unfold to 210 MB, and a few more to all memory.

A message or a chunk of messages may take MOST_BYTES: twice the largest image of four bytes a pixel that `max_pixels`
lets pass by default. A storage file that is compressed as a whole goes to the disk, and may take half of what is free
there.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from lz4.frame import LZ4FrameDecompressor
from rosbags.rosbag2 import storage_mcap

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MOST_BYTES: Final = 128 << 20
_BLOCK_BYTES: Final = 1 << 20


class TooLargeError(ValueError):
    """What is compressed would take more than it may; the message says how much that is, as a part of a sentence."""

    def __init__(self, most: int) -> None:
        super().__init__(f"it takes more than {most / 1e6:.0f} MB decompressed")


class DamagedError(ValueError):
    """What is compressed is cut off or broken."""


def unzstd(data: bytes, most: int = MOST_BYTES) -> bytes:
    """The content of one or several zstd frames.

    Raises:
        TooLargeError: it is more than `most` bytes.
        DamagedError: it cannot be decompressed.
    """
    return _decompress(zstd.ZstdDecompressor, zstd.ZstdError, data, most)


def unlz4(data: bytes, most: int = MOST_BYTES) -> bytes:
    """As `unzstd`, for LZ4 frames."""
    return _decompress(LZ4FrameDecompressor, RuntimeError, data, most)


def unzstd_file(packed: Path, plain: Path) -> None:
    """Decompress a file to the disk, as far as it can be.

    Raises:
        TooLargeError: it would take more than half of what is free there; nothing is left of it.
    """
    most = shutil.disk_usage(plain.parent).free // 2
    written = 0
    with packed.open("rb") as source, plain.open("wb") as output:
        try:
            with zstd.open(source, "rb") as content:
                while block := content.read(_BLOCK_BYTES):
                    written += len(block)
                    if written > most:
                        output.truncate(0)
                        raise TooLargeError(most)
                    output.write(block)
        except (zstd.ZstdError, EOFError):
            return  # what is there will be found damaged when it is read


def unpack_chunk(data: bytes, size: int, compression: str) -> bytes:
    """The records of an MCAP chunk, which says that they are `size` bytes.

    Raises:
        TooLargeError: that is more than MOST_BYTES.
        DamagedError: the chunk cannot be decompressed, or holds more than it says.
        ValueError: the compression is unknown.
    """
    if compression not in _OF_CHUNKS:
        raise ValueError(f"unknown compression '{compression}'")
    if not compression:
        return data
    if size > MOST_BYTES:
        raise TooLargeError(MOST_BYTES)
    try:
        return _OF_CHUNKS[compression](data, size)
    except TooLargeError as error:
        raise DamagedError("its contents are not what was written") from error


_OF_CHUNKS: Final[dict[str, Callable[[bytes, int], bytes]]] = {
    "": lambda data, most: data,
    "lz4": unlz4,
    "zstd": unzstd,
}


def bound_chunks_of_rosbags() -> None:
    """Hold the chunks that the `rosbags` library reads to the bound too: it decompresses whatever comes out of them."""
    for compression in _OF_CHUNKS:
        storage_mcap.DECOMPRESSORS[compression] = partial(unpack_chunk, compression=compression)


def _decompress(
    decompressor: type[zstd.ZstdDecompressor] | type[LZ4FrameDecompressor],
    broken: type[Exception],
    data: bytes,
    most: int,
) -> bytes:
    parts: list[bytes] = []
    left = most
    while data:
        frame = decompressor()
        try:
            parts.append(frame.decompress(data, max_length=left + 1))
        except broken as error:
            raise DamagedError(str(error)) from error
        left -= len(parts[-1])
        if left < 0:
            raise TooLargeError(most)
        if not frame.eof:
            raise DamagedError("it is cut off")
        data = frame.unused_data
    return parts[0] if len(parts) == 1 else b"".join(parts)
