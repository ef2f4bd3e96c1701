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

"""`refinefuse bench`: every backend and precision that this machine can run, on the same inputs, in one run."""

from __future__ import annotations

import argparse
from pathlib import Path

from refinefuse_ros.commands.options import add_json, at_least_one, print_json, size
from refinefuse_ros.engine.factory import BACKENDS, PRECISIONS, EngineRequest
from refinefuse_ros.image.frame import ImageSize

SUMMARY = "time the available backends side by side on the same images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        action="append",
        help=f"base, nano or a path, such as that of an int8 export; can be repeated (default: {EngineRequest.model})",
    )
    parser.add_argument(
        "--backend", action="append", choices=tuple(BACKENDS), help="only this one; can be repeated (default: all)"
    )
    parser.add_argument(
        "--precision", action="append", choices=PRECISIONS[1:], help="only this one; can be repeated (default: all)"
    )
    parser.add_argument(
        "--size", type=size, default=ImageSize(640, 480), metavar="WIDTHxHEIGHT", help="default: %(default)s"
    )
    parser.add_argument(
        "--frames", type=at_least_one, default=100, help="frames of each backend (default: %(default)s)"
    )
    parser.add_argument(
        "--throughput", action="store_true", help="also search the highest rate with < 5 %% missed frames"
    )
    parser.add_argument("--output", type=Path, help="also write the report to this .md or .json file")
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    from refinefuse_ros.commands.bench.measuring import run_bench

    report = run_bench(
        options.model or EngineRequest.model,
        options.backend,
        options.size,
        options.frames,
        precisions=options.precision,
        throughput=options.throughput,
        output=options.output,
        quiet=options.json,
    )
    if options.json:
        print_json(report.to_dict())
    else:
        print(report.to_markdown())
