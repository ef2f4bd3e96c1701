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

"""An image file's size is known from its header alone, and is the one that OpenCV then decodes."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinefuse_ros.image.headers import stated_size


def encoded(suffix: str, *shape: int, dtype: type = np.uint8, options: tuple[int, ...] = ()) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 255, shape).astype(dtype)
    return cv2.imencode(suffix, pixels, options)[1].tobytes()


FILES = {
    "jpeg": encoded(".jpg", 30, 70, 3),
    "grey jpeg": encoded(".jpg", 30, 70),
    "progressive jpeg": encoded(".jpg", 30, 70, 3, options=(cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
    "jpeg with restarts": encoded(".jpg", 30, 70, 3, options=(cv2.IMWRITE_JPEG_RST_INTERVAL, 1)),
    "png": encoded(".png", 30, 70, 3),
    "deep png": encoded(".png", 30, 70, dtype=np.uint16),
    "tiff": encoded(".tiff", 30, 70, 3),
    "float tiff": encoded(".tiff", 30, 70, dtype=np.float32),
    "bmp": encoded(".bmp", 30, 70, 3),
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_every_format_states_its_size_early(content: bytes) -> None:
    assert stated_size(content) == (70, 30)
    if not content.startswith(b"II"):  # a TIFF's directory is at its end
        assert stated_size(content[:700]) == (70, 30)


def segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


@pytest.mark.parametrize(
    "inserted",
    [
        segment(0xE1, b"Exif\0\0" + encoded(".jpg", 8, 9, 3)),  # a thumbnail is not the image
        segment(0xFE, b"\xff\xc0\x00\x11\x08\x00\x01\x00\x01"),  # nor is what a comment says
        b"\xff\xff\xff" + segment(0xFE, b"fill bytes before a marker"),
        b"garbage \xff\x00 between segments",
    ],
)
def test_what_lies_before_the_frame_header_is_passed_over_as_the_decoder_does(inserted: bytes) -> None:
    content = FILES["jpeg"][:20] + inserted + FILES["jpeg"][20:]  # after the JFIF segment
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded.shape[:2] == (30, 70)
    assert stated_size(content) == (70, 30)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_tiffs_of_either_byte_order_and_offset_size(order: str, big: bool) -> None:
    start = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    if big:
        head = start + struct.pack(order + "HHQQ", 8, 0, 16, 2)
        entries = struct.pack(order + "HHQH6x", 256, 3, 1, 70) + struct.pack(order + "HHQQ", 257, 16, 1, 30)
    else:
        head = start + struct.pack(order + "LH", 8, 2)
        entries = struct.pack(order + "HHLH2x", 256, 3, 1, 70) + struct.pack(order + "HHLL", 257, 4, 1, 30)
    assert stated_size(head + entries) == (70, 30)


def test_bmps_from_the_top_down_and_of_the_old_kind() -> None:
    assert stated_size(b"BM" + bytes(12) + struct.pack("<Lll", 40, 70, -30)) == (70, 30)
    assert stated_size(b"BM" + bytes(12) + struct.pack("<LHH", 12, 70, 30)) == (70, 30)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xd9",
        FILES["jpeg"][:2] + segment(0xDA, b"\0" * 8),  # picture data without a frame header
        FILES["jpeg"].replace(b"\x00\x11\x08\x00\x1e\x00\x46", b"\x00\x11\x08\x00\x00\x00\x46"),  # no height
        b"RIFF\x24\0\0\0WEBPVP8L" + bytes(28),  # another format
        b"BM" + bytes(24),
        b"II*\0" + struct.pack("<LH", 8, 60000),
    ],
)
def test_what_states_no_size_has_none(content: bytes) -> None:
    assert stated_size(content) is None


@given(start=st.sampled_from([*(content[:8] for content in FILES.values()), b""]), rest=st.binary(max_size=300))
def test_any_bytes_state_a_size_or_none(start: bytes, rest: bytes) -> None:
    size = stated_size(start + rest)
    assert size is None or min(size) >= 1


@given(data=st.data(), name=st.sampled_from(["jpeg", "progressive jpeg", "png", "bmp"]))
def test_opencv_never_decodes_another_size_than_was_stated(data: st.DataObject, name: str) -> None:
    """Whatever bytes of the first 250 are changed: a size that is not seen cannot be held to a bound."""
    content = bytearray(FILES[name])
    for at in data.draw(st.lists(st.integers(2, 250), min_size=1, max_size=4)):
        content[at] = data.draw(st.integers(0, 255))
    stated = stated_size(bytes(content))
    if stated is not None and stated.width * stated.height > 10**6:
        return
    try:
        decoded = cv2.imdecode(np.frombuffer(bytes(content), np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return
    if decoded is not None:
        assert stated == (decoded.shape[1], decoded.shape[0])
