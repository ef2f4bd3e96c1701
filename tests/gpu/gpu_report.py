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

"""What the tests of tests/gpu found on a GPU, as one report in Markdown and in JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final

from refinefuse_ros.commands.bench.report import BenchEntry, BenchReport
from refinefuse_ros.errors import one_line
from refinefuse_ros.machine import Machine, Software, describe_machine, describe_software
from refinefuse_ros.writing import write_whole

GOAL_MODEL: Final = "base"
GOAL_PRECISION: Final = "fp16"
GOAL_GPU_MS: Final = 0.66
GOAL_TIMES_EAGER: Final = 8.0
_GOAL_GPUS: Final = ("H100", "H200")
_TOLD_PACKAGES: Final = ("torch", "triton", "tensorrt", "nvidia-", "onnx", "openvino", "numpy")


@dataclass(frozen=True)
class Check:
    """One test: "passed", "failed" or "skipped", and why, where there is something to say."""

    name: str
    outcome: str
    seconds: float
    reason: str = ""


@dataclass(frozen=True)
class Goal:
    """What was wanted and what was measured; `reached` is None where the goal does not speak of this GPU."""

    subject: str
    wanted: str
    measured: str
    reached: bool | None


@dataclass
class GpuReport:
    """Filled test by test, and written after each, so that one that takes the process down loses nothing.

    Attributes:
        gpu: the GPU's name, compute capability and driver.
        machine, software: where and with what.
        packages: name to version of what a GPU engine may be made of.
        started: date and time, UTC, ISO 8601.
        checks: the tests that have ended, in their order.
        running: the test that is running; in a report that was left behind, the one that took the process down.
        findings: by subject, a row of named values for each thing that was measured.
        benches: the runs of the benchmark.
        goals: what the benchmark's numbers are held against.
        doctor: what `refinefuse doctor` says.
    """

    gpu: str
    machine: Machine = field(default_factory=describe_machine)
    software: Software = field(default_factory=describe_software)
    packages: dict[str, str] = field(default_factory=lambda: told_packages())
    started: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))
    checks: list[Check] = field(default_factory=list)
    running: str = ""
    findings: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    benches: list[BenchReport] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    doctor: str = ""

    def add(self, subject: str, **values: Any) -> None:
        """Note a row of named values under a subject; what is no finite number is told as a word."""
        told = {
            name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in values.items()
        }
        self.findings.setdefault(subject, []).append(told)

    def add_bench(self, bench: BenchReport) -> None:
        """Note a run of the benchmark, and hold it against the goals that speak of it."""
        self.benches.append(bench)
        self.goals += goals_of(bench, self.gpu)

    def to_markdown(self) -> str:
        """Verdict, goals, findings, speed, checks, and where all this was."""
        counts = Counter(check.outcome for check in self.checks)
        verdict = ", ".join(f"{counts[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped"))
        versions = ", ".join(f"{name} {version}" for name, version in self.packages.items())
        commit = f"commit {self.software.commit}" if self.software.commit else "no commit"
        sections = [
            f"# {self.gpu}",
            f"{len(self.checks)} checks: {verdict}. {self.started}, refinefuse_ros {self.software.refinefuse_ros},"
            f" {commit}.",
            *([f"**The process ended during `{self.running}`.**"] if self.running else []),
            *([f"## Goals\n\n{_table([_goal_row(goal) for goal in self.goals])}"] if self.goals else []),
            *(f"## {subject}\n\n{_table(rows)}" for subject, rows in self.findings.items()),
            *(f"# Speed\n\n{bench.to_markdown().rstrip()}" for bench in self.benches),
            *self._told_checks(),
            *([f"## refinefuse doctor\n\n```\n{self.doctor.strip()}\n```"] if self.doctor else []),
            f"## Machine\n\n- GPUs: {'; '.join(self.machine.gpus) or 'nvidia-smi tells none'}\n"
            f"- CPU: {self.machine.cpu}, {self.machine.cores} cores; {self.machine.system}\n- Packages: {versions}",
        ]
        return "\n\n".join(sections) + "\n"

    def write(self, folder: Path) -> None:
        """Write report.md and report.json, each whole or not at all; the folder is made."""
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "report.md", self.to_markdown().encode())
        write_whole(folder / "report.json", (json.dumps(asdict(self), indent=2, allow_nan=False) + "\n").encode())

    def _told_checks(self) -> list[str]:
        """The checks that ran, the failed ones first, and what was skipped, a line for each reason."""
        ran = [check for check in self.checks if check.outcome != "skipped"]
        ran.sort(key=lambda check: check.outcome)
        skipped = Counter(check.reason for check in self.checks if check.outcome == "skipped")
        lines = "\n".join(f"- {reason} ({count} checks)" for reason, count in skipped.items())
        return [
            *([f"## Checks\n\n{_table([asdict(check) for check in ran])}"] if ran else []),
            *([f"Skipped:\n\n{lines}"] if skipped else []),
        ]


def goals_of(bench: BenchReport, gpu: str) -> list[Goal]:
    """The goals of the base network in fp16 at 640x480, for each entry of a benchmark of it.

    A ratio is of GPU times by events, eager torch in fp32 on the same GPU over the entry.
    """
    if bench.models != [GOAL_MODEL] or bench.size != "640x480":
        return []
    eager = next((entry for entry in bench.entries if entry.engine["backend"] == "torch"), None)
    goals = []
    for entry in bench.entries:
        if entry.engine["precision"] != GOAL_PRECISION or entry.gpu is None:
            continue
        subject = f"{GOAL_MODEL} {GOAL_PRECISION} at {bench.size} by {entry.engine['backend']}"
        spoken_of = any(name in gpu for name in _GOAL_GPUS)
        goals.append(
            Goal(
                f"{subject}: GPU time",
                f"at most {GOAL_GPU_MS} ms on {' or '.join(_GOAL_GPUS)}",
                f"{entry.gpu.median:.3f} ms",
                entry.gpu.median <= GOAL_GPU_MS if spoken_of else None,
            )
        )
        if eager is not None and eager.gpu is not None:
            goals.append(_ratio_goal(subject, entry, eager.gpu.median / entry.gpu.median))
    return goals


def told_packages() -> dict[str, str]:
    """Name to version of the installed distributions that a GPU engine may be made of."""
    found = {str(found.metadata["Name"]): found.version for found in distributions()}
    return {name: found[name] for name in sorted(found) if name.lower().startswith(_TOLD_PACKAGES)}


def _ratio_goal(subject: str, entry: BenchEntry, times: float) -> Goal:
    wall = f", {1 / entry.ratio_to_eager:.1f} in wall time" if entry.ratio_to_eager else ""
    return Goal(
        f"{subject}: times eager fp32",
        f"at least {GOAL_TIMES_EAGER:g}",
        f"{times:.1f} in GPU time{wall}",
        times >= GOAL_TIMES_EAGER,
    )


def _goal_row(goal: Goal) -> dict[str, str]:
    reached = {True: "yes", False: "**no**", None: "not judged on this GPU"}[goal.reached]
    return {"goal": goal.subject, "wanted": goal.wanted, "measured": goal.measured, "reached": reached}


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """A row has its values under their names; one that lacks a name has nothing there."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] * len(names), *([_cell(row.get(name, "")) for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else one_line(value)
    return text.replace("|", "\\|")
