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

"""`refinefuse calibrate`: how two cameras lie to each other, in space or in time, out of what they recorded."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Final

from refinefuse_ros.commands.options import (
    VIEWS,
    UsageError,
    add_bag_topics,
    add_cameras,
    add_json,
    add_views,
    given_views,
    positive,
    print_json,
    refuse,
    require_both,
)

DISTANCE_M: Final = 10.0
SUMMARY = "find how the two cameras lie to each other, or their clocks (--time), out of what both see"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_cameras(parser)
    parser.add_argument("--bag", type=Path, help="a recording, instead of files")
    add_bag_topics(parser)
    parser.add_argument(
        "--output", type=Path, help="alignment file to write; a picture of before and after is put beside it"
    )
    parser.add_argument("--check", type=Path, metavar="FILE", help="measure this alignment file instead of making one")
    parser.add_argument(
        "--points",
        type=Path,
        metavar="FILE",
        help="use points clicked in both pictures, a line each: thermal x, thermal y, RGB x, RGB y",
    )
    parser.add_argument(
        "--time", action="store_true", help="find the constant offset between the cameras' clocks, out of what moves"
    )
    board = parser.add_argument_group("with a board that both cameras see")
    board.add_argument(
        "--target",
        metavar="{chessboard,circles,acircles}",
        help="find both cameras' lenses and mounting with a board: a chessboard, circles in a grid, or circles whose"
        " rows are shifted by half (acircles)",
    )
    board.add_argument(
        "--board", metavar="COLUMNSxROWS", help="its points: a chessboard's inner corners, or the circles' centres"
    )
    board.add_argument(
        "--spacing-m",
        type=positive,
        metavar="M",
        help="from one point to the next in metres: a square's side; for acircles half the distance within a row",
    )
    board.add_argument(
        "--distance-m",
        type=positive,
        metavar="M",
        default=DISTANCE_M,
        help="at which the file brings the two images together (default: %(default)g); distance_m in it can be changed",
    )
    add_views(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    if options.bag:
        refuse(options, "a recording", "thermal", "rgb")
    else:
        require_both(options, "--bag")
        refuse(options, "files", "thermal_topic", "rgb_topic", *VIEWS)
    if not options.target:
        refuse(options, "a calibration without --target", "board", "spacing_m", "distance_m")
    if options.time:
        refuse(options, "--time", "output", "points", "check", "target")
        _find_offset(options)
        return
    if options.check:
        refuse(options, "--check", "output", "points", "target")
    elif not options.output:
        raise UsageError("Where the alignment is to be written must be said: give --output alignment.yaml.")
    if options.target:
        refuse(options, "--target", "points")
        _find_rig(options)
        return
    from refinefuse_ros.alignment.file import read_alignment
    from refinefuse_ros.commands import calibrating

    known = read_alignment(options.check) if options.check else None
    if options.bag:
        moments = calibrating.gather_bag(options.bag, options.thermal_topic, options.rgb_topic, given_views(options))
    else:
        moments = calibrating.gather_files(options.thermal, options.rgb)
    if known:
        error_px = calibrating.check(known, moments)
        if options.json:
            print_json({"alignment_error_px": error_px, "pairs": len(moments.rgb)})
        else:
            print(f"{options.check} is off by {error_px:.1f} px on {len(moments.rgb)} pair(s).")
        return
    result = calibrating.calibrate(moments, options.output, options.points, options.command)
    if options.json:
        print_json(asdict(result))
    else:
        print(
            f"{result.output}: a {result.model} with a residual of {result.residual_px:.2f} px;"
            f" look at {result.picture}"
        )


def _find_rig(options: argparse.Namespace) -> None:
    from refinefuse_ros.alignment.board import Board
    from refinefuse_ros.commands import calibrating_target

    columns, rows = _counts(options.board)
    if options.spacing_m is None:
        raise UsageError("How far the board's points are apart must be said: give --spacing-m, in metres.")
    order = calibrating_target.Order(
        Board(options.target, columns, rows, options.spacing_m),
        options.output,
        options.distance_m,
        options.command,
        options.json,
    )
    if options.bag:
        result = calibrating_target.calibrate_bag(
            options.bag, options.thermal_topic, options.rgb_topic, given_views(options), order
        )
    else:
        result = calibrating_target.calibrate_files(options.thermal, options.rgb, order)
    if options.json:
        print_json(asdict(result))
        return
    for name, (across, down), residual_px in (
        ("thermal", result.thermal_focal_px, result.thermal_residual_px),
        ("RGB", result.rgb_focal_px, result.rgb_residual_px),
    ):
        print(f"{name}: focal lengths {across:.1f} and {down:.1f} px, residual {residual_px:.2f} px")
    print(
        f"{result.output}: the cameras stand {100 * result.baseline_m:.1f} cm apart and are turned by"
        f" {result.turn_deg:.1f} degrees; {result.pairs} views of the board meet to {result.residual_px:.2f} px. The"
        f" images are brought together at {result.distance_m:g} m; look at {result.picture}"
    )


def _counts(text: str | None) -> tuple[int, int]:
    columns, _, rows = (text or "").partition("x")
    if not (columns.isdigit() and rows.isdigit()):
        given = f"--board is '{text}'" if text else "How many points the board has must be said"
        raise UsageError(f"{given}: give --board as columns x rows, such as 8x6.")
    return int(columns), int(rows)


def _find_offset(options: argparse.Namespace) -> None:
    from refinefuse_ros.commands import calibrating_time

    if options.bag:
        found = calibrating_time.offset_of_bag(
            options.bag, options.thermal_topic, options.rgb_topic, given_views(options), options.json
        )
    else:
        found = calibrating_time.offset_of_videos(options.thermal, options.rgb, options.json)
    if options.json:
        print_json(asdict(found))
        return
    side = "behind" if found.offset_ms > 0 else "ahead of"
    print(f"sync.thermal_offset_ms: {found.offset_ms:.0f}")
    print(
        f"Thermal's stamps are {abs(found.offset_ms):.1f} ms {side} RGB's, to within {2 * found.uncertainty_ms:.1f} ms"
        f" (two standard deviations, of {found.seconds:.0f} s); offline it is --thermal-offset-ms"
        f" {found.offset_ms:.0f}."
    )
