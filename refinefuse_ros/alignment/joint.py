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

"""The map under which all blocks of thermal and RGB together are most alike.

A block that matches nowhere for certain (the stairs of a flight, the edge of a wall) still says where it is not; so
the blocks' likenesses are summed and no block is asked for its own place. The sum is climbed by Newton's steps, each
of which is a fit of where the blocks want to be, weighted by how sharply each one's likeness falls off.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from refinefuse_ros.alignment.matching import Likeness, parabola
from refinefuse_ros.alignment.models import MODELS, apply, fit

_MOST_STEPS: Final = 15
_MOST_STEP_PX: Final = 1.0
_STANDS_STILL_PX: Final = 0.01
# In parts of the middle block's sharpest direction: what a flat likeness is taken to know, so that a step stays small.
_LEAST_SHARPNESS: Final = 0.05
_LEAST_WITHIN_REACH: Final = 5  # blocks; a homography is told by four
_FOLDS: Final = 4
# Blocks overlap by half in each direction: four of them are one observation.
_PER_OBSERVATION: Final = 4
_PARABOLA: Final = parabola(1)


def stiffest_good(likeness: Likeness, start: np.ndarray, base: np.ndarray) -> tuple[str, np.ndarray]:
    """The stiffest map that predicts as well as the best one, and its model, of `MODELS`.

    How alike blocks are that it has not seen, by frames that it has not seen, may be below that of the best model by
    one standard error of the difference.

    Args:
        likeness: of blocks placed by about `start`.
        start: 3x3, from which all models climb.
        base: 3x3, as of `models.fit`.
    """
    unseen = {model: _of_unseen(model, likeness, start, base) for model in MODELS}
    best = max(unseen.values(), key=lambda values: float(values.mean()))
    model = next(model for model, values in unseen.items() if _as_good(values, best))
    return model, most_alike(model, likeness, start, base)


def _as_good(values: np.ndarray, best: np.ndarray) -> bool:
    lacking = best - values
    error = float(lacking.std()) * np.sqrt(_PER_OBSERVATION / len(lacking))
    return float(lacking.mean()) <= error


def _of_unseen(model: str, likeness: Likeness, start: np.ndarray, base: np.ndarray) -> np.ndarray:
    """How alike each block is where a fit puts it that had other blocks and the other half of the frames, (N,)."""
    fold = np.arange(len(likeness.rgb)) % _FOLDS
    found = np.zeros(len(fold))
    for half in (0, 1):
        for left_out in range(_FOLDS):
            others, own = fold != left_out, fold == left_out
            seen = Likeness(likeness.thermal[others], likeness.rgb[others], likeness.scores[half : half + 1, others])
            matrix = most_alike(model, seen, start, base)
            moved = apply(matrix, likeness.thermal[own]) - likeness.rgb[own]
            found[own] += _around(likeness.scores[1 - half, own], moved)[0] / 2
    return found


def most_alike(model: str, likeness: Likeness, start: np.ndarray, base: np.ndarray) -> np.ndarray:
    """The 3x3 matrix of a model, from `start` upwards; as far as it came where too few blocks stay within reach."""
    scores = likeness.scores.mean(axis=0)
    matrix = start
    for _ in range(_MOST_STEPS):
        placed = apply(matrix, likeness.thermal)
        _, slopes, bends, within = _around(scores, placed - likeness.rgb)
        if within.sum() < _LEAST_WITHIN_REACH:
            return matrix
        sharpness, directions = np.linalg.eigh(-bends)
        common = max(float(np.median(sharpness[:, 1])), 1e-9)
        # Where it bends upwards, or hardly at all, the parabola's top is nowhere near.
        sharpness = np.maximum(sharpness / common, 0) + _LEAST_SHARPNESS
        along = np.einsum("nij,ni->nj", directions, slopes) / (common * sharpness)
        step = np.einsum("nij,nj->ni", directions, along).clip(-_MOST_STEP_PX, _MOST_STEP_PX)
        information = np.einsum("nij,nj,nkj->nik", directions, sharpness, directions)
        fitted = fit(model, likeness.thermal[within], (placed + step)[within], information[within], base)
        if fitted is None:
            return matrix
        moved = np.abs(apply(fitted, likeness.thermal) - placed).max()
        matrix = fitted
        if moved < _STANDS_STILL_PX:
            break
    return matrix


def _around(scores: np.ndarray, moved: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The parabola through the 3x3 scores nearest to where each block is moved.

    Args:
        scores: (N, side, side).
        moved: (N, 2), pixels.

    Returns:
        Its value there (N,), which is 0 for a block that is moved out of reach; its slope (N, 2); its second
        derivatives (N, 2, 2); and which blocks are within reach (N,).
    """
    reach = scores.shape[1] // 2
    within = (np.abs(moved) < reach - 0.5).all(axis=1)
    moved = moved.clip(-reach + 0.5, reach - 0.5)
    nearest = np.rint(moved).astype(int).clip(-reach + 1, reach - 1)
    column, row = nearest.T + reach
    each = np.arange(len(scores))
    near = np.stack([scores[each, row + dy, column + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)], axis=1)
    xx, yy, xy, x, y, constant = (near @ _PARABOLA.T).T
    dx, dy = (moved - nearest).T
    value = xx * dx**2 + yy * dy**2 + xy * dx * dy + x * dx + y * dy + constant
    slope = np.stack([2 * xx * dx + xy * dy + x, 2 * yy * dy + xy * dx + y], axis=1)
    bend = np.stack([np.stack([2 * xx, xy], axis=1), np.stack([xy, 2 * yy], axis=1)], axis=1)
    return np.where(within, value, 0.0), slope, bend, within
