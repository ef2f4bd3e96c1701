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

"""An alignment from points that a person has clicked in both pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from refinefuse_ros.alignment.camera import AlignmentError
from refinefuse_ros.alignment.models import MODELS, apply, fit

# The freest map that so many points fix with one to spare; from exactly its number on nothing could be checked.
_FREEST: Final = {3: "similarity", 4: "affine"}
_FEWEST: Final = 3


def read_points(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Points of a text file, a pair a line: thermal x, thermal y, RGB x, RGB y; what follows a # is a comment.

    Returns:
        The points in thermal and in RGB, (N, 2) each, pixel centres at whole numbers.

    Raises:
        AlignmentError: the file cannot be read, or a line holds something else.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AlignmentError(f"The points {path} cannot be read ({error}); check the path.") from error
    pairs = []
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].replace(",", " ").split()
        if not words:
            continue
        try:
            pair = [float(word) for word in words]
        except ValueError:
            pair = []
        if len(pair) != 4 or not np.isfinite(pair).all():
            raise AlignmentError(
                f"Line {number} of {path} is '{line.strip()}'; give four numbers: thermal x, y and RGB x, y."
            )
        pairs.append(pair)
    points = np.array(pairs, float).reshape(-1, 4)
    return points[:, :2], points[:, 2:]


def fit_points(thermal: np.ndarray, rgb: np.ndarray) -> tuple[np.ndarray, str, float]:
    """The map through points, (N, 2) each: its 3x3 matrix, its model, and the points' root mean square residual, px.

    Raises:
        AlignmentError: they are too few, or lie on a line.
    """
    if len(rgb) < _FEWEST:
        raise AlignmentError(f"{len(rgb)} pair(s) of points do not fix an alignment; give at least 5, far apart.")
    model = _FREEST.get(len(rgb), list(MODELS)[-1])
    matrix = fit(model, thermal, rgb, np.tile(np.eye(2), (len(rgb), 1, 1)))
    if matrix is None:
        raise AlignmentError("The points do not fix an alignment: they lie on a line; give some all over the picture.")
    misses = np.linalg.norm(apply(matrix, thermal) - rgb, axis=1)
    return matrix, model, float(np.sqrt((misses**2).mean()))
