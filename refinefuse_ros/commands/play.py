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
