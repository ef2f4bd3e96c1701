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

"""How files are fused by what the node's parameters would say of the thermal range."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from refinefuse_ros.commands.cli import main


@pytest.fixture
def sources(tmp_path: Path, few_pairs) -> list[str]:
    """A ramp of 7000 to 7630 counts before a grey picture."""
    ramp = np.tile(np.arange(7000, 7640, 10, dtype=np.uint16), (48, 1))
    cv2.imwrite(str(tmp_path / "t.png"), ramp)
    cv2.imwrite(str(tmp_path / "v.png"), np.full((48, 64, 3), 90, np.uint8))
    return ["--thermal", str(tmp_path / "t.png"), "--rgb", str(tmp_path / "v.png")]


def fused(sources: list[str], folder: Path, *words: str) -> np.ndarray:
    output = folder / "fused.png"
    words = ("--backend", "laplacian", "--style", "grey", *words)
    assert main(["fuse", *sources, "--output", str(output), *words]) == 0
    return cv2.imread(str(output), cv2.IMREAD_GRAYSCALE).astype(int)


def test_a_fixed_range_shows_what_lies_outside_of_it_flat(sources: list[str], tmp_path: Path) -> None:
    follows = fused(sources, tmp_path)
    fixed = fused(sources, tmp_path, "--normalization", "fixed", "--fixed", "7300", "7940")
    assert np.ptp(follows[24, 2:22]) > 20
    assert np.ptp(fixed[24, 2:22]) < 10  # all of it is black
    narrow = fused(sources, tmp_path, "--percentiles", "50", "99")
    assert np.ptp(narrow[24, 2:22]) < 10


def test_counts_whose_kelvin_are_known_do_not_stretch_a_narrow_scene(sources: list[str], tmp_path: Path) -> None:
    assert np.ptp(fused(sources, tmp_path)) > np.ptp(fused(sources, tmp_path, "--min-span", "5000")) + 20
    lepton = fused(sources, tmp_path, "--thermal-camera", "lepton", "--min-span", "50")
    np.testing.assert_array_equal(lepton, fused(sources, tmp_path, "--thermal-scale", "0.01", "--min-span", "50"))


def test_a_black_hot_picture_is_inverted(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "t.png"), np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1)))
    cv2.imwrite(str(tmp_path / "v.png"), np.full((48, 64, 3), 90, np.uint8))
    sources = ["--thermal", str(tmp_path / "t.png"), "--rgb", str(tmp_path / "v.png")]
    inverted = fused(sources, tmp_path, "--thermal-polarity", "black_hot")
    assert fused(sources, tmp_path)[24, 60] > inverted[24, 60] + 20


@pytest.mark.parametrize("verb", ["fuse", "evaluate"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--fixed", "1", "2"], "--fixed says nothing without --normalization fixed"),
        (["--percentiles", "99", "1"], "percentiles 99.0 and 1.0 are no range"),
        (["--thermal-camera", "tau", "--thermal-scale", "0.1"], "both say what a count is"),
    ],
)
def test_what_contradicts_itself_is_refused(verb: str, words: list[str], said: str, sources, tmp_path, capsys) -> None:
    output = ["--output", str(tmp_path / "fused.png")] if verb == "fuse" else []
    assert main([verb, *sources, *output, *words]) == 2
    assert said in capsys.readouterr().err
