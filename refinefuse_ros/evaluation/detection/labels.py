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

"""Labels as YOLO's tools write them: a text file a picture, a line an object."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from refinefuse_ros.errors import UserError
from refinefuse_ros.evaluation.detection.boxes import Boxes

CLASSES_FILE: Final = "classes.txt"
# Of the picture's side: labelling tools round.
_ROUNDING: Final = 0.005


class LabelError(UserError):
    """Labels that cannot be used."""


def read_labels(folder: Path, names: Sequence[str]) -> dict[str, Boxes]:
    """Read a folder's labels.

    Args:
        folder: holds for each picture a text file of its name: a line an object, class number, centre x and y, width
            and height as shares of the picture's sides. An empty file is a picture without objects. Where a classes.txt
            lies there, the numbers are of its lines, each the name of one of the detector's classes; else they are the
            detector's.
        names: the detector's classes.

    Returns:
        By the pictures' names without suffix, the boxes as shares of the picture's sides.

    Raises:
        LabelError: there is no label file, or one has a line that is no object, a class that the detector does not
            know, or a box outside of the picture.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".txt" and path.name != CLASSES_FILE)
        classes = _classes(folder / CLASSES_FILE, names)
        texts = {path: path.read_text(encoding="utf-8") for path in files}
    except OSError as error:
        raise LabelError(f"The labels in {folder} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise LabelError(f"A label file in {folder} is no text: {error}; give YOLO's text files.") from error
    if not files:
        raise LabelError(f"{folder} holds no .txt file; give a folder with a text file of labels for each picture.")
    return {path.stem: _read(path, text, classes, names) for path, text in texts.items()}


def _classes(path: Path, names: Sequence[str]) -> Sequence[int]:
    """The detector's class of each class number in the labels."""
    if not path.is_file():
        return range(len(names))
    own = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    for name in own:
        if name not in names:
            raise LabelError(
                f"{path} has the class {name}, which the detector does not know; it knows {_in_words(names)}."
            )
    return [names.index(name) for name in own]


def _read(path: Path, text: str, classes: Sequence[int], names: Sequence[str]) -> Boxes:
    rows = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    objects = [_object(f"{path} line {number}", words, classes, names) for number, words in rows]
    return Boxes.of([corners for corners, _ in objects], [kind for _, kind in objects], [1.0] * len(objects))


def _object(
    where: str, words: list[str], classes: Sequence[int], names: Sequence[str]
) -> tuple[tuple[float, ...], int]:
    try:
        kind, x, y, width, height = map(float, words)
    except ValueError as error:
        raise LabelError(
            f"{where} is {' '.join(words)!r}; give class number, centre x and y, width and height, as shares of the"
            " picture's sides."
        ) from error
    if not (kind.is_integer() and 0 <= kind < len(classes)):
        raise LabelError(
            f"{where} is of class {words[0]}, which the detector does not know; it knows {_in_words(names)}: give"
            f" labels with its numbers, or name theirs in a {CLASSES_FILE}."
        )
    corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    inside = all(-_ROUNDING <= corner <= 1 + _ROUNDING for corner in corners)
    if not (inside and width > 0 and height > 0 and all(map(math.isfinite, corners))):
        raise LabelError(
            f"{where} is a box from ({corners[0]:.3g}, {corners[1]:.3g}) to ({corners[2]:.3g}, {corners[3]:.3g}), which"
            " is not inside the picture, (0, 0) to (1, 1); give shares of its sides, not pixels."
        )
    return tuple(min(max(corner, 0.0), 1.0) for corner in corners), classes[int(kind)]


def _in_words(names: Sequence[str]) -> str:
    shown = [f"{index} {name}" for index, name in enumerate(names)]
    return ", ".join(shown if len(shown) <= 12 else [*shown[:6], "...", shown[-1]])
