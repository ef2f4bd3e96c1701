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

"""`refinefuse demo`: cameras, fusion node and recorder as separate processes over real DDS."""

from __future__ import annotations

import argparse
from pathlib import Path

from refinefuse_ros.commands.options import (
    add_bag_topics,
    add_engine,
    add_json,
    count,
    engine_request,
    positive,
    print_json,
    refuse,
)

SUMMARY = "run cameras, fusion node and recorder live over DDS"
_SECONDS = 20.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    played = parser.add_mutually_exclusive_group()
    played.add_argument(
        "--source",
        default="synthetic",
        help="synthetic, or a folder with thermal/ and rgb/ (default: %(default)s)",
    )
    played.add_argument("--bag", type=Path, help="a recording, in its own time")
    add_bag_topics(parser)
    parser.add_argument("--seconds", type=positive, help="how long to stream (default: 20, a recording to its end)")
    parser.add_argument("--rate", type=positive, help="pairs per second of a source (default: its own)")
    parser.add_argument(
        "--runs",
        type=count,
        help="play the recording so often, from memory; of 3 and more the best and the worst do not count",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("out/demo"), help="folder for the results (default: %(default)s)"
    )
    parser.add_argument(
        "--view", action="store_true", help="show it meanwhile in Rerun: a window, or a page without a screen"
    )
    add_json(parser)
    add_engine(parser)


def run(options: argparse.Namespace) -> None:
    from refinefuse_ros.commands.demo.cast import cast_of_bag, cast_of_source
    from refinefuse_ros.commands.demo.running import run_demo

    if options.bag:
        refuse(options, "a recording", "rate")
        cast = cast_of_bag(
            options.bag,
            options.output,
            thermal_topic=options.thermal_topic,
            rgb_topic=options.rgb_topic,
            seconds=options.seconds,
            runs=options.runs or 1,
        )
    else:
        refuse(options, "a source", "thermal_topic", "rgb_topic", "runs")
        cast = cast_of_source(options.source, options.seconds or _SECONDS, options.rate)
    report = run_demo(
        cast, output=options.output, request=engine_request(options), view=options.view, quiet=options.json
    )
    if options.json:
        print_json(report)
