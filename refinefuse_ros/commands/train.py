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

"""`refinefuse train`: settings in, trained weights and their graph out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from refinefuse_ros.commands.options import add_json, print_json
from refinefuse_ros.errors import UserError

SUMMARY = "train a network and export it; stopped runs go on with resume=auto"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, help="settings of the run, such as config/train/nano.yaml")
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="such as data.root=FOLDER trainer.max_epochs=2"
    )
    parser.add_argument("--dry-run", action="store_true", help="two steps of everything, leaving nothing")
    add_json(parser)
    parser.set_defaults(take_rest=_take_overrides)


def run(options: argparse.Namespace) -> None:
    try:
        from refinefuse_ros.training.trainer import train
    except ImportError as error:
        raise UserError(f"Training needs {error.name}, which is not installed; install the extra train.") from error

    result = train(options.config, options.overrides, dry_run=options.dry_run, quiet=options.json)
    if result is None:  # the first process of a distributed run speaks for all
        return
    if options.json:
        print_json(result.to_dict())
    elif result.weights is not None:
        print(f"trained {result.steps} steps; wrote {result.weights} and {result.graph}")


def _take_overrides(options: argparse.Namespace, rest: Sequence[str]) -> bool:
    """Take KEY=VALUEs that follow an option: argparse looks for them only before the first one."""
    fits = all("=" in text and not text.startswith("-") for text in rest)
    if fits:
        options.overrides += rest
    return fits
