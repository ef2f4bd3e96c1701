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

"""What `refinefuse calibrate --target` does: finds the board in both cameras' pictures, and writes what it tells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from refinefuse_ros.alignment.board import Board
from refinefuse_ros.alignment.camera import AlignmentError
from refinefuse_ros.alignment.file import write_alignment
from refinefuse_ros.alignment.from_board import Sighting, find_rig
from refinefuse_ros.alignment.structure import grey_of
from refinefuse_ros.commands.calibrating import (
    Moment,
    Moments,
    before_and_after,
    now,
    pairs_of_bag,
    pairs_of_files,
    prepare_outputs,
)
from refinefuse_ros.image.files import write_image
from refinefuse_ros.image.sensor_view import SensorView
from refinefuse_ros.progress import progress
from refinefuse_ros.recordings.reading import open_bag
from refinefuse_ros.stream.outcome import Stream

# A board in a hand is somewhere else after so long; looking more often takes longer and adds little.
_PERIOD_S: Final = 0.5


@dataclass(frozen=True)
class Order:
    """What is wanted.

    Attributes:
        board: to be looked for.
        output: the alignment file.
        distance_m: at which it brings the images together.
        command: the command line, for the file.
        quiet: no progress bar.
    """

    board: Board
    output: Path
    distance_m: float
    command: str
    quiet: bool


@dataclass(frozen=True)
class RigCalibration:
    """What was written: the file, its picture, and what it says in short.

    Attributes:
        output, picture: the two files.
        baseline_m: how far the cameras stand apart.
        turn_deg: by how much one is turned against the other.
        distance_m: at which the file brings the images together.
        thermal_focal_px, rgb_focal_px: along x and y.
        thermal_residual_px, rgb_residual_px: what each camera's own fit leaves, root mean square, its pixels.
        residual_px: by how much the board's points miss one another across the cameras, RGB pixels.
        pairs: of so many views of both.
    """

    output: str
    picture: str
    baseline_m: float
    turn_deg: float
    distance_m: float
    thermal_focal_px: tuple[float, float]
    rgb_focal_px: tuple[float, float]
    thermal_residual_px: float
    rgb_residual_px: float
    residual_px: float
    pairs: int


def calibrate_files(thermal: Path, rgb: Path, order: Order) -> RigCalibration:
    """Calibrate with the board that is seen in files.

    Raises:
        SourceError: they cannot be paired or read.
        NotFoundError: the board tells too little.
        AlignmentError: there is no pair, or pairs are of several sizes.
        UserError: a file cannot be written.
    """
    return _calibrate(pairs_of_files(thermal, rgb), rgb, order)


def calibrate_bag(
    bag: Path, thermal_topic: str | None, rgb_topic: str | None, views: Mapping[Stream, SensorView], order: Order
) -> RigCalibration:
    """The same with a recording, whose images are taken as `views` say.

    Raises:
        BagError: it cannot be read.
        NotFoundError, AlignmentError, UserError: as `calibrate_files`.
    """
    return _calibrate(pairs_of_bag(open_bag(bag, thermal_topic, rgb_topic, views=views)), bag, order)


def _calibrate(moments: Iterable[Moment], source: Path, order: Order) -> RigCalibration:
    picture = prepare_outputs(order.output)
    seen = _look(moments, source, order)
    rig = find_rig(order.board, seen.sightings, seen.moments.thermal_size, seen.moments.rgb_size)
    alignment = rig.at(
        order.distance_m,
        residual_px=round(rig.residual_px, 3),
        pairs=rig.pairs,
        made_by=order.command,
        made_at=now(),
    )
    write_alignment(order.output, alignment)
    # The pictures are to meet at the board, not at the distance for which the file is.
    at_board = rig.at(rig.distance_of(order.board, seen.shown.rgb))
    write_image(picture, before_and_after(seen.moments, at_board))
    return RigCalibration(
        str(order.output),
        str(picture),
        rig.baseline_m,
        rig.turn_deg,
        order.distance_m,
        *((camera.camera_matrix[0][0], camera.camera_matrix[1][1]) for camera in (rig.thermal, rig.rgb)),
        rig.thermal_residual_px,
        rig.rgb_residual_px,
        rig.residual_px,
        rig.pairs,
    )


@dataclass(frozen=True)
class _Seen:
    """Where the board was seen, and one of the sightings with its pictures: if there is one, of both cameras."""

    sightings: list[Sighting]
    shown: Sighting
    moments: Moments


def _look(moments: Iterable[Moment], source: Path, order: Order) -> _Seen:
    sightings: list[Sighting] = []
    shown: tuple[Sighting, Moment] | None = None
    due_s = -math.inf
    for moment in progress(moments, "looking for the board", None, order.quiet):
        if moment.seconds is not None:
            if due_s - _PERIOD_S < moment.seconds < due_s:
                continue
            due_s = moment.seconds + _PERIOD_S
        if shown and any(now.shape != then.shape for now, then in zip(moment[1:], shown[1][1:], strict=True)):
            raise AlignmentError("The pictures of one camera are of several sizes; give a recording of one setting.")
        thermal = grey_of(moment.thermal).astype(np.uint8)
        sighting = Sighting(order.board.find(thermal), order.board.find(moment.rgb))
        sightings.append(sighting)
        if shown is None or (sighting.is_common and not shown[0].is_common):
            shown = sighting, moment
    if shown is None:
        raise AlignmentError(f"{source} holds no pair of the two cameras; check that both were recorded.")
    sighting, moment = shown
    return _Seen(sightings, sighting, Moments([moment.thermal], [moment.rgb]))
