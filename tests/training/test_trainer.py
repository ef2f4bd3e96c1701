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

"""A run trains, stops, goes on and exports; what goes wrong leaves one sentence and no half-written file."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.network.weights import load_weights
from refinefuse_ros.offline import fuse_files
from refinefuse_ros.training.config import ConfigError
from refinefuse_ros.training.module import FusionModule, TrainError
from refinefuse_ros.training.trainer import TrainResult, train

pytestmark = pytest.mark.filterwarnings("ignore")

CONFIG = """
name: tiny
network: {encoder: [4, 4, 6], head: [4], grids: [2], unshuffle: 2, output: blend}
data: {crop: 32, batch: 2, hold_out_every: 4}
optimizer: {name: adamw, schedule: constant, averaging: 0.9, warmup_steps: 2}
trainer: {max_epochs: 2, accelerator: cpu}
"""

Run = Callable[..., TrainResult]


@pytest.fixture
def run(tmp_path: Path, write_pair: Callable[..., None]) -> Run:
    for name in ("a", "bb", "ccc", "dddd", "eeeee"):
        write_pair(tmp_path / "data", name, size=(48, 44))
    (tmp_path / "c.yaml").write_text(f"{CONFIG}output: {tmp_path / 'run'}\n")

    def run(*overrides: str, dry_run: bool = False) -> TrainResult:
        return train(tmp_path / "c.yaml", [f"data.root={tmp_path / 'data'}", *overrides], dry_run, quiet=True)

    return run


def weights_of(result: TrainResult) -> dict[str, torch.Tensor]:
    return load_weights(result.weights)[0].state_dict()


def test_a_run_trains_logs_pictures_and_exports_a_model_that_fuses(run: Run, tmp_path: Path):
    result = run()
    assert (result.epochs, result.steps) == (2, 4)
    assert {"train/total", "val/total", "val/vif", "val/ecg"} <= result.metrics.keys()
    made = {path.relative_to(result.output).as_posix() for path in result.output.rglob("*") if path.is_file()}
    assert {"tiny.safetensors", "tiny.onnx", "checkpoints/last.ckpt", "csv/version_0/metrics.csv"} <= made
    assert {"samples/epoch_0001_0.png", "samples/epoch_0002_0.png"} <= made
    assert any(name.startswith("tensorboard/") for name in made)
    data = tmp_path / "data"
    request = EngineRequest(str(result.graph))
    fused = fuse_files(data / "thermal" / "a.png", data / "rgb" / "a.png", tmp_path / "f.png", request, quiet=True)
    assert fused.fused == 1


def test_two_processes_train_together_and_one_speaks_for_both(run: Run, tmp_path: Path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    settings = [f"data.root={tmp_path / 'data'}", "trainer.devices=2", "data.batch=1"]
    done = subprocess.run(
        [*torchrun, "-m", "refinefuse_ros.commands.cli", "train", str(tmp_path / "c.yaml"), *settings, "--json"],
        capture_output=True,
        text=True,
        timeout=110,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout)
    assert (result["epochs"], result["steps"]) == (2, 4)
    assert Path(result["weights"]).is_file()


def test_ctrl_c_loses_at_most_the_epoch_and_the_resumed_run_is_the_same(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    straight = run(f"output={tmp_path / 'straight'}")
    step = FusionModule.training_step

    def interrupted(module: FusionModule, batch: torch.Tensor, batch_index: int) -> torch.Tensor:
        if module.current_epoch == 1 and batch_index == 1:
            raise KeyboardInterrupt
        return step(module, batch, batch_index)

    with monkeypatch.context() as patch:
        patch.setattr(FusionModule, "training_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert not (tmp_path / "run" / "tiny.safetensors").exists()
    resumed = run("resume=auto")
    assert (resumed.epochs, resumed.steps) == (2, 4)
    expected = weights_of(straight)
    for name, value in weights_of(resumed).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


def test_a_dry_run_does_everything_and_leaves_nothing(run: Run, tmp_path: Path):
    before = set(tmp_path.rglob("*"))
    result = run(dry_run=True)
    assert (result.steps, result.weights, result.output.exists()) == (2, None, False)
    assert set(tmp_path.rglob("*")) == before


def test_a_teacher_adds_its_term(run: Run, tmp_path: Path):
    teacher = run("trainer.max_epochs=1")
    student = run(f"output={tmp_path / 'student'}", f"distillation.weights={teacher.weights}", "trainer.max_epochs=1")
    assert student.metrics["train/distillation"] > 0
    assert weights_of(student).keys() == weights_of(teacher).keys()


def test_losses_are_of_full_precision_beside_a_16_bit_network(run: Run):
    metrics = run("trainer.precision=bf16", "trainer.max_epochs=1").metrics
    terms = torch.tensor([metrics[f"{part}/{name}"] for part in ("train", "val") for name in ("texture", "coarse")])
    assert (terms != terms.bfloat16().float()).all()


def test_a_run_goes_on_from_given_weights(run: Run, tmp_path: Path):
    first = run("trainer.max_epochs=1")
    still = run(f"output={tmp_path / 'b'}", f"init={first.weights}", "optimizer.learning_rate=1e-12")
    torch.testing.assert_close(weights_of(still), weights_of(first))
    with pytest.raises(TrainError, match="another network"):
        run(f"output={tmp_path / 'c'}", f"init={first.weights}", "network.head=[5]")


def test_a_resumed_run_takes_the_new_learning_rate(run: Run):
    before = weights_of(run("trainer.max_epochs=1", "optimizer.averaging=0"))
    after = run("resume=auto", "optimizer.averaging=0", "optimizer.learning_rate=1e-12")
    assert after.epochs == 2
    torch.testing.assert_close(weights_of(after), before)


def test_checkpoints_that_do_not_fit_are_refused(run: Run, tmp_path: Path):
    run("trainer.max_epochs=1")
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    with pytest.raises(TrainError, match="already holds a run"):
        run()
    with pytest.raises(TrainError, match="another network"):
        run("resume=auto", "network.head=[5]")
    with pytest.raises(TrainError, match="no checkpoint"):
        run(f"resume={tmp_path / 'absent.ckpt'}")
    with pytest.raises(TrainError, match=r"run with optimizer\.name=adamw"):
        run("resume=auto", "optimizer.name=sgd")
    run("resume=auto", "trainer.max_epochs=2")
    with pytest.raises(TrainError, match=r"of epoch 2, and trainer\.max_epochs is 1"):
        run("resume=auto", "trainer.max_epochs=1")
    assert run(f"resume={last}", dry_run=True).steps == 2
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(TrainError, match="not a whole checkpoint"):
        run("resume=auto")


def test_a_full_disk_keeps_the_checkpoint_before(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run("trainer.max_epochs=1")
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    before = last.read_bytes()

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("refinefuse_ros.training.callbacks.write_whole", full)
    with pytest.raises(TrainError, match=r"disk of .* is full"):
        run("resume=auto")
    assert last.read_bytes() == before


def test_a_diverged_run_is_not_kept(run: Run, tmp_path: Path):
    with pytest.raises(TrainError, match="no longer finite after epoch 1"):
        run("optimizer.learning_rate=1e38", "optimizer.warmup_steps=0", "optimizer.name=sgd")
    assert not (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()


def test_a_run_without_held_out_pairs_trains_too(run: Run):
    result = run("data.hold_out_every=0", "trainer.max_epochs=1")
    assert not any(name.startswith("val/") for name in result.metrics)


def test_held_out_pairs_that_are_too_small_for_the_metrics_are_left_out(
    run: Run, tmp_path: Path, write_pair: Callable[..., None]
):
    write_pair(tmp_path / "data", "dddd", size=(32, 44))
    result = run("data.crop=48", "loss.vif_weight=0.1", "trainer.max_epochs=1")
    assert not any(name.startswith("val/") for name in result.metrics)


@pytest.mark.parametrize("setting", ["accelerator=abacus", "devices=-1", "strategy=deepspeed"])
def test_a_device_that_is_not_there_is_refused(run: Run, setting: str):
    with pytest.raises(TrainError, match=r"check trainer\.accelerator"):
        run(f"trainer.{setting}")


def test_too_few_crops_for_a_batch_are_refused(run: Run):
    with pytest.raises(ConfigError, match=r"data\.batch is 9, but an epoch has 4 crops"):
        run("data.batch=9")
