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

"""`refinefuse record`: the running system, or files, as a recording."""

from __future__ import annotations

import argparse
from pathlib import Path

from refinefuse_ros.commands.options import add_cameras, add_json, positive, print_json, refuse, require_both
from refinefuse_ros.image.frame import ImageSize

SUMMARY = "record the running cameras, fusion and diagnostics; or make a bag of files"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, required=True, help="the bag's folder")
    parser.add_argument("--storage", default="mcap", choices=("mcap", "sqlite3"), help="default: %(default)s")
    parser.add_argument("--seconds", type=positive, help="how long (default: until Ctrl-C, a source to its end)")
    live = parser.add_argument_group("live, without a source", "raw or compressed, as it is published")
    for name in ("thermal", "rgb", "fused"):
        live.add_argument(f"--{name}-topic", help=f"image topic (default: {name}/image_raw)")
    source = parser.add_argument_group("from files, or the synthetic street")
    source.add_argument("--source", help="synthetic, or a folder with thermal/ and rgb/")
    add_cameras(source)
    source.add_argument("--rgb-encoding", choices=("bgr8", "bayer_rggb8", "jpeg"), help="default: bgr8")
    source.add_argument("--thermal-rate", type=positive, help="thermal frames per second (default: the source's rate)")
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    if options.thermal or options.rgb or options.source:
        _record_source(options)
    else:
        _record_live(options)


def _record_live(options: argparse.Namespace) -> None:
    from refinefuse_ros.commands.processes import node_command, run_foreground

    refuse(options, "a live recording, one without --source", "rgb_encoding", "thermal_rate")
    given = {
        "seconds": options.seconds,
        "thermal_topic": options.thermal_topic,
        "rgb_topic": options.rgb_topic,
        "fused_topic": options.fused_topic,
    }
    parameters = {"output": str(options.output), "storage": options.storage, "json": options.json}
    parameters |= {name: value for name, value in given.items() if value is not None}
    run_foreground(node_command("bag_recorder", parameters), interruptible=False)


def _record_source(options: argparse.Namespace) -> None:
    from refinefuse_ros.clips import open_folder, open_pairs
    from refinefuse_ros.image.sources import SyntheticPairs
    from refinefuse_ros.recordings.making import write_bag

    refuse(options, "a recording of a source", "thermal_topic", "rgb_topic", "fused_topic")
    if options.source is None:
        require_both(options, "--source")
        source = open_pairs(options.thermal, options.rgb)
    else:
        refuse(options, "a recording of --source", "thermal", "rgb")
        source = (
            SyntheticPairs(ImageSize(640, 480)) if options.source == "synthetic" else open_folder(Path(options.source))
        )
    written = write_bag(
        source,
        options.output,
        storage=options.storage,
        rgb_encoding=options.rgb_encoding or "bgr8",
        seconds=options.seconds,
        thermal_rate_hz=options.thermal_rate,
    )
    if options.json:
        print_json(written.to_dict())
    else:
        print(f"recorded {source.description} to {options.output}")
