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

"""Labels are read as they stand, or refused with the line and what is wrong in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from refinefuse_ros.evaluation.detection.labels import LabelError, read_labels

NAMES = ["person", "bicycle", "car"]


def write(folder: Path, **texts: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def test_boxes_are_corners_as_shares_of_the_picture(tmp_path: Path) -> None:
    folder = write(tmp_path, a="2 0.5 0.25 0.5 0.25\n\n0 0.9 0.9 0.202 0.2\n", b="")
    (folder / "notes.md").write_text("no labels")
    labels = read_labels(folder, NAMES)
    assert list(labels) == ["a", "b"]
    assert labels["a"].corners.tolist() == [
        pytest.approx([0.25, 0.125, 0.75, 0.375]),
        pytest.approx([0.799, 0.8, 1.0, 1.0]),  # rounded over the edge
    ]
    assert (labels["a"].classes.tolist(), labels["a"].scores.tolist()) == ([2, 0], [1.0, 1.0])
    assert len(labels["b"]) == 0


def test_numbers_are_of_the_labels_own_classes_where_these_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path, classes="car\nperson\n", a="1 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.1 0.1\n")
    labels = read_labels(folder, NAMES)
    assert (list(labels), labels["a"].classes.tolist()) == (["a"], [0, 2])
    write(tmp_path, classes="car\nlamp\n")
    with pytest.raises(
        LabelError, match=r"classes\.txt has the class lamp, .*; it knows 0 person, 1 bicycle, 2 car\.$"
    ):
        read_labels(folder, NAMES)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "3 0.5 0.5 0.1 0.1",
            "line 2 is of class 3, which the detector does not know; it knows 0 person, 1 bicycle, 2",
        ),
        ("-1 0.5 0.5 0.1 0.1", "line 2 is of class -1"),
        ("0.5 0.5 0.5 0.1 0.1", "line 2 is of class 0.5"),
        ("0 0.99 0.5 0.1 0.1", r"a box from \(0\.94, 0\.45\) to \(1\.04, 0\.55\), which is not inside the picture"),
        ("0 320 240 10 20", "give shares of its sides, not pixels"),
        ("0 0.5 0.5 0 0.1", "is a box from"),
        ("0 nan 0.5 0.1 0.1", "is a box from"),
        ("0 0.5 0.5 0.1", r"line 2 is '0 0\.5 0\.5 0\.1'; give class number"),
        ("person 0.5 0.5 0.1 0.1", "line 2 is 'person 0.5 0.5 0.1 0.1'"),
    ],
)
def test_what_is_no_object_is_refused_with_its_line(tmp_path: Path, line: str, sentence: str) -> None:
    folder = write(tmp_path, a=f"0 0.5 0.5 0.1 0.1\n{line}\n")
    with pytest.raises(LabelError, match=rf"a\.txt {sentence}" if sentence.startswith("line") else sentence) as refusal:
        read_labels(folder, NAMES)
    assert "a.txt line 2" in str(refusal.value)


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"holds no \.txt file"):
        read_labels(tmp_path, NAMES)
    with pytest.raises(LabelError, match="cannot be read: No such file"):
        read_labels(tmp_path / "nowhere", NAMES)
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(LabelError, match="is no text"):
        read_labels(tmp_path, NAMES)


def test_of_many_classes_a_few_are_named(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"knows 0 c0, 1 c1, 2 c2, 3 c3, 4 c4, 5 c5, \.\.\., 79 c79: give labels"):
        read_labels(write(tmp_path, a="80 0.5 0.5 0.1 0.1"), [f"c{index}" for index in range(80)])
