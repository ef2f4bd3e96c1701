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

"""Average precision of found boxes against labelled ones, by COCO's own evaluation (the package pycocotools)."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from refinefuse_ros.errors import UserError
from refinefuse_ros.evaluation.detection.boxes import Boxes


@dataclass(frozen=True)
class ClassScore:
    """One class: labelled objects, AP at an overlap (IoU) of 0.5, and the mean AP at 0.5, 0.55, ... 0.95."""

    objects: int
    ap50: float
    ap: float


@dataclass(frozen=True)
class DetectionScore:
    """Average precision, 0 to 1, on one kind of picture.

    Attributes:
        ap50: means over the classes that are labelled.
        ap: likewise.
        classes: each of those by its name.
    """

    ap50: float
    ap: float
    classes: dict[str, ClassScore]


@dataclass(frozen=True)
class Detection:
    """What a detector finds in the sources and in the fused images.

    Attributes:
        detector: its file.
        family: its kind.
        sha256: of the file.
        pictures: labelled pairs.
        objects: labelled in them.
        scores: of thermal and RGB alone (THERMAL, RGB), and of each method by its label.
    """

    detector: str
    family: str
    sha256: str
    pictures: int
    objects: int
    scores: dict[str, DetectionScore]

    def rows(self) -> list[tuple[str, int, list[tuple[float, float]]]]:
        """For all classes together, then for each: its name, the objects, and AP50 and AP on each kind of picture."""
        first, *_ = self.scores.values()
        rows = [("all", self.objects, [(score.ap50, score.ap) for score in self.scores.values()])]
        for name, score in first.classes.items():
            of_class = [on.classes[name] for on in self.scores.values()]
            rows.append((name, score.objects, [(on.ap50, on.ap) for on in of_class]))
        return rows


def require_scoring() -> None:
    """Tell before any work is done whether precision can be measured.

    Raises:
        UserError: the package of the extra `detect` is not installed.
    """
    if find_spec("pycocotools") is None:
        raise UserError(
            "Measuring a detector needs pycocotools, which is not installed; install the extra detect, in the"
            ' repository by `pip install ".[detect]"`.'
        )


def score_boxes(labelled: Sequence[Boxes], found: Sequence[Boxes], names: Sequence[str]) -> DetectionScore:
    """Average precision over some pictures.

    Args:
        labelled, found: each picture's boxes, in its pixels, of numbered classes.
        names: of the classes.

    Raises:
        UserError: no picture has a labelled object.
    """
    counts = np.bincount(np.concatenate([boxes.classes for boxes in labelled]), minlength=len(names))
    present = np.flatnonzero(counts)
    if not present.size:
        raise UserError("No object is labelled in any of the pairs; give labels that have some.")
    precision = _precision(labelled, found, present.tolist())
    scores = {
        names[kind]: ClassScore(
            int(counts[kind]), float(precision[0, :, index].mean()), float(precision[..., index].mean())
        )
        for index, kind in enumerate(present)
    }
    means = (float(np.mean([getattr(score, name) for score in scores.values()])) for name in ("ap50", "ap"))
    return DetectionScore(*means, scores)


def _precision(labelled: Sequence[Boxes], found: Sequence[Boxes], classes: list[int]) -> np.ndarray:
    """By overlap (0.5 to 0.95), recall (0 to 1) and class."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth, results = COCO(), COCO()
        truth.dataset, results.dataset = (_dataset(boxes, classes) for boxes in (labelled, found))
        truth.createIndex()
        results.createIndex()
        evaluation = COCOeval(truth, results, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    # Of all areas, with as many boxes a picture as COCO looks at.
    return evaluation.eval["precision"][:, :, :, 0, -1]


def _dataset(pictures: Sequence[Boxes], classes: list[int]) -> dict[str, Any]:
    annotations = []
    for image, boxes in enumerate(pictures):
        for (left, top, right, bottom), kind, score in zip(
            boxes.corners.tolist(), boxes.classes.tolist(), boxes.scores.tolist(), strict=True
        ):
            width, height = right - left, bottom - top
            annotations.append(
                {
                    "id": len(annotations) + 1,  # 0 is taken for no match
                    "image_id": image,
                    "category_id": kind,
                    "bbox": [left, top, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                    "score": score,
                }
            )
    return {
        "images": [{"id": image} for image in range(len(pictures))],
        "annotations": annotations,
        "categories": [{"id": kind} for kind in classes],
    }
