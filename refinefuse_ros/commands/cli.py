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

"""The `refinefuse` command: finds the verbs, runs one, and makes its failure a sentence and an exit status.

A verb is a module of this package with a `SUMMARY` (one clause, in lower case), `add_arguments(parser)` and
`run(options)`. It is imported for its arguments, so what its work needs is imported when it runs.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module

from refinefuse_ros import __version__
from refinefuse_ros.commands.options import UsageError
from refinefuse_ros.errors import UserError

VERBS = (
    "demo",
    "fuse",
    "evaluate",
    "play",
    "record",
    "view",
    "calibrate",
    "export",
    "bench",
    "train",
    "soak",
    "doctor",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns 0 on success, 1 when it failed, 2 for wrong usage, 130 when interrupted."""
    options = _parse(arguments)
    options.command = shlex.join(["refinefuse", *(sys.argv[1:] if arguments is None else arguments)])
    try:
        options.run(options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except OSError as error:
        sentence = f"{error.filename}: {error.strerror}." if error.filename and error.strerror else str(error)
        print(f"error: {sentence}", file=sys.stderr)
        return 1
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command. What it parses has the verb's `run`, and in `parser` its own parser."""
    parser = argparse.ArgumentParser(prog="refinefuse", description="Thermal-RGB video fusion with RefineFuse.")
    parser.add_argument("--version", action="version", version=f"refinefuse {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name in VERBS:
        verb = import_module(f"{__package__}.{name}")
        description = f"{verb.SUMMARY[0].upper()}{verb.SUMMARY[1:]}."
        verb_parser = verbs.add_parser(name, help=verb.SUMMARY, description=description)
        verb_parser.set_defaults(run=verb.run, parser=verb_parser, take_rest=None)
        verb.add_arguments(verb_parser)
    return parser


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = build_parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and not (options.take_rest and options.take_rest(options, rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
