# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""`refinefuse play`: files or a recording as two camera topics."""

from __future__ import annotations

import argparse
from pathlib import Path

from refinefuse_ros.commands.options import add_bag_topics, add_cameras, positive, refuse, require_both

SUMMARY = "publish a thermal and an RGB source, or a recording, as two camera topics"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_cameras(parser)
    parser.add_argument("--bag", type=Path, help="a recording, with its own stamps")
    add_bag_topics(parser)
    parser.add_argument(
        "--rate", type=positive, help="pairs per second; for a recording, its speed (default: the source's own)"
    )
    parser.add_argument("--loop", action="store_true", help="start over at the end")
    parser.add_argument("--clock", action="store_true", help="publish /clock from the recording")
    parser.add_argument("--start", type=float, default=0.0, help="seconds of the recording to skip")
    parser.add_argument("--duration", type=positive, help="seconds of the recording to play (default: all)")


def run(options: argparse.Namespace) -> None:
    if options.bag:
        refuse(options, "a recording", "thermal", "rgb")
        node = "bag_player"
        given = {
            "thermal_topic": options.thermal_topic,
            "rgb_topic": options.rgb_topic,
            "rate": options.rate,
            "duration_s": options.duration,
        }
        parameters = {"bag": str(options.bag), "start_s": options.start, "clock": options.clock, "exit_at_end": True}
    else:
        require_both(options, "--bag")
        refuse(options, "files", "thermal_topic", "rgb_topic", "clock", "start", "duration")
        node = "camera_player"
        given = {"rate_hz": options.rate}
        parameters = {"thermal": str(options.thermal), "rgb": str(options.rgb)}
    from refinefuse_ros.commands.processes import node_command, run_foreground

    parameters |= {"loop": options.loop} | {name: value for name, value in given.items() if value is not None}
    run_foreground(node_command(node, parameters))
