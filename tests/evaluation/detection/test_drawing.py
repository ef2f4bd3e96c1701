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

"""Labels are drawn in white, boxes in a colour, and those that are too unsure not at all."""

from __future__ import annotations

import numpy as np

from refinefuse_ros.evaluation.detection.boxes import Boxes
from refinefuse_ros.evaluation.detection.drawing import draw_boxes

NOTHING = Boxes.of([], [], [])


def test_only_the_outlines_of_labels_are_painted() -> None:
    picture = np.full((100, 100, 3), 90, np.uint8)
    drawn = draw_boxes(picture, Boxes.of([(20, 20, 60, 80)], [0], [1.0]), NOTHING, ["person"])
    assert (picture == 90).all()
    assert (drawn[20, 20:61] == 255).all()
    assert (drawn[30:70, 30:50] == 90).all()


def test_found_boxes_have_a_colour_and_must_be_sure() -> None:
    picture = np.full((100, 100, 3), 90, np.uint8)
    box = [(20, 40, 60, 80)]
    assert (draw_boxes(picture, NOTHING, Boxes.of(box, [0], [0.29]), ["person"]) == 90).all()
    first, second = (draw_boxes(picture, NOTHING, Boxes.of(box, [kind], [0.3]), ["person", "car"]) for kind in (0, 1))
    assert len({tuple(image[80, 40].tolist()) for image in (picture, first, second)}) == 3
    assert (first[25:38, 20:50] != 90).any()  # the name
