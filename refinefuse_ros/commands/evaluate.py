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

"""`refinefuse evaluate`: files or a recording in, a verdict out: as a table, JSON, a page, and a gate's status."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from refinefuse_ros.commands.options import (
    VIEWS,
    UsageError,
    add_alignment,
    add_bag_topics,
    add_cameras,
    add_engine,
    add_json,
    add_normalization,
    add_steady,
    add_thermal_offset,
    add_views,
    count,
    engine_request,
    given_alignment,
    given_normalization,
    given_views,
    not_negative,
    positive,
    refuse,
    require_both,
)
from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.errors import UserError
from refinefuse_ros.stream.pairing import STAMPS, SyncSettings

if TYPE_CHECKING:
    from refinefuse_ros.evaluation.verdict import Gallery, Verdict

_OF_A_RECORDING = ("slop_ms", "max_wait_ms", "thermal_hold_ms", "stamps")
_SYNC = (*_OF_A_RECORDING, "thermal_offset_ms")
SUMMARY = "measure fused results by the seven metrics, coarse gradients and flicker"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_cameras(parser)
    parser.add_argument("--fused", type=Path, help="fused results to measure, instead of or beside a model's")
    parser.add_argument("--bag", type=Path, help="a recording to pair, fuse and measure, instead of files")
    add_bag_topics(parser)
    parser.add_argument("--fused-topic", help="images that were fused live, to compare with (default: guessed)")
    parser.add_argument(
        "--slop-ms", type=positive, help="largest distance of a pair's stamps in the recording (default: the node's)"
    )
    parser.add_argument(
        "--thermal-hold-ms",
        type=not_negative,
        help="how long a thermal frame serves further RGB frames (default: the node's)",
    )
    parser.add_argument(
        "--max-wait-ms", type=not_negative, help="how long an RGB frame waits for a thermal frame (default: the node's)"
    )
    add_thermal_offset(parser)
    parser.add_argument(
        "--stamps", choices=STAMPS, help="pair by the cameras' stamps or by when they were recorded (default: header)"
    )
    parser.add_argument("--video", type=Path, help="also write the first model's fused video to this .mp4")
    parser.add_argument("--fused-bag", type=Path, help="also write the first model's fused images to this bag")
    parser.add_argument("--output", type=Path, help="also write the result to this JSON file")
    parser.add_argument("--report", type=Path, help="also write the result as a page to look at, to this HTML file")
    parser.add_argument("--gate", type=Path, help="fail when a number is worse than this YAML file allows")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--workers", type=count, help="processes to work in (default: one per core; on a GPU, one)")
    place.add_argument("--scheduler", help="address of a dask scheduler whose workers are used instead")
    parser.add_argument("--detector", type=Path, help="a detector's ONNX file, to measure whether fused images help it")
    parser.add_argument("--labels", type=Path, help="a folder with the labels of the objects that it should find")
    add_alignment(parser)
    add_normalization(parser)
    add_views(parser)
    add_steady(parser)
    parser.add_argument("--motion", action="store_true", help="also measure how videos move, by optical flow; slow")
    add_json(parser)
    add_engine(parser, several_models=True)


def run(options: argparse.Namespace) -> None:
    _check_usage(options)
    from refinefuse_ros.evaluation.gate import load_gate
    from refinefuse_ros.evaluation.report import require_report, write_report
    from refinefuse_ros.evaluation.table import print_verdict

    # What can go wrong with these is said before the work, which may take long.
    gate = load_gate(options.gate) if options.gate else None
    if options.report:
        require_report()
    verdict, gallery = _verdict(options)
    if options.output:
        verdict.write_json(options.output)
    if options.report:
        write_report(verdict, gallery, options.report)
    if options.json:
        print(verdict.to_json())
    else:
        print_verdict(verdict)
    violations = gate.violations(verdict) if gate else []
    for sentence in violations:
        print(sentence, file=sys.stderr)
    if violations:
        raise UserError(f"{options.gate} allows less than was measured in {len(violations)} point(s), named above.")


def _check_usage(options: argparse.Namespace) -> None:
    """Raises UsageError for options that mean nothing with what is scored."""
    if options.bag:
        refuse(options, "a recording", "thermal", "rgb", "fused", "detector", "labels")
        return
    require_both(options, "--bag")
    if (options.detector is None) != (options.labels is None):
        raise UsageError("--detector and --labels go together; give both or neither.")
    refuse(options, "files", "thermal_topic", "rgb_topic", "fused_topic", *_OF_A_RECORDING, *VIEWS)
    refuse(options, "files", "video", "fused_bag")
    if options.fused and not options.model:
        refuse(options, "results that are there, with no --model", "backend", "precision", "device", "steady")


def _verdict(options: argparse.Namespace) -> tuple[Verdict, Gallery]:
    """What the options say is scored."""
    from refinefuse_ros.evaluation.work.workers import Parallelism

    models = options.model or ([] if options.fused else [EngineRequest.model])
    shared = {
        "requests": [engine_request(options, model) for model in models],
        "where": Parallelism(options.workers, options.scheduler),
        "alignment": given_alignment(options),
        "normalization": given_normalization(options),
        "steady": options.steady,
        "motion": options.motion,
        "command": options.command,
        "quiet": options.json,
    }
    if not options.bag:
        from refinefuse_ros.evaluation.files import evaluate_files

        return evaluate_files(
            options.thermal,
            options.rgb,
            fused=options.fused,
            thermal_offset_ms=options.thermal_offset_ms or 0.0,
            detector=options.detector,
            labels=options.labels,
            **shared,
        )
    from refinefuse_ros.evaluation.bag_scoring import evaluate_bag
    from refinefuse_ros.evaluation.fused_outputs import FusedFiles

    sync = {name: value for name in _SYNC if (value := getattr(options, name)) is not None}
    return evaluate_bag(
        options.bag,
        thermal_topic=options.thermal_topic,
        rgb_topic=options.rgb_topic,
        fused_topic=options.fused_topic,
        sync=SyncSettings(**sync),
        views=given_views(options),
        fused_files=FusedFiles(options.video, options.fused_bag),
        **shared,
    )
