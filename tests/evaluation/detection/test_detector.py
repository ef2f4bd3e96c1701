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

"""Each family of detectors finds its boxes in the picture's pixels; what is of no known family is refused by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from refinefuse_ros.evaluation.detection.boxes import Boxes, suppress
from refinefuse_ros.evaluation.detection.detector import Detector, DetectorError

CELLS = 8 * 8 + 4 * 4 + 2 * 2  # of 64x64
NAMES = "{0: 'person', 1: 'car'}"
Write = Callable[..., Path]


def yolo(*rows: tuple[float, ...], cells: int = CELLS) -> np.ndarray:
    """Centre x, y, width, height and class scores of the first cells, all others nothing."""
    output = np.zeros((1, 6, cells))
    output[0, :, : len(rows)] = np.array(rows).T
    return output


def square(level: tuple[int, int, int] = (50, 100, 200), size: tuple[int, int] = (64, 64)) -> np.ndarray:
    return np.full((*size, 3), level, np.uint8)


def described(boxes: Boxes) -> list[tuple]:
    return [
        (*np.round(corners, 3).tolist(), int(kind), round(float(score), 4))
        for corners, kind, score in zip(boxes.corners, boxes.classes, boxes.scores, strict=True)
    ]


def test_an_ultralytics_model_gives_centres_and_sizes(write_detector: Write) -> None:
    output = yolo((20, 30, 10, 8, 0.2, 0.9), (40, 40, 6, 6, 0.5, 0.0), (10, 10, 6, 6, 0.0005, 0.0))
    detector = Detector(write_detector(output, names=NAMES))
    assert (detector.family, detector.names) == ("Ultralytics YOLO", ["person", "car"])
    assert described(detector.find(square())) == [(15, 26, 25, 34, 1, 0.9), (37, 37, 43, 43, 0, 0.5)]


def test_a_wide_picture_lies_in_the_middle_of_an_ultralytics_input(write_detector: Write) -> None:
    """Of 128x64 pixels: half as large, and 16 rows of grey above and below."""
    detector = Detector(write_detector(yolo((32, 32, 64, 32, 0.9, 0), (16, 20, 8, 4, 0.8, 0)), names=NAMES))
    assert described(detector.find(square(size=(64, 128)))) == [(0, 0, 128, 64, 0, 0.9), (24, 4, 40, 12, 0, 0.8)]


def test_ultralytics_models_see_rgb_from_0_to_1(write_detector: Write) -> None:
    seen = yolo((0, 0, 0, 0, 1.0, 0))
    detector = Detector(write_detector(yolo((20, 20, 8, 8, 0, 0)), seen=seen, names=NAMES))
    assert detector.find(square()).scores == pytest.approx([200 / 255], rel=1e-4)


def test_boxes_are_cut_to_the_picture_and_empty_ones_left_out(write_detector: Write) -> None:
    detector = Detector(
        write_detector(yolo((60, 4, 20, 20, 0.9, 0), (99, 99, 4, 4, 0.8, 0), (9, 9, 0, 4, 0.7, 0)), names=NAMES)
    )
    assert described(detector.find(square())) == [(50, 0, 64, 14, 0, 0.9)]


def test_an_input_of_any_size_has_the_one_that_the_metadata_says(write_detector: Write) -> None:
    output = yolo((16, 16, 32, 32, 0.9, 0), cells=(12 * 8 + 6 * 4 + 3 * 2))
    path = write_detector(output, size=("height", "width"), names=NAMES, imgsz="[96, 64]", task="detect")
    assert described(Detector(path).find(square(size=(192, 128)))) == [(0, 0, 64, 64, 0, 0.9)]


def test_a_model_with_built_in_suppression_gives_corners(write_detector: Write) -> None:
    output = np.zeros((1, 300, 6))
    output[0, :3] = [(10, 12, 20, 30, 0.6, 1), (11, 12, 20, 30, 0.7, 1), (5, 5, 9, 9, 0.3, 2)]
    detector = Detector(write_detector(output, names=NAMES))
    assert detector.family == "Ultralytics YOLO with built-in suppression"
    # The last is of a class that it does not have, and the second is not suppressed again.
    assert described(detector.find(square())) == [(11, 12, 20, 30, 1, 0.7), (10, 12, 20, 30, 1, 0.6)]


def yolox(*rows: tuple[int, tuple[float, ...]]) -> np.ndarray:
    output = np.full((1, CELLS, 7), 0.0)
    for cell, values in rows:
        output[0, cell] = values
    return output


def test_yolox_gives_offsets_in_its_cells(write_detector: Write) -> None:
    """The 11th cell of stride 8 is column 2 of row 1; the 6th of stride 16 column 1 of row 1."""
    wide, high = math.log(2), math.log(3)
    output = yolox((10, (0.5, 0.25, wide, high, 0.5, 0.2, 0.8)), (64 + 5, (0, 0, 0, 0, 0.9, 1.0, 0)))
    detector = Detector(write_detector(output))
    assert (detector.family, detector.names) == ("YOLOX", ["class 0", "class 1"])
    assert described(detector.find(square())) == [(8, 8, 24, 24, 0, 0.9), (12, 0, 28, 22, 1, 0.4)]


def test_yolox_that_decodes_gives_centres(write_detector: Write) -> None:
    output = yolox((10, (20, 30, 10, 8, 0.5, 0.2, 0.8)))
    assert described(Detector(write_detector(output, through_exp=True)).find(square())) == [(15, 26, 25, 34, 1, 0.4)]


def test_a_wide_picture_lies_at_the_upper_left_of_a_yolox_input_in_bgr_from_0_to_255(write_detector: Write) -> None:
    output = yolox((0, (0, 0, math.log(8), math.log(4), 1.0, 0.0, 0)))
    output[0, 0, :2] = (4, 2)
    seen = yolox((0, (0, 0, 0, 0, 0, 0.002, 0)))
    detector = Detector(write_detector(output, seen=seen))
    ((*corners, _, score),) = described(detector.find(square(size=(64, 128))))
    assert corners == [0, 0, 128, 64]
    assert score == pytest.approx(0.002 * (50 + 114) / 2, rel=1e-3)


def fastestdet(x: float, y: float, width: float, height: float, objectness: float, score: float) -> np.ndarray:
    output = np.zeros((1, 7, 4, 4))
    output[0, :, 1, 2] = (objectness, x, y, width, height, 0.0, score)
    return output


def test_fastestdet_gives_offsets_in_a_grid_and_shares_of_a_stretched_picture(write_detector: Write) -> None:
    """The cell is column 2 of row 1, of 4x4; the box has a half and a quarter of the sides."""
    quarter = math.log(1 / 3)
    detector = Detector(write_detector(fastestdet(math.atanh(0.5), 0.0, 0.0, quarter, 0.5, 0.25)))
    assert detector.family == "FastestDet"
    expected = (2.5 / 4 - 1 / 4) * 256, (1 / 4 - 1 / 8) * 128, (2.5 / 4 + 1 / 4) * 256, (1 / 4 + 1 / 8) * 128
    ((*corners, kind, score),) = described(detector.find(square(size=(128, 256))))
    assert corners == pytest.approx(expected, abs=1e-3)
    assert (kind, score) == (1, pytest.approx(0.5**0.6 * 0.25**0.4, abs=1e-4))


def test_fastestdet_sees_bgr_from_0_to_1(write_detector: Write) -> None:
    nothing, seen = fastestdet(0, 0, 0, 0, 1.0, 0.0), fastestdet(0, 0, 0, 0, 0.0, 1.0)
    detector = Detector(write_detector(nothing, seen=seen))
    assert detector.find(square()).scores == pytest.approx([(50 / 255) ** 0.4], rel=1e-4)


def test_eighty_classes_without_names_are_those_of_coco(write_detector: Write) -> None:
    names = Detector(write_detector(np.zeros((1, 84, CELLS)))).names
    assert (len(names), names[0], names[2], names[79]) == (80, "person", "car", "toothbrush")


@pytest.mark.parametrize(
    ("outputs", "options", "sentence"),
    [
        (
            [np.zeros((1, 3 * CELLS, 9))],
            {},
            r"has input images\[\?,3,64,64\] f32 and output output0\[1,252,9\] f32; known are",
        ),
        ([np.zeros((1, 300, 9))], {}, r"output output0\[1,300,9\]"),
        (
            [np.zeros((1, 6, CELLS)), np.zeros((1, 32, 16, 16))],
            {},
            r"output output0\[1,6,84\] f32, output1\[1,32,16,16\]",
        ),
        ([np.zeros((1, 6, CELLS))], {"channels": 1}, r"has input images\[\?,1,64,64\]"),
        (
            [np.zeros((1, 6, CELLS))],
            {"inputs": ("images", "sizes")},
            r"has input images\[.*\] f32, sizes\[.*\] f32 and output",
        ),
        ([np.zeros((1, 6, CELLS))], {"kind": "UINT8"}, r"has input images\[\?,3,64,64\] u8 and"),
        ([np.zeros((1, 1000))], {}, r"output output0\[1,1000\]"),
        ([np.zeros((2, 6, CELLS))], {}, r"output output0\[2,6,84\]"),
        ([np.zeros((1, 7, 8, 8))], {}, r"output output0\[1,7,8,8\]"),
        ([np.zeros((1, 6, CELLS))], {"task": "obb"}, "is for the task obb; give one that was exported for detect"),
    ],
)
def test_what_is_of_no_known_family_is_refused_with_what_was_found(
    write_detector: Write, outputs: list[np.ndarray], options: dict, sentence: str
) -> None:
    with pytest.raises(DetectorError, match=sentence) as refusal:
        Detector(write_detector(*outputs, **options))
    assert "\n" not in str(refusal.value)


def test_what_is_no_onnx_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "detector.onnx").write_bytes(b"nothing")
    with pytest.raises(DetectorError, match=r"detector\.onnx is not a readable ONNX file"):
        Detector(tmp_path / "detector.onnx")
    with pytest.raises(DetectorError, match=r"absent\.onnx does not exist"):
        Detector(tmp_path / "absent.onnx")


def test_of_boxes_that_overlap_the_best_of_each_class_is_kept() -> None:
    corners = [(0, 0, 10, 10), (1, 0, 11, 10), (0, 0, 10, 10), (0, 6, 10, 16), (30, 30, 40, 40)]
    boxes = Boxes.of(corners, [0, 0, 1, 0, 0], [0.8, 0.9, 0.7, 0.6, 0.5])
    assert described(suppress(boxes, 0.5, 100)) == [
        (1, 0, 11, 10, 0, 0.9),
        (0, 0, 10, 10, 1, 0.7),
        (0, 6, 10, 16, 0, 0.6),
        (30, 30, 40, 40, 0, 0.5),
    ]
    assert len(suppress(boxes, 0.9, 100)) == 5
    assert len(suppress(boxes, 0.5, 2)) == 2
    assert len(suppress(Boxes.of([], [], []), 0.5, 2)) == 0
