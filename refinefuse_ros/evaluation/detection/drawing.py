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

"""Boxes drawn into a picture: the labelled ones in white, the found ones in a colour by their class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from refinefuse_ros.evaluation.detection.boxes import Boxes

# Below this a box is drawn by no application either; the precision counts it.
LEAST_SHOWN_SCORE: Final = 0.3
_WHITE: Final = (255, 255, 255)
_BLACK: Final = (0, 0, 0)
# BGR, of about one lightness and far apart from each other.
_COLOURS: Final = ((80, 200, 255), (255, 190, 70), (120, 230, 110), (235, 130, 255), (110, 130, 255), (230, 230, 90))


def draw_boxes(picture: np.ndarray, labelled: Boxes, found: Boxes, names: Sequence[str]) -> np.ndarray:
    """A copy of a picture, (H, W, 3) uint8 BGR, with boxes in its pixels; the found ones with class and score."""
    drawn = picture.copy()
    width = max(1, round(picture.shape[1] / 640))
    for corners in labelled.corners:
        _rectangle(drawn, corners, _WHITE, width)
    for corners, kind, score in zip(found.corners, found.classes, found.scores, strict=True):
        if score < LEAST_SHOWN_SCORE:
            continue
        colour = _COLOURS[kind % len(_COLOURS)]
        _rectangle(drawn, corners, colour, width)
        place = int(corners[0]), max(int(corners[1]) - 3 * width, 10 * width)
        text = f"{names[kind]} {score:.2f}"
        for ink, thickness in ((_BLACK, 3 * width), (colour, width)):
            cv2.putText(drawn, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4 * width, ink, thickness, cv2.LINE_AA)
    return drawn


def _rectangle(image: np.ndarray, corners: np.ndarray, colour: tuple[int, int, int], width: int) -> None:
    left, top, right, bottom = np.rint(corners).astype(int).tolist()
    cv2.rectangle(image, (left, top), (right, bottom), _BLACK, width + 2)
    cv2.rectangle(image, (left, top), (right, bottom), colour, width)
