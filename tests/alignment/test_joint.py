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

"""All blocks together: maps that no single block could tell, and which of them is taken."""

import numpy as np
import pytest

from refinefuse_ros.alignment.joint import most_alike, stiffest_good
from refinefuse_ros.alignment.matching import Likeness
from refinefuse_ros.alignment.models import apply, corners_of

REACH = 5
CORNERS = corners_of(640, 480)
SHIFTED = np.array([[1, 0, 1.4], [0, 1, -2.2], [0, 0, 1]])
TILTED = np.array([[1.002, 0.002, -1.0], [-0.003, 0.999, 1.2], [6e-6, -5e-6, 1]])


def edges(matrix: np.ndarray, noise: float = 0.0, of_one_direction: bool = True) -> Likeness:
    """Blocks that lie where `matrix` puts them, each with an edge, along which it is as like everywhere."""
    random = np.random.default_rng(1)
    y, x = (grid.ravel() for grid in np.mgrid[24:480:24, 24:640:24].astype(float))
    thermal = np.column_stack([x, y])
    angle = random.uniform(0, np.pi, len(x))
    across = np.column_stack([np.cos(angle), np.sin(angle)])
    down, right = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1].astype(float)
    moved = np.stack([right, down], axis=-1) - (apply(matrix, thermal) - thermal)[:, None, None]
    off = np.einsum("nyxi,ni->nyx", moved, across) if of_one_direction else np.linalg.norm(moved, axis=-1)
    scores = 0.8 * np.exp(-(off**2) / 8)
    return Likeness(thermal, thermal, scores + random.normal(0, noise, (2, *scores.shape)))


def error(matrix: np.ndarray, truth: np.ndarray) -> float:
    return float(np.abs(apply(matrix, CORNERS) - apply(truth, CORNERS)).max())


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_edges_that_tell_one_direction_each_tell_the_whole_map_together(noise: float) -> None:
    found = most_alike("homography", edges(TILTED, noise), np.eye(3), np.eye(3))
    assert error(np.eye(3), TILTED) > 2.0
    assert error(found, TILTED) < 0.02 + 8 * noise


def test_blocks_of_something_else_are_outvoted() -> None:
    right, wrong = edges(TILTED), edges(np.array([[1, 0, -3.5], [0, 1, 3.5], [0, 0, 1]]), of_one_direction=False)
    scores = np.where((np.arange(len(right.rgb)) % 3 == 0)[:, None, None], wrong.scores, right.scores)
    found = most_alike("homography", Likeness(right.thermal, right.rgb, scores), np.eye(3), np.eye(3))
    assert error(found, TILTED) < 0.5


@pytest.mark.parametrize(("truth", "model"), [(SHIFTED, "shift and scale"), (TILTED, "homography")])
def test_the_stiffest_map_is_taken_that_explains_what_is_seen(truth: np.ndarray, model: str) -> None:
    name, matrix = stiffest_good(edges(truth, 0.02), np.eye(3), np.eye(3))
    assert (name, error(matrix, truth) < 0.2) == (model, True)


def test_what_is_moved_out_of_reach_changes_nothing() -> None:
    near = edges(SHIFTED)
    pulling = edges(np.array([[1, 0, -3.5], [0, 1, 0], [0, 0, 1]]), of_one_direction=False)
    far = Likeness(near.thermal, near.rgb + 100.0, pulling.scores)
    both = Likeness(
        *(np.concatenate(parts) for parts in ((near.thermal, far.thermal), (near.rgb, far.rgb))),
        np.concatenate((near.scores, far.scores), axis=1),
    )
    assert error(most_alike("affine", both, np.eye(3), np.eye(3)), SHIFTED) < 0.05


def test_where_no_block_is_within_reach_the_map_stays_as_it_is() -> None:
    far = edges(SHIFTED)
    far = Likeness(far.thermal, far.rgb + 100.0, far.scores)
    assert (most_alike("homography", far, np.eye(3), np.eye(3)) == np.eye(3)).all()
