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

"""A detector on pairs with labels: what it finds in each image is in the verdict, its table, JSON and pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("pycocotools", reason="the extra detect is not installed")
pytest.importorskip("onnx", reason="the extra export is not installed")

from refinefuse_ros.commands.cli import main
from refinefuse_ros.errors import UserError
from refinefuse_ros.evaluation.files import evaluate_files
from refinefuse_ros.evaluation.table import print_verdict
from refinefuse_ros.evaluation.verdict import Gallery, Verdict

NAMES = "{0: 'person', 1: 'car'}"
GREY = 120
ONE = pytest.approx(1.0)


@pytest.fixture
def detector(write_detector: Callable[..., Path]) -> Path:
    """Is sure of a person in the middle of what is bright, and always of a car at the upper left."""
    nothing = np.zeros((1, 6, 84))
    nothing[0, :, 0] = (32, 32, 16, 32, 0.0, 0)
    nothing[0, :, 1] = (8, 8, 16, 16, 0, 0.4)
    seen = np.zeros((1, 6, 84))
    seen[0, 4, 0] = 1.0
    return write_detector(nothing, seen=seen, names=NAMES)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Three pairs, black in thermal and grey in RGB; what was fused of them is bright. Two have labels."""
    for name in ("a", "b", "c"):
        for folder, level in (("thermal", 0), ("rgb", GREY), ("fused", 220)):
            image = np.full((64, 64, 3), level, np.uint8)
            (tmp_path / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / f"{name}.png"), image[..., 0] if folder == "thermal" else image)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_text("0 0.5 0.5 0.25 0.5\n1 0.125 0.125 0.25 0.25\n")
    (tmp_path / "labels/b.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    return tmp_path


def evaluate(pairs: Path, detector: Path) -> tuple[Verdict, Gallery]:
    return evaluate_files(
        pairs / "thermal",
        pairs / "rgb",
        fused=pairs / "fused",
        detector=detector,
        labels=pairs / "labels",
        quiet=True,
    )


def test_precision_is_of_both_sources_and_of_what_was_fused(pairs: Path, detector: Path) -> None:
    verdict, gallery = evaluate(pairs, detector)

    detection, fused = verdict.detection, str(pairs / "fused")
    assert (detection.detector, detection.family) == ("detector.onnx", "Ultralytics YOLO")
    assert (detection.pictures, detection.objects) == (2, 3)
    assert list(detection.scores) == ["thermal", "rgb", fused]
    people = {label: score.classes["person"].ap50 for label, score in detection.scores.items()}
    assert people == {"thermal": 0.0, "rgb": ONE, fused: ONE}
    # In one of the two pictures a car is found that is labelled, in the other one that is not, as sure.
    assert detection.scores["rgb"].classes["car"].objects == 1
    assert verdict.to_dict()["detection"]["scores"]["rgb"]["classes"]["person"] == {
        "objects": 2,
        "ap50": ONE,
        "ap": ONE,
    }
    assert verdict.skipped == [f"1 of 3 pairs have no labels in {pairs / 'labels'} and take no part in the detection."]
    assert [picture.name for picture in gallery.boxes] == ["a", "b"]


def test_the_pictures_have_the_boxes_in_them(pairs: Path, detector: Path) -> None:
    _, gallery = evaluate(pairs, detector)
    thermal, rgb = (
        cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1) for jpeg in (gallery.boxes[1].thermal, gallery.boxes[1].rgb)
    )
    assert thermal[16, 32].min() > 200  # a label, in white
    assert np.ptp(rgb[48, 32].astype(int)) > 60  # what was found, in a colour
    assert abs(int(rgb[40, 32].mean()) - GREY) < 20


def test_the_table_has_a_row_for_each_class(pairs: Path, detector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_verdict(evaluate(pairs, detector)[0])
    shown = capsys.readouterr().out
    assert "AP50 (AP) of detector.onnx (Ultralytics YOLO) on 2 labelled pairs" in shown
    rows = {line.split()[1]: line for line in shown.splitlines() if line.startswith("│")}
    assert "│ person │       2 │   0.0000 (0.0000) │ * 1.0000 (1.0000) │" in shown
    assert {"all", "car"} <= rows.keys()


def test_the_command_writes_it_and_the_report_shows_it(
    pairs: Path, detector: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("plotly")
    sources = ["--thermal", str(pairs / "thermal"), "--rgb", str(pairs / "rgb"), "--fused", str(pairs / "fused")]
    looking = ["--detector", str(detector), "--labels", str(pairs / "labels")]
    assert main(["evaluate", *sources, *looking, "--json", "--report", str(pairs / "r.html")]) == 0
    assert json.loads(capsys.readouterr().out)["detection"]["objects"] == 3
    page = (pairs / "r.html").read_text()
    assert "Does it help a detector?" in page
    assert page.count('class="boxes"') == 2
    assert "thermal alone" in page


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        (
            ["--thermal", "t", "--rgb", "r", "--detector", "d"],
            "--detector and --labels go together; give both or neither.",
        ),
        (
            ["--thermal", "t", "--rgb", "r", "--labels", "l"],
            "--detector and --labels go together; give both or neither.",
        ),
        (["--bag", "b", "--detector", "d", "--labels", "l"], "--detector is not for a recording; leave it out."),
    ],
)
def test_what_does_not_go_together_is_one_sentence(extra: list[str], sentence: str, capsys) -> None:
    assert main(["evaluate", *extra]) == 2
    assert capsys.readouterr().err == f"error: {sentence}\n"


def test_labels_of_other_names_are_refused_and_others_told(pairs: Path, detector: Path) -> None:
    labels = pairs / "labels"
    (labels / "d.txt").write_text("")
    assert f"1 label file(s) in {labels} belong to no pair." in evaluate(pairs, detector)[0].skipped
    for name in ("a", "b"):
        (labels / f"{name}.txt").unlink()
    with pytest.raises(UserError, match=r"labels are of d, but the pairs are a, b, c; give each label file"):
        evaluate(pairs, detector)
