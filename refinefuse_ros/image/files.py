# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Still images on disk: finding the pairs of two folders, reading and writing them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from refinefuse_ros.errors import UserError
from refinefuse_ros.image.codec import MalformedImage, decode_file, replace_non_finite
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


def match_files(thermal: Path, rgb: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> list[PairedFiles]:
    """Pair two files, or two folders' files by their name without suffix, in name order.

    Raises:
        SourceError: a path does not exist, one is a file and the other a folder, or no name is in both folders.
    """
    for path in (thermal, rgb):
        if not path.exists():
            raise SourceError(f"{path} does not exist; check the path.")
    if thermal.is_file() and rgb.is_file():
        return [PairedFiles(rgb.stem, thermal, rgb)]
    if not (thermal.is_dir() and rgb.is_dir()):
        raise SourceError(f"{thermal} and {rgb} are a file and a folder; give two files or two folders.")
    thermal_files, rgb_files = (
        {f.stem: f for f in sorted(d.iterdir()) if f.suffix.lower() in suffixes} for d in (thermal, rgb)
    )
    names = sorted(thermal_files.keys() & rgb_files.keys())
    if not names:
        raise SourceError(
            f"No file name is in both {thermal} ({len(thermal_files)} files) and {rgb} ({len(rgb_files)} files);"
            f" give the two files of a moment the same name ({', '.join(sorted(suffixes))})."
        )
    return [PairedFiles(name, thermal_files[name], rgb_files[name]) for name in names]


def is_video(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES


def read_thermal(path: Path) -> tuple[np.ndarray, str]:
    """Read a thermal image; returns ((H, W) pixels, encoding): uint8 "mono8", uint16 "mono16" or float32 "32FC1".

    Float pixels that are not finite take the smallest finite value, as in `codec.decode`.

    Raises:
        SourceError: the file is not a readable image, or no pixel is finite.
    """
    pixels = _read(path, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_GRAYSCALE)
    encodings = {"uint8": "mono8", "uint16": "mono16", "float32": "32FC1"}
    if pixels.dtype.name not in encodings:
        raise SourceError(f"{path} has {pixels.dtype} pixels; give thermal images of 8 or 16 bit or 32-bit floats.")
    if pixels.dtype == np.float32:
        try:
            pixels = replace_non_finite(pixels)
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


def _read(path: Path, flags: int) -> np.ndarray:
    try:
        pixels = decode_file(path.read_bytes() if path.is_file() else b"", flags)
    except MalformedImage as error:  # too large
        raise SourceError(f"{path}: {error}") from error
    if pixels is None:
        raise SourceError(f"{path} is not a readable image (PNG, JPEG, TIFF or BMP); replace it or leave it out.")
    return pixels
