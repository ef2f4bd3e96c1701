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

"""Still images are read whole; one that cannot be is named in a sentence."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from refinefuse_ros.image.files import PairedFiles, SourceError, match_sources, read_labels, read_rgb, read_thermal


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def png_that_claims(width: int, height: int) -> bytes:
    """A whole PNG file whose header says that it has that many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "pixels", "encoding"),
    [
        ("a.png", noise(4, 6), "mono8"),
        ("b.png", noise(4, 6).astype(np.uint16) * 200, "mono16"),
        ("c.tiff", noise(4, 6).astype(np.uint16) * 200, "mono16"),
        ("d.tiff", noise(4, 6).astype(np.float32) / 7, "32FC1"),
    ],
)
def test_a_thermal_image_keeps_its_depth(tmp_path: Path, name: str, pixels: np.ndarray, encoding: str):
    cv2.imwrite(str(tmp_path / name), pixels)
    read, found = read_thermal(tmp_path / name)
    assert found == encoding
    np.testing.assert_array_equal(read, pixels)


@pytest.mark.parametrize("pixels", [noise(4, 6), noise(4, 6, 4), noise(4, 6, 3).astype(np.uint16) * 257])
def test_grey_transparent_and_deep_colour_images_become_8_bit_bgr(tmp_path: Path, pixels: np.ndarray):
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    read = read_rgb(tmp_path / "a.png")
    assert (read.shape, read.dtype) == ((4, 6, 3), np.uint8)


def test_a_float_image_without_readings_in_places_is_read_as_it_is(tmp_path: Path):
    pixels = np.linspace(290, 310, 24, dtype=np.float32).reshape(4, 6)
    pixels[1, 2], pixels[3, 3], pixels[0, 0] = np.nan, np.inf, -np.inf
    cv2.imwrite(str(tmp_path / "a.tiff"), pixels)
    np.testing.assert_array_equal(read_thermal(tmp_path / "a.tiff")[0], pixels)


def test_a_float_image_without_any_reading_is_named(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "a.tiff"), np.full((4, 6), np.nan, np.float32))
    with pytest.raises(SourceError, match=r"a\.tiff has no finite pixel"):
        read_thermal(tmp_path / "a.tiff")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_an_image_that_is_cut_off_is_named(tmp_path: Path, suffix: str):
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), noise(64, 64, 3))
    path.write_bytes(path.read_bytes()[:-500])
    for read in (read_rgb, read_thermal):
        with pytest.raises(SourceError, match=rf"a\{suffix} is not a readable image"):
            read(path)


@pytest.mark.parametrize(
    ("dtype", "encoding"),
    [("uint8", "mono8"), ("uint16", "mono16"), ("int16", "16SC1"), ("float32", "32FC1"), ("float64", "32FC1")],
)
def test_tiff_of_every_depth_keeps_its_values(tmp_path: Path, dtype: str, encoding: str):
    pixels = (np.arange(48 * 64).reshape(48, 64) % 251 - (100 if dtype == "int16" else 0)).astype(dtype)
    cv2.imwrite(str(tmp_path / "a.tiff"), pixels)
    read, named = read_thermal(tmp_path / "a.tiff")
    assert named == encoding
    np.testing.assert_array_equal(read, pixels)


def test_a_damaged_jpeg_is_named(tmp_path: Path):
    content = cv2.imencode(".jpg", np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8))[1].tobytes()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2] + bytes(len(content) // 2 - 2) + b"\xff\xd9")
    for read in (read_rgb, read_thermal):
        with pytest.raises(SourceError, match=r"a\.jpg is not a readable image"):
            read(tmp_path / "a.jpg")


def test_an_image_that_is_too_large_is_named_before_it_is_decoded(tmp_path: Path):
    path = tmp_path / "a.png"
    for content in (png_that_claims(50_000, 50_000), png_that_claims(4001, 4000)):
        path.write_bytes(content)  # nothing in it could be decoded
        for read in (read_rgb, read_thermal, read_labels):
            with pytest.raises(SourceError, match=r"a\.png: image of \d+x\d+ has more than 16000000 pixels"):
                read(path)


def test_an_image_as_large_as_is_allowed_is_read(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4000, 4000), np.uint8))
    assert read_thermal(tmp_path / "a.png")[0].shape == (4000, 4000)


@pytest.mark.parametrize("content", [b"", b"not an image", png_that_claims(64, 48)])
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for read in (read_rgb, read_thermal):
        with pytest.raises(SourceError, match=r"a\.png is not a readable image"):
            read(path)
    with pytest.raises(SourceError, match="not a readable image"):
        read_rgb(tmp_path)


def test_images_and_videos_of_two_folders_are_matched_apart(tmp_path: Path):
    for name in ("thermal/a.mp4", "rgb/a.AVI", "thermal/a.png", "rgb/a.jpg", "thermal/b.png", "rgb/b.mp4", "rgb/c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    thermal, rgb = tmp_path / "thermal", tmp_path / "rgb"
    found = match_sources(thermal, rgb)
    assert found.stills == [PairedFiles("a", thermal / "a.png", rgb / "a.jpg")]
    assert found.clips == [PairedFiles("a", thermal / "a.mp4", rgb / "a.AVI")]
    assert match_sources(thermal / "a.mp4", rgb / "b.mp4").clips == [PairedFiles("b", thermal / "a.mp4", rgb / "b.mp4")]
    assert match_sources(thermal / "a.png", rgb / "a.jpg").clips == []


def test_folders_without_a_common_name_are_named_with_what_they_hold(tmp_path: Path):
    for name in ("thermal/a.mp4", "rgb/b.mp4", "rgb/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(SourceError, match=r"thermal \(1 files\) and .*rgb \(2 files\); .*\.mp4.*\.png"):
        match_sources(tmp_path / "thermal", tmp_path / "rgb")
