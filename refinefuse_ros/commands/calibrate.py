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

from refinefuse_ros.commands.options import (
    VIEWS,
    UsageError,
    add_bag_topics,
    add_cameras,
    add_json,
    add_views,
    given_views,
    print_json,
    refuse,
    require_both,
)

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
    add_views(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    if options.bag:
        refuse(options, "a recording", "thermal", "rgb")
    else:
        require_both(options, "--bag")
        refuse(options, "files", "thermal_topic", "rgb_topic", *VIEWS)
    if options.time:
        refuse(options, "--time", "output", "points", "check")
        _find_offset(options)
        return
    if options.check:
        refuse(options, "--check", "output", "points")
    elif not options.output:
        raise UsageError("Where the alignment is to be written must be said: give --output alignment.yaml.")
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
