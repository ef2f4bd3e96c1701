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

"""Boxes in a picture, found or labelled."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Boxes:
    """Some boxes of one picture.

    Attributes:
        corners: (n, 4) float32, left, top, right and bottom: in pixels, or as shares of the picture where that is said.
        classes: (n,) int64, numbers of the detector's classes.
        scores: (n,) float32, 0 to 1; of labels 1.
    """

    corners: np.ndarray
    classes: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, corners: np.ndarray, classes: np.ndarray, scores: np.ndarray) -> Boxes:
        """Of anything that has these shapes, none at all included."""
        return cls(
            np.asarray(corners, np.float32).reshape(-1, 4),
            np.asarray(classes, np.int64).reshape(-1),
            np.asarray(scores, np.float32).reshape(-1),
        )

    def __len__(self) -> int:
        return len(self.classes)

    def chosen(self, which: np.ndarray) -> Boxes:
        """Those of some indices, or of a mask."""
        return Boxes(self.corners[which], self.classes[which], self.scores[which])

    def scaled(self, width: float, height: float) -> Boxes:
        """Shares of a picture in its pixels."""
        return Boxes(self.corners * np.float32([width, height, width, height]), self.classes, self.scores)


def suppress(boxes: Boxes, most_overlap: float, most: int) -> Boxes:
    """The best boxes, the best first; none that overlaps a better one of its class by more than `most_overlap`, IoU."""
    if not len(boxes):
        return boxes
    left, top, right, bottom = boxes.corners.T.astype(np.float64)
    # Classes lie side by side, so that boxes of different ones never meet.
    shift = boxes.classes * (2 * float(np.abs(boxes.corners).max()) + 1)
    rectangles = np.column_stack([left + shift, top, right - left, bottom - top])
    kept = cv2.dnn.NMSBoxes(rectangles.tolist(), boxes.scores.tolist(), 0.0, most_overlap)
    return boxes.chosen(np.asarray(kept, np.int64).reshape(-1)[:most])
