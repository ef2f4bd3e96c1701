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

"""`refinefuse fuse`: files in, fused files out."""

from __future__ import annotations

import argparse
from pathlib import Path

from refinefuse_ros.commands.options import (
    add_alignment,
    add_cameras,
    add_engine,
    add_json,
    add_normalization,
    add_steady,
    add_style,
    add_thermal_offset,
    engine_request,
    given_alignment,
    given_normalization,
    print_json,
)

SUMMARY = "fuse an image, a folder (matched by name) or a video"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_cameras(parser, required=True)
    parser.add_argument(
        "--output", type=Path, required=True, help="fused image, folder or .mp4: the same kind as the input"
    )
    add_alignment(parser)
    add_normalization(parser)
    add_thermal_offset(parser)
    add_steady(parser)
    add_style(parser)
    add_json(parser)
    add_engine(parser)


def run(options: argparse.Namespace) -> None:
    from refinefuse_ros.offline import fuse_files

    result = fuse_files(
        options.thermal,
        options.rgb,
        options.output,
        engine_request(options),
        alignment=given_alignment(options),
        normalization=given_normalization(options),
        thermal_offset_ms=options.thermal_offset_ms or 0.0,
        steady=options.steady,
        style=options.style,
        quiet=options.json,
    )
    if options.json:
        print_json(result.to_dict())
