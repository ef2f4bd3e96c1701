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

"""refinefuse calibrate --time: the same offset out of videos and out of a recording, as a parameter to set."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from refinefuse_ros.commands.cli import main
from refinefuse_ros.image.sources import ImagePair
from refinefuse_ros.image.video import Mp4Writer
from refinefuse_ros.recordings.making import write_bag

RATE_HZ = 30.0
SECONDS = 6.0
Scene = Callable[..., np.ndarray]


@dataclass
class Pairs:
    """What the two cameras see at the same moments."""

    scene: Scene
    description: str = "wanderers"

    def __iter__(self) -> Iterator[ImagePair]:
        for index in range(round(SECONDS * RATE_HZ)):
            thermal, rgb = (self.scene(index / RATE_HZ, which) for which in (True, False))
            yield ImagePair(thermal, "mono8", cv2.cvtColor(rgb, cv2.COLOR_GRAY2BGR), 1 / RATE_HZ)


def write_videos(scene: Scene, folder: Path, begins_s: float) -> list[str]:
    """The thermal one begins later, so its clock is behind."""
    for name, start_s in (("thermal", begins_s), ("rgb", 0.0)):
        with Mp4Writer(folder / f"{name}.mp4", RATE_HZ) as writer:
            for index in range(round(SECONDS * RATE_HZ)):
                plane = scene(start_s + index / RATE_HZ, name == "thermal")
                writer.write(cv2.cvtColor(plane, cv2.COLOR_GRAY2BGR))
    return ["--thermal", str(folder / "thermal.mp4"), "--rgb", str(folder / "rgb.mp4")]


def test_videos_give_the_parameter(wanderers: Scene, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["calibrate", "--time", *write_videos(wanderers, tmp_path, 0.21)]) == 0
    name, _, value = capsys.readouterr().out.splitlines()[0].partition(": ")
    assert name == "sync.thermal_offset_ms"
    assert int(value) == pytest.approx(210, abs=10)


def test_a_recording_gives_it_by_its_stamps(wanderers: Scene, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_bag(Pairs(wanderers), tmp_path / "bag", thermal_offset_ms=-240.0)
    assert main(["calibrate", "--time", "--bag", str(tmp_path / "bag"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["offset_ms"] == pytest.approx(240, abs=10)
    assert 0 < printed["uncertainty_ms"] < 10


def test_clocks_of_another_epoch_are_named(wanderers: Scene, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_bag(Pairs(wanderers), tmp_path / "bag", thermal_offset_ms=-60_000.0)
    assert main(["calibrate", "--time", "--bag", str(tmp_path / "bag")]) == 1
    assert "stand +60.0 s from thermal's" in capsys.readouterr().err


def test_images_have_no_times(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["calibrate", "--time", "--thermal", str(tmp_path), "--rgb", str(tmp_path)]) == 1
    assert "has no times for its images" in capsys.readouterr().err
