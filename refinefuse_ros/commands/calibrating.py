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

"""What `refinefuse calibrate` does: gathers pairs, finds or fits the alignment, and writes it with a picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np

from refinefuse_ros.alignment.camera import AlignmentError, rows_of
from refinefuse_ros.alignment.file import Alignment, Homography, write_alignment
from refinefuse_ros.alignment.finding import MOST_PAIRS, find_homography, measure_error
from refinefuse_ros.alignment.placing import PlacedThermal, Placer
from refinefuse_ros.alignment.points import fit_points, read_points
from refinefuse_ros.alignment.structure import grey_of
from refinefuse_ros.clips import open_pairs
from refinefuse_ros.evaluation.comparing import spread
from refinefuse_ros.evaluation.pairing import Pairing
from refinefuse_ros.image.colour import split_luma, to_grey
from refinefuse_ros.image.files import write_image
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.sensor_view import SensorView
from refinefuse_ros.image.sources import StillPairs
from refinefuse_ros.recordings.reading import BagReader, open_bag
from refinefuse_ros.stream.outcome import Stream
from refinefuse_ros.stream.pairing import SyncSettings
from refinefuse_ros.stream.timing import NS_PER_S
from refinefuse_ros.writing import prepare_to_write

_PANEL_PX: Final = 640


@dataclass(frozen=True)
class Moments:
    """Pairs of one size each: (H, W) planes, thermal in its own depth and RGB's luma, uint8."""

    thermal: list[np.ndarray]
    rgb: list[np.ndarray]

    @property
    def thermal_size(self) -> ImageSize:
        return ImageSize.of(self.thermal[0])

    @property
    def rgb_size(self) -> ImageSize:
        return ImageSize.of(self.rgb[0])


@dataclass(frozen=True)
class Calibration:
    """What was written: the file, its picture, the model of the map and its residual, RGB pixels."""

    output: str
    picture: str
    model: str
    residual_px: float
    pairs: int


class Moment(NamedTuple):
    """A pair: when (s since some beginning, None of a still); thermal in its own depth, and RGB's luma, uint8."""

    seconds: float | None
    thermal: np.ndarray
    rgb: np.ndarray


def pairs_of_files(thermal: Path, rgb: Path) -> Iterator[Moment]:
    """The pairs of files.

    Raises:
        SourceError: they cannot be paired or read.
    """
    pairs = open_pairs(thermal, rgb)
    seconds = 0.0
    for pair in pairs:
        when = None if isinstance(pairs, StillPairs) else seconds
        yield Moment(when, pair.thermal, split_luma(pair.rgb, "bgr8")[0])
        seconds += pair.period_s


def pairs_of_bag(reader: BagReader) -> Iterator[Moment]:
    """The pairs of a recording.

    Raises:
        BagError: it cannot be read.
    """
    for pair in Pairing(reader, SyncSettings()).pairs({}, quiet=True):
        thermal, rgb = pair.thermal.payload, pair.rgb.payload
        yield Moment(
            rgb.stamp_ns / NS_PER_S,
            to_grey(thermal.pixels, thermal.encoding),
            split_luma(rgb.pixels, rgb.encoding)[0],
        )


def gather_files(thermal: Path, rgb: Path) -> Moments:
    """Some pairs, evenly spread over files.

    Raises:
        SourceError: they cannot be paired or read.
        AlignmentError: there is no pair, or pairs are of several sizes.
    """
    return _spread(pairs_of_files(thermal, rgb), rgb)


def gather_bag(
    bag: Path, thermal_topic: str | None, rgb_topic: str | None, views: Mapping[Stream, SensorView]
) -> Moments:
    """Some pairs, evenly spread over a recording, whose images are taken as `views` say.

    Raises:
        BagError: it cannot be read.
        AlignmentError: as `gather_files`.
    """
    reader = open_bag(bag, thermal_topic, rgb_topic, views=views)
    return _spread(pairs_of_bag(reader), bag, reader)


def calibrate(moments: Moments, output: Path, points: Path | None, command: str) -> Calibration:
    """Find the alignment, or fit it to clicked points, and write it with its picture.

    Raises:
        NotFoundError: the pictures do not tell it.
        AlignmentError: the points cannot be used.
        UserError: a file cannot be written.
    """
    picture = prepare_outputs(output)
    if points:
        matrix, model, residual_px = fit_points(*read_points(points))
        pairs = None
    else:
        found = find_homography(moments.thermal, moments.rgb)
        matrix, model, residual_px, pairs = found.matrix, found.model, found.residual_px, found.pairs
    try:
        alignment = Homography(
            rows_of(matrix),
            moments.thermal_size,
            moments.rgb_size,
            round(residual_px, 3),
            pairs,
            command,
            now(),
        )
    except ValueError as error:
        raise AlignmentError(f"What was found is no camera's: {error}") from error
    write_alignment(output, alignment)
    write_image(picture, before_and_after(moments, alignment))
    return Calibration(str(output), str(picture), model, residual_px, len(moments.rgb))


def prepare_outputs(output: Path) -> Path:
    """Make room for an alignment file and its picture, whose path is returned.

    Raises:
        UserError: one cannot be written.
    """
    picture = output.with_suffix(".png")
    for path in (output, picture):
        prepare_to_write(path)
    return picture


def now() -> str:
    """The time, ISO 8601 in UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def check(alignment: Alignment, moments: Moments) -> float:
    """How far the alignment is off on these pairs, RGB pixels.

    Raises:
        AlignmentError: it is not for images of these sizes.
        NotFoundError: the pictures do not tell.
    """
    return measure_error(_placed(moments, alignment), moments.rgb)


def before_and_after(moments: Moments, alignment: Alignment) -> np.ndarray:
    """Thermal in red over RGB in cyan, stretched and aligned, of the middle pair; (H, W, 3) uint8 BGR."""
    middle = len(moments.rgb) // 2
    one = Moments([moments.thermal[middle]], [moments.rgb[middle]])
    panels = []
    for title, way in (("before", None), ("after", alignment)):
        luma, placed = one.rgb[0], _placed(one, way)[0]
        plane = placed.fade(placed.plane, np.zeros_like(luma))
        scale = _PANEL_PX / luma.shape[1]
        panel = cv2.resize(cv2.merge([luma, luma, plane]), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        cv2.putText(panel, title, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255,) * 3, 2, cv2.LINE_AA)
        panels.append(panel)
    return np.hstack(panels)


def _placed(moments: Moments, alignment: Alignment | None) -> list[PlacedThermal]:
    placer = Placer(alignment)
    return [placer.place(grey_of(plane).astype(np.uint8), moments.rgb_size) for plane in moments.thermal]


def _spread(pairs: Iterable[Moment], source: Path, reader: BagReader | None = None) -> Moments:
    kept = spread(pairs, MOST_PAIRS)
    if not kept:
        losses = reader.losses() if reader else []
        raise AlignmentError(
            losses[0] if losses else f"{source} holds no pair of the two cameras; check that both were recorded."
        )
    moments = Moments([pair.thermal for pair in kept], [pair.rgb for pair in kept])
    for planes in (moments.thermal, moments.rgb):
        if len({ImageSize.of(plane) for plane in planes}) > 1:
            raise AlignmentError("The pictures of one camera are of several sizes; give a recording of one setting.")
    return moments
