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

"""`refinefuse doctor`: what is installed, what will be used, what would go wrong; with --live, what goes wrong now."""

from __future__ import annotations

import argparse

from refinefuse_ros.commands.doctor.findings import to_dict
from refinefuse_ros.commands.options import add_json, positive, print_json, refuse
from refinefuse_ros.errors import UserError

SUMMARY = "say what is installed, what will be used, what would go wrong"
_SECONDS = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--live", action="store_true", help="look at what is published now instead, by whom and how well"
    )
    parser.add_argument("--seconds", type=positive, default=_SECONDS, help="how long to listen (default: %(default)g)")
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    if options.live:
        from refinefuse_ros.commands.doctor.live import examine_live

        examination, trouble = examine_live(options.seconds), "The node does not get its images"
    else:
        from refinefuse_ros.commands.doctor.installed import examine

        refuse(options, "an examination of what is installed", "seconds")
        examination, trouble = examine(), "The node will not run here"
    findings = []
    for finding in examination:
        findings.append(finding)
        if not options.json:
            print(finding, flush=True)
    result = to_dict(findings)
    if options.json:
        print_json(result)
    if not result["runs"]:
        raise UserError(f"{trouble}; mend what is marked broken.")
