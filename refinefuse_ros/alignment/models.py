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

"""The maps that a thermal pixel may take to the RGB image, from the stiffest to the freest, fitted to point pairs."""

from __future__ import annotations

from typing import Final

import numpy as np

# Beyond this difference of the aspects the stretch of one image onto the other is a hypothesis of its own.
_SAME_ASPECT: Final = 1.03


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (N, 2) through a 3x3 homography."""
    lifted = points @ matrix[:, :2].T + matrix[:, 2]
    return lifted[:, :2] / lifted[:, 2:]


def corners_of(width: float, height: float) -> np.ndarray:
    """The centres of an image's four corner pixels, (4, 2), around it."""
    return np.array([(0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1)], float)


def resizing(scale_x: float, scale_y: float) -> np.ndarray:
    """3x3: where a pixel's centre comes to lie when an image is resized."""
    return np.array([(scale_x, 0, (scale_x - 1) / 2), (0, scale_y, (scale_y - 1) / 2), (0, 0, 1)], float)


def bases(thermal: tuple[int, int], rgb: tuple[int, int]) -> list[np.ndarray]:
    """Where thermal lies before anything is known, as 3x3 matrices: square pixels, and stretched to the whole.

    Args:
        thermal, rgb: (width, height).
    """
    across, down = rgb[0] / thermal[0], rgb[1] / thermal[1]
    square = min(across, down)
    if max(across, down) < square * _SAME_ASPECT:
        return [resizing(across, down)]
    centred = resizing(square, square)
    centred[:2, 2] += (rgb[0] - square * thermal[0]) / 2, (rgb[1] - square * thermal[1]) / 2
    return [centred, resizing(across, down)]


MODELS: Final = {"shift and scale": 3, "similarity": 4, "affine": 6, "homography": 8}
"""The maps, from the stiffest to the freest, with their number of parameters."""


def fit(
    model: str, source: np.ndarray, target: np.ndarray, information: np.ndarray, base: np.ndarray | None = None
) -> np.ndarray | None:
    """The 3x3 matrix of a model by weighted least squares, or None where the points do not fix it.

    Args:
        model: of `MODELS`.
        source, target: (N, 2) points.
        information: (N, 2, 2) inverse covariance of each target point, up to a common factor: of an edge only the
            place across it is known.
        base: 3x3 map to which the source points are brought first; the model is what remains to be found.
    """
    base = np.eye(3) if base is None else base
    source = apply(base, source)
    from_source, from_target = _normalising(source), _normalising(target)
    points, wanted = apply(from_source, source), apply(from_target, target)
    across, down = _rows(model, points, wanted)
    root = np.linalg.cholesky(information + 1e-9 * np.eye(2)).transpose(0, 2, 1)
    rows = root[:, :, :1] * across[:, None] + root[:, :, 1:] * down[:, None]
    values = np.einsum("nij,nj->ni", root, wanted)
    solved, _, rank, _ = np.linalg.lstsq(rows.reshape(-1, rows.shape[-1]), values.ravel(), rcond=1e-9)
    if rank < MODELS[model]:
        return None
    whole = np.linalg.inv(from_target) @ _matrix(model, solved) @ from_source @ base
    return whole / whole[2, 2] if np.isfinite(whole).all() and abs(whole[2, 2]) > 1e-9 else None


def corner_uncertainty(
    model: str, source: np.ndarray, information: np.ndarray, sigma: float, corners: np.ndarray
) -> float:
    """Root mean square, over the corners, of a fit's standard error, by where the source points lie.

    Args:
        model: of the fit.
        source: (N, 2) points, in the target's scale.
        information: as in `fit`.
        sigma: standard deviation of a target coordinate of information 1.
        corners: (M, 2) points in the same plane.
    """
    normalise = _normalising(source)
    points, ends = apply(normalise, source), apply(normalise, corners)
    design = np.stack(_rows(model, points, points), axis=1)
    at_ends = np.stack(_rows(model, ends, ends), axis=1)
    covariance = np.linalg.pinv(np.einsum("nip,nij,njq->pq", design, information, design))
    variance = np.einsum("nip,pq,niq->n", at_ends, covariance, at_ends)
    return sigma * float(np.sqrt(variance.mean()))


def _normalising(points: np.ndarray) -> np.ndarray:
    """3x3: to mean 0 and spread 1, with one scale for both axes."""
    (cx, cy), scale = points.mean(axis=0), 1 / max(float(points.std(axis=0).mean()), 1e-9)
    return np.array([(scale, 0, -scale * cx), (0, scale, -scale * cy), (0, 0, 1)])


def _rows(model: str, points: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How x and y of the target follow each parameter, (N, parameters) each."""
    x, y = points.T
    u, v = wanted.T
    one, none = np.ones_like(x), np.zeros_like(x)
    across, down = {
        "shift and scale": ([x, one, none], [y, none, one]),
        "similarity": ([x, -y, one, none], [y, x, none, one]),
        "affine": ([x, y, one, none, none, none], [none, none, none, x, y, one]),
        "homography": (
            [x, y, one, none, none, none, -u * x, -u * y],
            [none, none, none, x, y, one, -v * x, -v * y],
        ),
    }[model]
    return np.column_stack(across), np.column_stack(down)


def _matrix(model: str, parameters: np.ndarray) -> np.ndarray:
    if model == "shift and scale":
        scale, tx, ty = parameters
        return np.array([(scale, 0, tx), (0, scale, ty), (0, 0, 1)])
    if model == "similarity":
        a, b, tx, ty = parameters
        return np.array([(a, -b, tx), (b, a, ty), (0, 0, 1)])
    return np.array([*parameters, *(0, 0, 1)[len(parameters) - 6 :]]).reshape(3, 3)
