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

"""The benchmark: engines take turns on the same inputs, statistics are what they say, and failures cost one entry."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from refinefuse_ros.commands.bench import measuring
from refinefuse_ros.commands.bench.measuring import run_bench
from refinefuse_ros.commands.bench.throughput import find_highest_rate
from refinefuse_ros.commands.bench.timing import Spread, Timing, time_interleaved
from refinefuse_ros.engine.base import Engine, EngineError, EngineInfo
from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.errors import UserError
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.machine import energy_state

SIZE = ImageSize(64, 48)


class Recorded(Engine):
    """Gives the visible plane back, writes its name to `log`, and breaks after `lives` frames."""

    def __init__(self, name: str, log: list[str], lives: int = 10**6, size: ImageSize = SIZE) -> None:
        super().__init__(EngineInfo(name, "no device", "fp32", "none", "", size), size_multiple=1)
        self._log = log
        self._lives = lives
        self.closed = False

    def _run(self, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
        if self._lives == 0:
            raise EngineError("The device fell off the bus.")
        self._lives -= 1
        self._log.append(self.info.backend)
        return visible

    def close(self) -> None:
        self.closed = True


class OnGpu(Recorded):
    """Says how long its GPU took for the newest frame."""

    gpu_ms = 0.25


def planes() -> list[tuple[np.ndarray, np.ndarray]]:
    plane = np.zeros((SIZE.height, SIZE.width), np.uint8)
    return [(plane, plane)]


def test_engines_take_turns_and_each_times_the_same_number_of_frames() -> None:
    log: list[str] = []
    engines = {name: Recorded(name, log) for name in ("a", "b", "c")}
    timings, failed = time_interleaved(engines, planes(), frames=10, warm_up=4, quiet=True)
    assert failed == {}
    assert [[len(turn) for turn in timing.wall_ms] for timing in timings.values()] == [[2] * 5] * 3
    turns = [name for index, name in enumerate(log) if index == 0 or log[index - 1] != name]
    assert "".join(turns) == "abcbcacababcbca"
    assert log[:6] == ["a"] * 6, "four to warm up and two timed"


def test_an_engine_that_fails_does_not_stop_the_others() -> None:
    engines = {"good": Recorded("good", []), "bad": Recorded("bad", [], lives=7)}
    timings, failed = time_interleaved(engines, planes(), frames=10, warm_up=0, quiet=True)
    assert list(timings) == ["good"]
    assert failed == {"bad": "failed while it was timed: The device fell off the bus."}


def test_the_ratio_is_taken_round_by_round() -> None:
    """The machine was ten times slower in the second round, and stalled once: still half of the baseline's time."""
    baseline = Timing([[10.0, 10.0, 10.0], [100.0, 100.0, 100.0], [10.0, 10.0, 10.0]])
    timing = Timing([[5.0, 900.0, 5.0], [50.0, 50.0, 50.0], [5.0, 5.0, 5.0]])
    assert timing.ratio_to(baseline) == 0.5


def test_spread_is_by_percentiles() -> None:
    assert Spread.of([float(ms) for ms in range(100, -1, -1)]) == Spread(median=50, p90=90, p99=99, min=0)


class Worker:
    """A pipeline in simulated time: each frame takes the next of `durations_ms`, the last one for ever."""

    def __init__(self, *durations_ms: int) -> None:
        self._durations_ms = list(durations_ms)
        self.now = 0

    def now_ns(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)

    def fuse(self, stamp_ns: int) -> None:
        assert stamp_ns <= self.now, "no frame is fused before it is due"
        self.now += self._durations_ms[0] * 1_000_000
        if len(self._durations_ms) > 1:
            self._durations_ms.pop(0)


def test_the_highest_rate_is_where_five_per_cent_are_missed() -> None:
    """A worker of 10 ms takes 100 Hz without a miss, and 100 / 0.95 = 105.3 Hz with 5 %."""
    worker = Worker(10)
    found = find_highest_rate(worker.fuse, worker.now_ns, worker.sleep)
    assert 103 < found.highest_rate_hz < 105.3
    assert all(trial.sustained == (trial.rate_hz < 105.3) for trial in found.trials)


def test_a_worker_that_slows_down_is_not_credited_with_its_best_moment() -> None:
    worker = Worker(*[10] * 10, 1000)
    found = find_highest_rate(worker.fuse, worker.now_ns, worker.sleep)
    assert found.highest_rate_hz == 0
    assert len(found.trials) == 6


def test_a_trial_that_cannot_be_sustained_any_more_ends_at_once() -> None:
    worker = Worker(*[10] * 10, 1000)
    find_highest_rate(worker.fuse, worker.now_ns, worker.sleep)
    assert worker.now < 30e9, "whole trials of 40 frames at 1 Hz would take minutes"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a real, very small run."""
    path = tmp_path_factory.mktemp("bench") / "new" / "report.json"
    run_bench(size=SIZE, frames=3, warm_up=0, backends=["torch", "openvino"], precisions=["fp32", "fp16"], output=path)
    return path


def test_real_engines_are_compared_with_eager_torch(written: Path) -> None:
    pytest.importorskip("torch", reason="the extra export is not installed")
    report = json.loads(written.read_text())
    ratios = {entry["engine"]["backend"]: entry["ratio_to_eager"] for entry in report["entries"]}
    assert ratios["torch"] == 1.0
    assert ratios["openvino"] > 0
    assert [(item["backend"], item["precisions"]) for item in report["unavailable"] if item["backend"] == "torch"] == [
        ("torch", ["fp16"])
    ]


def test_the_report_says_where_it_comes_from(written: Path) -> None:
    pytest.importorskip("torch", reason="the extra export is not installed")
    report = json.loads(written.read_text())
    assert report["machine"]["cpu"]
    assert {"python", "numpy", "opencv", "openvino", "torch"} <= set(report["software"]["versions"])
    assert {len(digest) for digest in report["artifacts"].values()} == {64}
    assert (report["models"], report["size"], report["frames"], report["rounds"]) == (["nano"], "64x48", 3, 3)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> dict[str, Recorded]:
    """Instead of real engines: torch, and openvino on a GPU, both in fp32 only."""
    built = {"torch": Recorded("torch", []), "openvino": OnGpu("openvino", [])}
    built["openvino"].proven(0.031)

    def create(request: EngineRequest, size: ImageSize) -> Engine:
        if request.backend not in built or request.precision != "fp32":
            raise EngineError("Not to be had.")
        return built[request.backend]

    monkeypatch.setattr(measuring, "create_engine", create)
    monkeypatch.setattr(measuring, "has_gpu", lambda: False)
    return built


def test_markdown_has_a_row_for_each_entry_and_columns_only_for_what_is_known(fakes: dict[str, Recorded]) -> None:
    asked = {"backends": ["torch", "openvino"], "precisions": ["fp32", "fp16", "bf16"]}
    report = run_bench(size=SIZE, frames=5, **asked, quiet=True)
    lines = [line for line in report.to_markdown().splitlines() if line.startswith("|")]
    heading, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    cells = {row[0]: dict(zip(heading, row, strict=True)) for row in rows}
    assert set(cells) == {"torch", "openvino"}
    assert (cells["torch"]["x eager"], cells["torch"]["GPU median"]) == ("1.000", "")
    assert cells["openvino"]["GPU median"] == "0.250"
    assert (cells["openvino"]["proof"], cells["torch"]["proof"]) == ("0.0310", "")
    assert "GPU memory, MiB" not in heading
    assert "highest rate, Hz" not in heading
    assert "- nano by torch in fp16, bf16: Not to be had." in report.to_markdown()


def test_a_graph_without_weights_is_compared_with_the_first_models_eager_torch(
    fakes: dict[str, Recorded], tmp_path: Path
) -> None:
    int8 = tmp_path / "small.onnx"
    int8.write_bytes(b"a graph")
    report = run_bench(["nano", str(int8)], size=SIZE, frames=5, backends=["openvino", "torch"], quiet=True)
    assert len(report.entries) == 4
    assert all(entry.ratio_to_eager is not None for entry in report.entries)
    assert "small.onnx" in report.artifacts
    assert f"## `nano`, `{int8}` at 64x48" in report.to_markdown()
    assert "| model |" in report.to_markdown()


def test_what_an_engine_says_of_its_gpu_memory_is_believed(fakes: dict[str, Recorded]) -> None:
    fakes["openvino"].gpu_memory_bytes = 3 * 2**20
    report = run_bench(size=SIZE, frames=5, backends=["openvino"], quiet=True)
    assert report.entries[0].gpu_memory_mib == 3


def test_throughput_runs_the_whole_pipeline(fakes: dict[str, Recorded], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refinefuse_ros.commands.bench.throughput._TRIAL_S", 0.05)
    # slow enough that a stall of the machine does not miss 5 % of the frames of the slowest trial
    monkeypatch.setattr(fakes["torch"], "_run", lambda thermal, visible: (time.sleep(0.003), visible)[1])
    report = run_bench(size=SIZE, frames=5, backends=["torch"], throughput=True, quiet=True)
    assert report.entries[0].throughput.highest_rate_hz > 0
    assert "highest rate, Hz" in report.to_markdown()


def test_engines_are_closed_and_progress_stays_off_stdout(
    fakes: dict[str, Recorded], capsys: pytest.CaptureFixture
) -> None:
    run_bench(size=SIZE, frames=5)
    assert all(engine.closed for engine in fakes.values())
    assert capsys.readouterr().out == ""


def test_each_kind_of_device_has_its_own_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Recorded):
        def _run(self, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
            time.sleep(0.02)
            return super()._run(thermal, visible)

    def create(request: EngineRequest, size: ImageSize) -> Engine:
        kind = Slow if request.device == "cuda" else Recorded
        return kind(f"{request.backend} {request.device}", [])

    monkeypatch.setattr(measuring, "create_engine", create)
    monkeypatch.setattr(measuring, "has_gpu", lambda: True)
    report = run_bench(size=SIZE, frames=5, backends=["torch", "torch_cuda"], precisions=["fp32"], quiet=True)
    ratios = {entry.engine["backend"]: entry.ratio_of_minima for entry in report.entries}
    assert ratios["torch auto"] == ratios["torch cuda"] == 1.0
    assert ratios["torch_cuda auto"] < 0.5, "over eager torch on the GPU, which is the slow one here"


@pytest.mark.parametrize(("load", "said"), [(0.1, False), (1e6, True)])
def test_a_busy_machine_is_said_to_be_one(
    fakes: dict[str, Recorded], monkeypatch: pytest.MonkeyPatch, load: float, said: bool
) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (load, load, load))
    report = run_bench(size=SIZE, frames=1, backends=["torch"], quiet=True)
    assert ("Other work was running" in report.to_markdown()) == said


def test_without_the_baseline_there_is_no_ratio(fakes: dict[str, Recorded]) -> None:
    report = run_bench(size=SIZE, frames=5, backends=["openvino"], quiet=True)
    assert report.entries[0].ratio_to_eager is None
    assert "| x eager" not in report.to_markdown()


def test_nothing_usable_is_one_sentence(fakes: dict[str, Recorded]) -> None:
    with pytest.raises(EngineError, match=r"No backend can run the model: nano by torch in fp16: Not to be had\.$"):
        run_bench(size=SIZE, frames=5, backends=["torch"], precisions=["fp16"], quiet=True)


def test_torch_is_imported_only_for_its_engine() -> None:
    code = (
        "import sys; from refinefuse_ros.commands.bench.measuring import run_bench;"
        "from refinefuse_ros.image.frame import ImageSize;"
        "run_bench(size=ImageSize(64, 48), frames=1, backends=['openvino'], precisions=['fp32'], quiet=True);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"backends": ["abacus"]}, "There is no backend 'abacus'"),
        ({"precisions": ["auto"]}, "There is no precision 'auto' to measure"),
        ({"frames": 0}, "0 frames after 10 to warm up is no benchmark"),
        ({"warm_up": -1}, "after -1 to warm up"),
        ({"output": Path("report.txt")}, "report.txt is not a name for a report"),
        ({"models": "giant"}, "'giant' is not a model"),
        ({"size": ImageSize(20, 20), "backends": ["openvino"]}, "20x20 are too small"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_timed(arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        run_bench(**arguments, quiet=True)


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_timed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file.report\.md cannot be written: Not a directory\.$|File exists"):
        run_bench(models="nano", backends=[], output=tmp_path / "file" / "report.md", quiet=True)


def test_energy_state_lists_what_differs_and_leaves_out_what_is_not_there(tmp_path: Path) -> None:
    for core, governor in enumerate(("performance", "powersave", "performance")):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{core}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(governor + "\n")
    assert energy_state(tmp_path) == {"governor": "performance, powersave"}
