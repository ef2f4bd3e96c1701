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

"""What tests/gpu finds becomes a report whose goals, failures and figures can be read, by people and by programs."""

from __future__ import annotations

import json
from pathlib import Path

from gpu_report import Check, Goal, GpuReport, goals_of
from refinefuse_ros.commands.bench.report import BenchEntry, BenchReport, Unavailable
from refinefuse_ros.commands.bench.timing import Spread
from refinefuse_ros.machine import Machine, Software

MACHINE = Machine("A CPU", 16, 65536, False, ["NVIDIA H100, 570.1"], {}, "Linux")
SOFTWARE = Software("0.1.0", "abc123", {"python": "3.12"})
H100 = "NVIDIA H100 80GB HBM3, SM90"


def entry(backend: str, precision: str, gpu_ms: float, times_eager: float) -> BenchEntry:
    spread = Spread(gpu_ms, gpu_ms, gpu_ms, gpu_ms)
    engine = {"backend": backend, "precision": precision, "device": "a GPU", "proof_mean_difference": "0.001"}
    return BenchEntry("base", engine, spread, spread, 1 / times_eager, 1 / times_eager, 1.0, None, None, None)


def bench(*entries: BenchEntry, model: str = "base", size: str = "640x480") -> BenchReport:
    return BenchReport([model], {}, size, "pairs", 10, 5, 2, [*entries], [], MACHINE, SOFTWARE, "now", (0.1, 0.2))


def report(gpu: str = H100) -> GpuReport:
    return GpuReport(gpu, MACHINE, SOFTWARE, {"torch": "2.13.0"}, "2026-01-01T00:00:00+00:00")


def test_the_goals_are_held_against_gpu_times() -> None:
    measured = bench(
        entry("torch", "fp32", 6.0, 1), entry("torch_cuda", "fp32", 3.0, 2), entry("torch_cuda", "fp16", 0.66, 10)
    )
    time, ratio = goals_of(measured, H100)
    assert (time.subject, time.measured, time.reached) == (
        "base fp16 at 640x480 by torch_cuda: GPU time",
        "0.660 ms",
        True,
    )
    assert (ratio.measured, ratio.reached) == ("9.1 in GPU time, 10.0 in wall time", True)
    slower = bench(entry("torch", "fp32", 5.0, 1), entry("torch_cuda", "fp16", 0.67, 10))
    assert [goal.reached for goal in goals_of(slower, H100)] == [False, False]


def test_goals_are_for_the_gpus_and_the_run_that_they_name() -> None:
    entries = [entry("torch", "fp32", 6.0, 1), entry("torch_cuda", "fp16", 0.6, 10)]
    assert [goal.reached for goal in goals_of(bench(*entries), "NVIDIA RTX A2000, SM86")] == [None, True]
    assert [goal.reached for goal in goals_of(bench(entries[1]), H100)] == [True]  # no eager torch to be held against
    assert goals_of(bench(*entries, model="nano"), H100) == []
    assert goals_of(bench(*entries, size="1280x1024"), H100) == []


def test_the_markdown_tells_the_verdict_the_goals_and_all_that_was_found() -> None:
    found = report()
    found.add("Pictures", backend="torch_cuda", mean=0.0123456)
    found.add("Pictures", backend="tensorrt", largest=1)
    found.goals.append(Goal("base: GPU time", "at most 0.66 ms", "0.9 ms", False))
    found.checks += [
        Check("test_runs", "passed", 1.5),
        *(Check(f"test_fits[{size}]", "skipped", 0.0, "tensorrt: it is not installed") for size in (1, 2)),
        Check("test_breaks", "failed", 2.0, "assert a | b\n  in two lines"),
    ]
    found.add_bench(bench(entry("torch", "fp32", 6.0, 1), entry("torch_cuda", "fp16", 0.5, 12)))
    found.doctor = "fine    engine torch_cuda: runs nano in fp16.\n"
    text = found.to_markdown()
    assert text.startswith(f"# {H100}\n\n4 checks: 1 passed, 1 failed, 2 skipped. 2026-01-01")
    assert "| base: GPU time | at most 0.66 ms | 0.9 ms | **no** |" in text
    assert "| backend | mean | largest |\n| --- | --- | --- |\n| torch_cuda | 0.01235 |  |\n| tensorrt |  | 1 |" in text
    checks = [line for line in text.splitlines() if line.startswith("| test_")]
    assert checks == [
        "| test_breaks | failed | 2 | assert a \\| b in two lines |",
        "| test_runs | passed | 1.5 |  |",
    ]
    assert "- tensorrt: it is not installed (2 checks)" in text
    assert "## `base` at 640x480" in text
    assert "engine torch_cuda: runs nano in fp16." in text
    assert "torch 2.13.0" in text
    assert "ended during" not in text


def test_a_test_that_took_the_process_down_is_named(tmp_path: Path) -> None:
    found = report()
    found.running = "test_kills"
    found.write(tmp_path / "out")
    assert "**The process ended during `test_kills`.**" in (tmp_path / "out/report.md").read_text()


def test_the_json_holds_everything(tmp_path: Path) -> None:
    found = report()
    found.add("Memory", backend="torch_cuda", host=0.5)
    found.add_bench(bench(entry("torch", "fp32", 6.0, 1), entry("torch_cuda", "fp16", 0.5, 12)))
    found.write(tmp_path)
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["gpu"] == H100
    assert told["findings"] == {"Memory": [{"backend": "torch_cuda", "host": 0.5}]}
    assert told["benches"][0]["entries"][1]["gpu"]["median"] == 0.5
    assert [goal["reached"] for goal in told["goals"]] == [True, True]
    assert told["software"]["commit"] == "abc123"


def test_what_is_no_number_does_not_cost_the_report(tmp_path: Path) -> None:
    found = report()
    found.add("Memory", host=float("nan"))
    found.write(tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["findings"] == {"Memory": [{"host": "nan"}]}


def test_a_bench_in_which_nothing_ran_says_what_did_not() -> None:
    nothing = bench()
    nothing.unavailable.append(Unavailable("base", "torch_cuda", ["fp16"], "it is out of memory"))
    assert "- base by torch_cuda in fp16: it is out of memory" in nothing.to_markdown()
