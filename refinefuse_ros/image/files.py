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

"""Still images on disk: finding the pairs of two folders, reading and writing them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np

from refinefuse_ros.errors import UserError
from refinefuse_ros.image.codec import MalformedImage, check_finite, decode_file
from refinefuse_ros.writing import write_whole

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v"})


class SourceError(UserError):
    """A file or folder cannot be used; the message is one sentence that names it and says what to do."""


@dataclass(frozen=True)
class PairedFiles:
    """A thermal and an RGB file of the same moment (or, for videos, the same clip)."""

    name: str
    thermal: Path
    rgb: Path


@dataclass(frozen=True)
class MatchedSources:
    """What two files, or two folders, hold for each other, in name order: still images, and videos."""

    stills: list[PairedFiles]
    clips: list[PairedFiles]


def match_files(thermal: Path, rgb: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> list[PairedFiles]:
    """Pair two files, or two folders' files by their name without suffix, in name order.

    Raises:
        SourceError: a path does not exist, one is a file and the other a folder, or no name is in both folders.
    """
    if _are_folders(thermal, rgb):
        return _matched(thermal, rgb, suffixes) or _raise_unmatched(thermal, rgb, suffixes)
    return [PairedFiles(rgb.stem, thermal, rgb)]


def match_sources(thermal: Path, rgb: Path) -> MatchedSources:
    """As `match_files`, for images and videos: two of either kind, or folders of both."""
    if _are_folders(thermal, rgb):
        found = MatchedSources(_matched(thermal, rgb, IMAGE_SUFFIXES), _matched(thermal, rgb, VIDEO_SUFFIXES))
        if not (found.stills or found.clips):
            _raise_unmatched(thermal, rgb, IMAGE_SUFFIXES | VIDEO_SUFFIXES)
        return found
    pair = [PairedFiles(rgb.stem, thermal, rgb)]
    return MatchedSources([], pair) if is_video(thermal) and is_video(rgb) else MatchedSources(pair, [])


def files_of(folder: Path, suffixes: frozenset[str]) -> dict[str, Path]:
    """The folder's files with one of these suffixes, in name order, by their name without it."""
    return {file.stem: file for file in sorted(folder.iterdir()) if file.suffix.lower() in suffixes}


def is_video(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES


def read_thermal(path: Path) -> tuple[np.ndarray, str]:
    """Read a thermal image; returns ((H, W) pixels, encoding): uint8 "mono8", uint16 "mono16", int16 "16SC1" or float32
    "32FC1", to which doubles are reduced.

    Float pixels may be NaN or infinite, as in `codec.decode`.

    Raises:
        SourceError: the file is not a readable image, or no pixel is finite.
    """
    pixels = _read(path, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_GRAYSCALE)
    if pixels.dtype == np.float64:
        with np.errstate(over="ignore"):
            pixels = pixels.astype(np.float32)
    encodings = {"uint8": "mono8", "uint16": "mono16", "int16": "16SC1", "float32": "32FC1"}
    if pixels.dtype.name not in encodings:
        raise SourceError(f"{path} has {pixels.dtype} pixels; give thermal images of 8 or 16 bit or floats.")
    if pixels.dtype == np.float32:
        try:
            check_finite(pixels)
        except MalformedImage as error:
            raise SourceError(f"{path} has no finite pixel; replace it or leave it out.") from error
    return pixels, encodings[pixels.dtype.name]


def read_rgb(path: Path) -> np.ndarray:
    """Read a colour image as (H, W, 3) uint8, BGR.

    Raises:
        SourceError: the file is not a readable image.
    """
    return _read(path, cv2.IMREAD_COLOR)


def read_labels(path: Path) -> np.ndarray:
    """Read a label map as (H, W) uint8 or uint16: each pixel's class.

    Raises:
        SourceError: the file is not a readable image, or one of colours, of which a palette's are some.
    """
    labels = _read(path, cv2.IMREAD_UNCHANGED)
    if labels.ndim != 2:
        raise SourceError(f"{path} is coloured; give label maps as grey images whose values are the classes.")
    return labels


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write (H, W[, 3]) uint8 pixels (BGR) in the format of `path`'s suffix, whole or not at all.

    Raises:
        SourceError: the format is unknown.
        OSError: the file cannot be written.
    """
    try:
        encoded, data = cv2.imencode(path.suffix, pixels)
    except cv2.error:
        encoded = False
    if not encoded:
        raise SourceError(
            f"{path} has a suffix that images cannot be written as; use one of {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    write_whole(path, data.tobytes())


def _are_folders(thermal: Path, rgb: Path) -> bool:
    """Raises SourceError where they are neither two files nor two folders."""
    for path in (thermal, rgb):
        if not path.exists():
            raise SourceError(f"{path} does not exist; check the path.")
    if thermal.is_dir() != rgb.is_dir():
        raise SourceError(f"{thermal} and {rgb} are a file and a folder; give two files or two folders.")
    return thermal.is_dir()


def _matched(thermal: Path, rgb: Path, suffixes: frozenset[str]) -> list[PairedFiles]:
    thermal_files, rgb_files = files_of(thermal, suffixes), files_of(rgb, suffixes)
    return [PairedFiles(name, thermal_files[name], rgb_files[name]) for name in thermal_files if name in rgb_files]


def _raise_unmatched(thermal: Path, rgb: Path, suffixes: frozenset[str]) -> NoReturn:
    counts = [len(files_of(folder, suffixes)) for folder in (thermal, rgb)]
    raise SourceError(
        f"No file name is in both {thermal} ({counts[0]} files) and {rgb} ({counts[1]} files); give the two files of a"
        f" moment, or a clip, the same name ({', '.join(sorted(suffixes))})."
    )


def _read(path: Path, flags: int) -> np.ndarray:
    try:
        pixels = decode_file(path.read_bytes() if path.is_file() else b"", flags)
    except MalformedImage as error:  # too large
        raise SourceError(f"{path}: {error}") from error
    if pixels is None:
        raise SourceError(f"{path} is not a readable image (PNG, JPEG, TIFF or BMP); replace it or leave it out.")
    return pixels
