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

"""What a benchmark found, as JSON for programs and as Markdown for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from refinefuse_ros.commands.bench.throughput import Throughput
from refinefuse_ros.commands.bench.timing import SETTLING_FRAMES, Spread
from refinefuse_ros.errors import UserError
from refinefuse_ros.machine import Machine, Software
from refinefuse_ros.writing import prepare_to_write, write_whole, writing_to

_SUFFIXES: Final = (".md", ".json")
_BUSY_LOAD_PER_CORE: Final = 0.25
_BUSY: Final = (
    "**Other work was running** (load average {:.2f} on {} cores at the start). It slows an engine the more, the more"
    " its threads wait for each other, and eager torch most, so `x eager` flatters the others: quote only `min` and"
    " `x eager, min`."
)


@dataclass(frozen=True)
class BenchEntry:
    """One backend in one precision.

    Attributes:
        model: as it was asked for.
        engine: what ran (`EngineInfo.to_dict`).
        wall: of `Engine.fuse` on 8-bit planes, per frame.
        gpu: time on the GPU per frame, by events; None where the engine does not measure it.
        ratio_to_eager: time per frame over that of eager torch in fp32, on the same kind of device in the same run
            (`Timing.ratio_to`); None without that baseline.
        ratio_of_minima: the same of the shortest times, which other work on the machine disturbs least.
        build_s: until the engine had run its first frames, imports and reading included; a compiled engine may have
            come from the cache (`engine["reason"]` says so).
        memory_mib: growth of the process' resident memory while it was built, imports included; None where it cannot
            be read.
        gpu_memory_mib: what the engine says it took of the GPU's memory, or else the growth of the memory in use on the
            GPUs in that time; None for an engine on the CPU or where it cannot be read.
        throughput: of the whole pipeline; None when it was not asked for.
    """

    model: str
    engine: dict[str, str]
    wall: Spread
    gpu: Spread | None
    ratio_to_eager: float | None
    ratio_of_minima: float | None
    build_s: float
    memory_mib: float | None
    gpu_memory_mib: float | None
    throughput: Throughput | None


@dataclass(frozen=True)
class Unavailable:
    """A backend that did not run a model in some precisions, and why, in one sentence."""

    model: str
    backend: str
    precisions: list[str]
    reason: str

    def __str__(self) -> str:
        return f"{self.model} by {self.backend} in {', '.join(self.precisions)}: {self.reason}"


@dataclass(frozen=True)
class BenchReport:
    """One run of `refinefuse bench`.

    Attributes:
        models: as they were asked for.
        artifacts: SHA-256 of the models' files, by file name.
        size: of the images, "640x480".
        inputs: what was fused.
        frames: timed per entry, over all rounds.
        rounds: in which the entries took turns.
        warm_up: untimed frames per entry before the first round.
        entries: what ran, in the order in which `auto` tries the backends.
        unavailable: what did not run.
        machine, software: where and with what.
        started: date and time, UTC, ISO 8601.
        load_average: of the last minute, when the run started and when it ended; the bench itself adds to the latter.
    """

    models: list[str]
    artifacts: dict[str, str]
    size: str
    inputs: str
    frames: int
    rounds: int
    warm_up: int
    entries: list[BenchEntry]
    unavailable: list[Unavailable]
    machine: Machine
    software: Software
    started: str
    load_average: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def to_markdown(self) -> str:
        """The table of the entries, what did not run, and the provenance."""
        sections = [
            f"## {', '.join(f'`{model}`' for model in self.models)} at {self.size}",
            f"{self.inputs}. {self.frames} frames per entry after {self.warm_up} to warm up, in {self.rounds} rounds in"
            f" which the entries take turns, each after {SETTLING_FRAMES} untimed frames. Times in ms; `x eager` is the"
            " time per frame over that of eager torch in fp32 on the same kind of device, the median of the rounds'"
            " ratios; `x eager, min` is the ratio of the shortest times. `proof` is how far the engine's picture of the"
            " built-in scene is from the reference, in grey levels.",
            *([_BUSY.format(self.load_average[0], self.machine.cores)] if self._was_busy() else []),
            *([_table(self._rows())] if self.entries else []),
            *(["Did not run:\n\n" + "\n".join(f"- {item}" for item in self.unavailable)] if self.unavailable else []),
            "Measured on:\n\n" + "\n".join(self._provenance_lines()),
        ]
        return "\n\n".join(sections) + "\n"

    def write(self, path: Path) -> None:
        """Write it as Markdown (.md) or JSON (.json), whole or not at all; missing folders are made.

        Raises:
            UserError: the name has neither suffix, or the file cannot be written.
        """
        check_report_file(path)
        as_json = path.suffix == ".json"
        text = json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n" if as_json else self.to_markdown()
        with writing_to(path):
            write_whole(path, text.encode())

    def _was_busy(self) -> bool:
        return self.load_average[0] > _BUSY_LOAD_PER_CORE * self.machine.cores

    def _rows(self) -> list[dict[str, str]]:
        """The table's rows by heading. A column stands only where an entry has something to say in it."""
        rows = [_row(entry, several=len(self.models) > 1) for entry in self.entries]
        told = [heading for heading in rows[0] if any(row[heading] for row in rows)]
        return [{heading: row[heading] for heading in told} for row in rows]

    def _provenance_lines(self) -> list[str]:
        machine, software = self.machine, self.software
        versions = ", ".join(f"{name} {version}" for name, version in software.versions.items())
        energy = ", ".join(f"{name} {state}" for name, state in machine.energy.items())
        return [
            f"- Machine: {machine.cpu}, {machine.cores} cores{' (virtual)' if machine.virtual else ''},"
            f" {machine.memory_mib / 1024:.1f} GiB; {machine.system}",
            f"- GPU: {'; '.join(machine.gpus) or 'none found'}",
            f"- Energy state: {energy or 'not readable'}",
            f"- Software: refinefuse_ros {software.refinefuse_ros},"
            f" {f'commit {software.commit}' if software.commit else 'no commit'}; {versions}",
            *(f"- Model: {name}, sha256 {digest}" for name, digest in self.artifacts.items()),
            f"- Run: {self.started}; load average {self.load_average[0]:.2f} at the start,"
            f" {self.load_average[1]:.2f} at the end",
        ]


def check_report_file(path: Path) -> None:
    """Refuse a file that `BenchReport.write` would refuse; for before a long run. Its folder is made.

    Raises:
        UserError: its name ends neither in .md nor in .json, or it cannot be written.
    """
    if path.suffix not in _SUFFIXES:
        raise UserError(f"{path} is not a name for a report; use one that ends in {' or '.join(_SUFFIXES)}.")
    prepare_to_write(path)


def _row(entry: BenchEntry, several: bool) -> dict[str, str]:
    engine, wall = entry.engine, entry.wall
    return {
        "model": entry.model if several else "",
        "backend": engine["backend"],
        "precision": engine["precision"],
        "device": engine["device"],
        "proof": engine["proof_mean_difference"],
        "median": _number(wall.median, 2),
        "p90": _number(wall.p90, 2),
        "p99": _number(wall.p99, 2),
        "min": _number(wall.min, 2),
        "x eager": _number(entry.ratio_to_eager, 3),
        "x eager, min": _number(entry.ratio_of_minima, 3),
        "GPU median": _number(entry.gpu and entry.gpu.median, 3),
        "GPU p99": _number(entry.gpu and entry.gpu.p99, 3),
        "highest rate, Hz": _number(entry.throughput and entry.throughput.highest_rate_hz, 1),
        "memory, MiB": _number(entry.memory_mib, 0),
        "GPU memory, MiB": _number(entry.gpu_memory_mib, 0),
        "build, s": _number(entry.build_s, 1),
    }


def _number(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}f}"


def _table(rows: Sequence[dict[str, str]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
