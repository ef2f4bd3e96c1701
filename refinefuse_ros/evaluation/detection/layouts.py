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

"""The families of detectors that are known: what tells each by its shapes, how pictures go in, and how boxes come out.

| family | input | output of an H x W input |
|---|---|---|
| Ultralytics YOLO, 8 to 26 | RGB / 255, centred on grey | (1, 4 + classes, cells): centres, sizes, class scores |
| the same with built-in suppression | the same | (1, boxes, 6): corners, score, class |
| YOLOX | BGR, at the upper left on grey | (1, cells, 5 + classes): centres, sizes, objectness, class scores |
| FastestDet | BGR / 255, stretched | (1, 5 + classes, H / 16, W / 16): objectness, offsets, sizes, class scores |

`cells` are those of the grids at strides 8, 16 and 32, with 4 or 64 where a model has four of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from refinefuse_ros.evaluation.detection.boxes import Boxes
from refinefuse_ros.image.frame import ImageSize

_GREY: Final = 114
_STRIDES: Final = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32))
_FASTESTDET_STRIDE: Final = 16


@dataclass(frozen=True)
class Placed:
    """A picture as it lies in a detector's input.

    Attributes:
        pixels: (H, W, 3) uint8 BGR, of the input's size.
        scale: width and height of a picture's pixel there.
        offset: x and y of the picture's corner there.
    """

    pixels: np.ndarray
    scale: tuple[float, float]
    offset: tuple[float, float] = (0.0, 0.0)

    def back(self, corners: np.ndarray) -> np.ndarray:
        """Corners, (n, 4) in the input's pixels, in those of the picture."""
        return (corners - np.float32(self.offset * 2)) / np.float32(self.scale * 2)


@dataclass(frozen=True)
class Layout:
    """One family.

    Attributes:
        name: as a reader knows it.
        place: puts a picture, (H, W, 3) uint8 BGR, into an input of a size.
        is_rgb: the input's channels are RGB, not BGR.
        full_scale: what a level of 255 is in the input.
        decode: a picture's boxes, in the input's pixels, of the output without its first axis.
        least_score: below which its authors, too, leave boxes out when they measure AP.
        most_overlap: of two boxes of a class, IoU; None where the model itself suppresses the worse ones.
    """

    name: str
    place: Callable[[np.ndarray, ImageSize], Placed]
    is_rgb: bool
    full_scale: float
    decode: Callable[[np.ndarray], Boxes]
    least_score: float
    most_overlap: float | None


@dataclass(frozen=True)
class Recognised:
    """A detector's family and the number of its classes; None where the output does not tell it."""

    layout: Layout
    classes: int | None


def recognise(size: ImageSize, output: tuple[int | None, ...], is_decoded: bool) -> Recognised | None:
    """The family of a detector by its shapes; None for an unknown one.

    Args:
        size: of the input.
        output: the shape of its only output; None for what depends on the picture.
        is_decoded: whether a YOLOX model computes boxes itself, and not offsets and logarithms of sizes.
    """
    if output[:1] != (1,):
        return None
    match output[1:]:
        case (int(channels), int(height), int(width)) if channels > 5:
            if (width * _FASTESTDET_STRIDE, height * _FASTESTDET_STRIDE) == tuple(size):
                return Recognised(_FASTESTDET, channels - 5)
        case (int(channels), int(cells)) if channels > 4 and _strides(size, cells):
            return Recognised(_YOLO, channels - 4)
        case (int(cells), int(channels)) if channels > 5 and (strides := _strides(size, cells)):
            return Recognised(_yolox(None if is_decoded else (size, strides)), channels - 5)
        case (_, 6):
            return Recognised(_YOLO_SUPPRESSED, None)
    return None


def _strides(size: ImageSize, cells: int) -> tuple[int, ...] | None:
    """The strides whose grids have so many cells together."""
    for strides in _STRIDES:
        if sum((size.width // stride) * (size.height // stride) for stride in strides) == cells:
            return strides
    return None


def _centred(picture: np.ndarray, size: ImageSize) -> Placed:
    """As Ultralytics' LetterBox does."""
    height, width = picture.shape[:2]
    scale = min(size.height / height, size.width / width)
    small = round(width * scale), round(height * scale)
    left, top = (round((whole - part) / 2 - 0.1) for whole, part in zip(size, small, strict=True))
    return Placed(_on_grey(picture, small, size, left, top), (scale, scale), (float(left), float(top)))


def _at_the_corner(picture: np.ndarray, size: ImageSize) -> Placed:
    """As YOLOX's preproc does."""
    height, width = picture.shape[:2]
    scale = min(size.height / height, size.width / width)
    return Placed(_on_grey(picture, (int(width * scale), int(height * scale)), size, 0, 0), (scale, scale))


def _stretched(picture: np.ndarray, size: ImageSize) -> Placed:
    height, width = picture.shape[:2]
    return Placed(
        cv2.resize(picture, tuple(size), interpolation=cv2.INTER_LINEAR), (size.width / width, size.height / height)
    )


def _on_grey(picture: np.ndarray, small: tuple[int, int], size: ImageSize, left: int, top: int) -> np.ndarray:
    canvas = np.full((size.height, size.width, 3), _GREY, np.uint8)
    canvas[top : top + small[1], left : left + small[0]] = cv2.resize(picture, small, interpolation=cv2.INTER_LINEAR)
    return canvas


def _from_centres(centres: np.ndarray, sizes: np.ndarray, scores: np.ndarray) -> Boxes:
    """Boxes by their centres and sizes, (n, 2), with the best of their class scores, (n, classes)."""
    return Boxes.of(np.hstack([centres - sizes / 2, centres + sizes / 2]), scores.argmax(axis=1), scores.max(axis=1))


def _decode_yolo(output: np.ndarray) -> Boxes:
    rows = output.T
    return _from_centres(rows[:, :2], rows[:, 2:4], rows[:, 4:])


def _decode_suppressed(output: np.ndarray) -> Boxes:
    return Boxes.of(output[:, :4], np.rint(output[:, 5]), output[:, 4])


def _decode_fastestdet(output: np.ndarray) -> Boxes:
    _, rows, columns = output.shape
    objectness, x, y, width, height, *_ = output
    size = np.array([columns, rows]) * _FASTESTDET_STRIDE
    row, column = np.indices((rows, columns))
    centres = np.stack([np.tanh(x) + column, np.tanh(y) + row], axis=-1) * _FASTESTDET_STRIDE
    sizes = np.stack([_sigmoid(width), _sigmoid(height)], axis=-1) * size
    scores = np.maximum(objectness, 0.0) ** 0.6 * np.maximum(output[5:], 0.0) ** 0.4
    return _from_centres(centres.reshape(-1, 2), sizes.reshape(-1, 2), scores.reshape(len(scores), -1).T)


def _yolox(raw: tuple[ImageSize, tuple[int, ...]] | None) -> Layout:
    """`raw` is the input's size and the strides where the output has offsets and logarithms of sizes."""

    def decode(output: np.ndarray) -> Boxes:
        centres, sizes = output[:, :2], output[:, 2:4]
        if raw:
            corners, strides = (np.vstack(parts) for parts in zip(*_grids(*raw), strict=True))
            centres, sizes = (centres + corners) * strides, np.exp(sizes) * strides
        return _from_centres(centres, sizes, output[:, 4:5] * output[:, 5:])

    return Layout("YOLOX", _at_the_corner, False, 255.0, decode, least_score=0.01, most_overlap=0.65)


def _grids(size: ImageSize, strides: tuple[int, ...]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each stride the cells' x and y, (n, 2), and the stride as often, (n, 1)."""
    for stride in strides:
        row, column = np.indices((size.height // stride, size.width // stride))
        cells = np.stack([column, row], axis=-1).reshape(-1, 2)
        yield cells, np.full((len(cells), 1), stride)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-values))


_YOLO: Final = Layout("Ultralytics YOLO", _centred, True, 1.0, _decode_yolo, least_score=0.001, most_overlap=0.7)
_YOLO_SUPPRESSED: Final = Layout(
    "Ultralytics YOLO with built-in suppression",
    _centred,
    True,
    1.0,
    _decode_suppressed,
    least_score=0.001,
    most_overlap=None,
)
_FASTESTDET: Final = Layout(
    "FastestDet", _stretched, False, 1.0, _decode_fastestdet, least_score=0.05, most_overlap=0.45
)
