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

"""`refinefuse soak`: faults against the running node, one after the other, and one verdict."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from refinefuse_ros.commands.options import add_engine, add_json, engine_request, positive, print_json, size
from refinefuse_ros.commands.processes import require_ros
from refinefuse_ros.commands.soak.script import ACTS
from refinefuse_ros.errors import UserError

SUMMARY = "play a script of faults against the running node, and give one verdict"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=positive, default=10.0, help="how long to go on (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=1, help="of the script of faults (default: %(default)s)")
    parser.add_argument(
        "--only",
        action="append",
        choices=ACTS,
        metavar="FAULT",
        help=f"one of {', '.join(ACTS)}; can be repeated (default: all)",
    )
    parser.add_argument("--size", type=size, default="640x480", help="of the cameras' images (default: %(default)s)")
    parser.add_argument(
        "--rate", type=positive, default=30.0, help="frames per second of both cameras (default: %(default)g)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("out/soak"), help="folder for the logs (default: %(default)s)"
    )
    add_json(parser)
    add_engine(parser)


def run(options: argparse.Namespace) -> None:
    require_ros()
    from refinefuse_ros.commands.soak.running import soak

    soaked = soak(
        options.minutes,
        options.seed,
        request=engine_request(options),
        size=options.size,
        rate_hz=options.rate,
        output=options.output,
        only=options.only or (),
        tell=(lambda line: None) if options.json else (lambda line: print(line, flush=True)),
    )
    verdict = soaked.to_dict()
    if options.json:
        print_json({"command": options.command, **verdict})
    else:
        print(_summary(verdict))
    if not verdict["passed"]:
        raise UserError(f"The node did not stand the soak: {verdict['failures'][0]}")


def _summary(verdict: dict[str, Any]) -> str:
    """The verdict in a few lines, for people."""
    head = "passed" if verdict["passed"] else "FAILED"
    recovery = f"{_seconds(verdict['recovery_s_p50'])} p50, {_seconds(verdict['recovery_s_max'])} max"
    silence = _seconds(verdict["longest_silence_s"])
    reports, unbalanced = verdict["reports"], verdict["unbalanced"]
    apart, growth = f"{verdict['furthest_ms']:.0f} ms", f"{verdict['memory_growth']:+.1%}"
    lines = [
        f"{head}: {verdict['faults']} faults, {verdict['named']} of {verdict['to_be_named']} named",
        f"  back to full rate after {recovery}; longest silence {silence}",
        f"  ledger balanced in {reports - unbalanced} of {reports} reports; pairs within {apart}; memory {growth}",
    ]
    return "\n".join([*lines, *(f"  {failure}" for failure in verdict["failures"])])


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
