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

"""Average precision of boxes whose precision is known."""

from __future__ import annotations

import pytest

pytest.importorskip("pycocotools", reason="the extra detect is not installed")

from refinefuse_ros.errors import UserError
from refinefuse_ros.evaluation.detection.boxes import Boxes
from refinefuse_ros.evaluation.detection.scoring import ClassScore, Detection, score_boxes

NAMES = ["person", "bicycle", "car"]
ONE = pytest.approx(1.0)  # the last digit is rounded
HERE, THERE = (10, 10, 30, 30), (50, 50, 70, 90)


def labelled(*objects: tuple[tuple[float, ...], int]) -> Boxes:
    return found(*((corners, kind, 1.0) for corners, kind in objects))


def found(*boxes: tuple[tuple[float, ...], int, float]) -> Boxes:
    return Boxes.of(*([box[part] for box in boxes] for part in range(3)))


def test_what_is_found_exactly_has_a_precision_of_one_and_what_is_missed_none() -> None:
    truth = [labelled((HERE, 0), (THERE, 2)), labelled((HERE, 0))]
    score = score_boxes(truth, [found((HERE, 0, 0.9)), found((HERE, 0, 0.8))], NAMES)
    assert score.classes == {"person": ClassScore(2, ONE, ONE), "car": ClassScore(1, 0.0, 0.0)}
    assert (score.ap50, score.ap) == (pytest.approx(0.5), pytest.approx(0.5))


def test_half_of_the_objects_are_half_of_the_recall() -> None:
    truth = [labelled((HERE, 0)), labelled((HERE, 0))]
    score = score_boxes(truth, [found((HERE, 0, 0.9)), found()], NAMES)
    assert score.ap50 == pytest.approx(51 / 101)  # of COCO's 101 places of recall, those up to 0.5


def test_a_better_box_at_a_wrong_place_costs_half_of_the_precision() -> None:
    score = score_boxes([labelled((HERE, 0))], [found((THERE, 0, 0.9), (HERE, 0, 0.8))], NAMES)
    assert score.ap50 == pytest.approx(0.5)
    assert score_boxes([labelled((HERE, 0))], [found((THERE, 0, 0.7), (HERE, 0, 0.8))], NAMES).ap50 == ONE


def test_a_box_that_overlaps_by_seven_tenths_counts_at_half_of_the_overlaps() -> None:
    """Of IoU 0.7 or a bit more: found at 0.5, 0.55, 0.6, 0.65 and 0.7."""
    score = score_boxes([labelled(((0, 0, 100, 10), 0))], [found(((0, 0, 71, 10), 0, 0.9))], NAMES)
    assert (score.ap50, score.ap) == (ONE, pytest.approx(0.5))
    barely = score_boxes([labelled(((0, 0, 100, 10), 0))], [found(((0, 0, 52, 10), 0, 0.9))], NAMES)
    assert (barely.ap50, barely.ap) == (ONE, pytest.approx(0.1))


def test_boxes_of_a_class_that_is_not_labelled_cost_nothing() -> None:
    score = score_boxes([labelled((HERE, 0))], [found((HERE, 0, 0.5), (THERE, 1, 0.9))], NAMES)
    assert (score.ap50, list(score.classes)) == (ONE, ["person"])


def test_without_any_object_there_is_nothing_to_measure() -> None:
    with pytest.raises(UserError, match="No object is labelled"):
        score_boxes([labelled()], [found((HERE, 0, 0.5))], NAMES)


def test_the_rows_are_all_classes_then_each() -> None:
    truth = [labelled((HERE, 0), (THERE, 2))]
    scores = {
        "thermal": score_boxes(truth, [found((HERE, 0, 0.9))], NAMES),
        "nano": score_boxes(truth, [found((HERE, 0, 0.9), (THERE, 2, 0.9))], NAMES),
    }
    assert Detection("d.onnx", "YOLOX", "ab", 1, 2, scores).rows() == [
        ("all", 2, [(pytest.approx(0.5), pytest.approx(0.5)), (ONE, ONE)]),
        ("person", 1, [(ONE, ONE), (ONE, ONE)]),
        ("car", 1, [(0.0, 0.0), (ONE, ONE)]),
    ]
