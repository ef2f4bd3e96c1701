# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""`refinefuse calibrate`: how two cameras lie to each other, out of what they recorded."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from refinefuse_ros.commands.options import (
    UsageError,
    add_bag_topics,
    add_cameras,
    add_json,
    print_json,
    refuse,
    require_both,
)

SUMMARY = "find where the thermal picture lies in the RGB picture, out of what both cameras see"


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
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    if options.bag:
        refuse(options, "a recording", "thermal", "rgb")
    else:
        require_both(options, "--bag")
        refuse(options, "files", "thermal_topic", "rgb_topic")
    if options.check:
        refuse(options, "--check", "output", "points")
    elif not options.output:
        raise UsageError("Where the alignment is to be written must be said: give --output alignment.yaml.")
    from refinefuse_ros.alignment.file import read_alignment
    from refinefuse_ros.commands import calibrating

    known = read_alignment(options.check) if options.check else None
    moments = calibrating.gather(options.thermal, options.rgb, options.bag, options.thermal_topic, options.rgb_topic)
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
