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

"""`refinefuse calibrate` as it is typed: points in, a file and its picture out; wrong usage is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from refinefuse_ros.alignment.file import read_alignment, write_alignment
from refinefuse_ros.commands.cli import main
from refinefuse_ros.image.sources import ImagePair
from refinefuse_ros.recordings.making import write_bag
from tests.alignment.board_views import CIRCLES, Painter, in_rgb, poses, simulated_rig


class Pairs(list):
    """Pairs as a source of a recording."""

    description = "views of a board"


@pytest.fixture
def pair(tmp_path: Path, few_pairs) -> list[str]:
    only = next(iter(few_pairs(1)))
    cv2.imwrite(str(tmp_path / "t.png"), only.thermal)
    cv2.imwrite(str(tmp_path / "v.png"), cv2.resize(only.rgb, (128, 96)))
    return ["--thermal", str(tmp_path / "t.png"), "--rgb", str(tmp_path / "v.png")]


def test_clicked_points_become_a_file_a_picture_and_a_fused_image(tmp_path: Path, pair: list[str], capsys) -> None:
    corners = [(0, 0), (63, 0), (63, 47), (0, 47), (30, 20)]
    lines = [f"{x} {y} {x + 32} {y + 24}" for x, y in corners]
    (tmp_path / "points.txt").write_text("\n".join(lines))
    output = tmp_path / "alignment.yaml"
    assert main(["calibrate", *pair, "--points", str(tmp_path / "points.txt"), "--output", str(output), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["model"] == "homography"
    assert cv2.imread(result["picture"]).shape == (480, 1280, 3)
    alignment = read_alignment(output)
    np.testing.assert_allclose(alignment.matrix, [(1, 0, 32), (0, 1, 24), (0, 0, 1)], atol=1e-6)
    assert (alignment.thermal_size, alignment.rgb_size) == ((64, 48), (128, 96))
    assert alignment.made_by.startswith("refinefuse calibrate")
    fused = str(tmp_path / "fused.png")
    assert main(["fuse", *pair, "--output", fused, "--alignment", str(output)]) == 0
    visible = cv2.imread(str(tmp_path / "v.png")).astype(int)
    assert np.abs(cv2.imread(fused)[:, :30] - visible[:, :30]).max() <= 3
    assert np.abs(cv2.imread(fused)[40:60, 50:80] - visible[40:60, 50:80]).max() > 10


def test_a_board_becomes_a_calibrated_file_by_which_a_bag_is_fused(tmp_path: Path, pair: list[str], capsys) -> None:
    rig = simulated_rig()
    thermal, rgb = Painter(rig.thermal), Painter(rig.rgb)
    pairs = []
    for seed, pose in enumerate(poses(10, CIRCLES)):
        counts = thermal.paint(CIRCLES, pose, (120, 170, 90), seed=seed).astype(np.uint16) * 5 + 7000
        seen = rgb.paint(CIRCLES, in_rgb(rig, pose), seed=50 + seed)
        pairs.append(ImagePair(counts, "mono16", cv2.cvtColor(seen, cv2.COLOR_GRAY2BGR), 1.0))
    write_bag(Pairs(pairs), tmp_path / "bag")
    output = tmp_path / "rig.yaml"
    words = ["--target", "acircles", "--board", "4x11", "--spacing-m", "0.03", "--distance-m", "1"]
    bag = ["--bag", str(tmp_path / "bag")]
    assert main(["calibrate", *bag, *words, "--output", str(output), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["baseline_m"] == pytest.approx(np.linalg.norm(rig.translation), abs=1e-3)
    assert result["residual_px"] < 0.3
    assert cv2.imread(result["picture"]).shape == (480, 1280, 3)
    alignment = read_alignment(output)
    assert alignment.distance_m == 1.0
    assert alignment.pairs == result["pairs"] >= 8
    assert alignment.made_by.startswith("refinefuse calibrate")
    assert main(["calibrate", *bag, *words, "--output", str(output)]) == 0
    assert "the cameras stand 6.1 cm apart" in capsys.readouterr().out
    scored = ["--backend", "laplacian", "--workers", "1", "--json", "--alignment"]
    assert main(["evaluate", *bag, *scored, str(output)]) == 0
    # What the recorded CameraInfo says of the lenses stands in for what the file leaves out.
    write_alignment(output, replace(alignment, thermal=None, rgb=None))
    capsys.readouterr()
    assert main(["evaluate", *bag, *scored, str(output)]) == 0
    write_alignment(output, replace(alignment, thermal=None))
    assert main(["fuse", *pair, "--output", str(tmp_path / "fused.png"), "--alignment", str(output)]) == 1
    assert "says nothing of the thermal camera's lens" in capsys.readouterr().err


def test_a_board_that_is_not_seen_is_no_calibration(tmp_path: Path, pair: list[str], capsys) -> None:
    words = ["--target", "chessboard", "--board", "8x6", "--spacing-m", "0.04"]
    assert main(["calibrate", *pair, *words, "--output", str(tmp_path / "rig.yaml")]) == 1
    assert "The thermal camera saw the whole board (8x6 points) at 0 different" in capsys.readouterr().err
    assert not (tmp_path / "rig.yaml").exists()


def test_pictures_without_common_structure_are_refused_and_nothing_is_written(
    tmp_path: Path, pair: list[str], capsys
) -> None:
    output = tmp_path / "alignment.yaml"
    assert main(["calibrate", *pair, "--output", str(output)]) == 1
    assert "No alignment was found" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give --output alignment.yaml"),
        (["--check", "a.yaml", "--output", "b.yaml"], "--output is not for --check"),
        (["--output", "a.yaml", "--rgb-topic", "/rgb"], "--rgb-topic is not for files"),
        (["--output", "a.yaml", "--thermal-crop", "0 0 0 -2"], "--thermal-crop is not for files"),
        (["--output", "a.yaml", "--board", "8x6"], "--board is not for a calibration without --target"),
        (["--output", "a.yaml", "--target", "circles"], "How many points the board has must be said"),
        (["--output", "a.yaml", "--target", "circles", "--board", "8 6"], "--board is '8 6'"),
        (["--output", "a.yaml", "--target", "circles", "--board", "8x6"], "give --spacing-m, in metres"),
        (["--target", "circles", "--time"], "--target is not for --time"),
    ],
)
def test_wrong_usage_is_said(pair: list[str], arguments: list[str], said: str, capsys) -> None:
    assert main(["calibrate", *pair, *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_recording_serves_as_files_do(tmp_path: Path, few_pairs, capsys) -> None:
    write_bag(few_pairs(3), tmp_path / "bag")
    (tmp_path / "points.txt").write_text("\n".join(f"{x} {y} {x} {y}" for x, y in ((0, 0), (63, 0), (63, 47), (0, 47))))
    words = ["--points", str(tmp_path / "points.txt"), "--output", str(tmp_path / "alignment.yaml"), "--json"]
    assert main(["calibrate", "--bag", str(tmp_path / "bag"), *words]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "affine"
    assert read_alignment(tmp_path / "alignment.yaml").rgb_size == (64, 48)
    evaluated = ["--alignment", str(tmp_path / "alignment.yaml"), "--backend", "laplacian", "--workers", "1", "--json"]
    assert main(["evaluate", "--bag", str(tmp_path / "bag"), *evaluated]) == 0


def test_a_recording_s_images_are_taken_as_the_node_would(tmp_path: Path, few_pairs, capsys) -> None:
    write_bag(few_pairs(2), tmp_path / "bag")
    corners = [(0, 0), (43, 0), (43, 45), (0, 45)]
    (tmp_path / "points.txt").write_text("\n".join(f"{x} {y} {x + 1} {y + 1}" for x, y in corners))
    words = ["--bag", str(tmp_path / "bag"), "--points", str(tmp_path / "points.txt")]
    output = tmp_path / "alignment.yaml"
    views = ["--thermal-crop", "0 0 0 -2", "--rgb-crop", "8 4 40 36", "--rgb-rotate", "90"]
    assert main(["calibrate", *words, *views, "--output", str(output)]) == 0
    alignment = read_alignment(output)
    assert (alignment.thermal_size, alignment.rgb_size) == ((64, 46), (36, 40))
    scored = ["--backend", "laplacian", "--workers", "1", "--json"]
    capsys.readouterr()
    assert main(["evaluate", "--bag", str(tmp_path / "bag"), "--thermal-crop", "0 0 0 -2", *scored]) == 0
    json.loads(capsys.readouterr().out)
    for wrong, said in (
        (["--thermal-crop", "0 0 900 900"], "image of 64x48 has no part of 900x900"),
        (["--rgb-crop", "left"], "'left' is no part of an image"),
        (["--rgb-rotate", "45"], "rgb.rotate cannot be 45"),
    ):
        assert main(["calibrate", *words, *wrong, "--output", str(tmp_path / "other.yaml")]) != 0
        assert said in capsys.readouterr().err
    assert not (tmp_path / "other.yaml").exists()
