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

"""What a fused image shows of warm objects, people above all: KEPT, LOST and RING (this project's own measures).

A warm object is where thermal is locally bright: with s the plane blurred by a Gaussian of a tenth of its shorter
side, an 8-connected part, of at least 80 pixels, of the mask Gaussian(ir, 1) - s > max(24, std(ir)), opened by 3x3.
Its ring is what an ellipse of 15 pixels adds around it, without the mask dilated by 5x5; its contrast is its mean
level less its ring's. Counted are objects with a ring of at least 40 pixels and a contrast of at least 24 levels.

KEPT is the share of an object's contrast that the fused image has, of either sign, at most 1.5, as the mean over all
objects of all pairs; LOST is how many of them keep less than a quarter, in per cent. RING is how dark the outlines
around the objects are: fused minus visible, 2 to 4 pixels from the nearest object less the same 20 to 30 pixels away,
both as means over all such pixels of all pairs, in grey levels; negative is a dark outline.

Planes are grey, uint8 of shape (H, W), as for `metrics`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from refinefuse_ros.evaluation.metrics import BLUR_SIGMAS, blur, check_planes

_SCENE_SHARE = 10  # sigma of the scene's blur: the shorter side over this
_OBJECT_SIGMA_PX = 1.0
# A blur so wide is made of a smaller plane: the same within a tenth of a level, and several times as fast.
_SMALL_SIGMA_PX = 12.0
_LEAST_CONTRAST = 24.0
_LEAST_PIXELS = 80
_LEAST_RING_PIXELS = 40
_RING_PX = 15
_MOST_KEPT = 1.5
_LOST_BELOW = 0.25
_NEAR_PX = (2.0, 4.0)
_FAR_PX = (20.0, 30.0)


@dataclass(frozen=True)
class WarmScore:
    """What one fused image shows of its pair's warm objects.

    Attributes:
        kept: of each object the share of its contrast, 0 to 1.5.
        near, far: fused minus visible, summed over the pixels beside the objects and over those further away.
        near_pixels, far_pixels: how many these are.
    """

    kept: tuple[float, ...] = ()
    near: int = 0
    near_pixels: int = 0
    far: int = 0
    far_pixels: int = 0


@dataclass(frozen=True)
class WarmSummary:
    """The warm objects of some pairs.

    Attributes:
        objects: how many there are.
        kept: KEPT, 0 to 1.5; None where there is no object.
        lost: LOST, per cent; None where there is no object.
        ring: RING, grey levels; None where no pixel lies near an object, or none far from them.
    """

    objects: int
    kept: float | None
    lost: float | None
    ring: float | None


def summarize_warm(scores: Iterable[WarmScore]) -> WarmSummary:
    """KEPT and LOST over all objects of all pairs, every object weighing the same, and RING over all their pixels."""
    scores = list(scores)
    kept = np.array([share for score in scores for share in score.kept])
    near, near_pixels, far, far_pixels = (
        sum(getattr(score, name) for score in scores) for name in ("near", "near_pixels", "far", "far_pixels")
    )
    return WarmSummary(
        objects=kept.size,
        kept=float(kept.mean()) if kept.size else None,
        lost=100.0 * float(np.mean(kept < _LOST_BELOW)) if kept.size else None,
        ring=near / near_pixels - far / far_pixels if near_pixels and far_pixels else None,
    )


@dataclass(frozen=True)
class WarmObject:
    """One warm object: the flat indices of its pixels and of its ring's, and its contrast in thermal."""

    pixels: np.ndarray
    ring: np.ndarray
    contrast: float

    @classmethod
    def of(cls, ir: np.ndarray, pixels: np.ndarray, ring: np.ndarray) -> WarmObject:
        return cls(pixels, ring, _contrast(ir, pixels, ring))


class WarmObjects:
    """The warm objects of a thermal plane, found once for every image that is fused of it.

    Attributes:
        objects: what was found.
        near, far: flat indices of the pixels beside them, and of those further away, that RING compares.

    Args:
        ir: uint8 (H, W).

    Raises:
        ValueError: the plane is of another dtype or shape.
    """

    def __init__(self, ir: np.ndarray) -> None:
        check_planes(1, ir=ir)
        self._ir = ir
        self.objects = _find(ir)
        self.near, self.far = _bands(self.objects, ir.shape)

    def __len__(self) -> int:
        return len(self.objects)

    def score(self, vis: np.ndarray, fused: np.ndarray) -> WarmScore:
        """What `fused` shows of them; both uint8 (H, W).

        Raises:
            ValueError: a plane is of another dtype, or of another size than the thermal plane.
        """
        check_planes(1, ir=self._ir, vis=vis, fused=fused)
        kept = (abs(_contrast(fused, warm.pixels, warm.ring)) / warm.contrast for warm in self.objects)
        near, far = (_total(fused, band) - _total(vis, band) for band in (self.near, self.far))
        return WarmScore(tuple(min(share, _MOST_KEPT) for share in kept), near, self.near.size, far, self.far.size)


def _find(ir: np.ndarray) -> list[WarmObject]:
    above = blur(ir, _OBJECT_SIGMA_PX) - _scene(ir)
    deviation = float(cv2.meanStdDev(ir)[1][0, 0])
    mask = (above > max(_LEAST_CONTRAST, deviation)).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    outside = cv2.dilate(mask, np.ones((5, 5), np.uint8)) == 0
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_RING_PX, _RING_PX))
    flat = np.arange(ir.size).reshape(ir.shape)
    found = []
    for label in range(1, count):
        left, top, width, height, area = boxes[label]
        if area < _LEAST_PIXELS:
            continue
        reach = _RING_PX // 2
        window = (slice(max(top - reach, 0), top + height + reach), slice(max(left - reach, 0), left + width + reach))
        here = labels[window] == label
        ring = (cv2.dilate(here.astype(np.uint8), ellipse) > 0) & outside[window]
        if np.count_nonzero(ring) < _LEAST_RING_PIXELS:
            continue
        warm = WarmObject.of(ir, flat[window][here], flat[window][ring])
        if warm.contrast >= _LEAST_CONTRAST:
            found.append(warm)
    return found


def _bands(objects: list[WarmObject], shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Flat indices of the pixels beside the objects and of those further away."""
    elsewhere = np.ones(shape, np.uint8)
    for warm in objects:
        elsewhere.ravel()[warm.pixels] = 0
    distance = cv2.distanceTransform(elsewhere, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    near, far = (np.flatnonzero((distance >= least) & (distance <= most)) for least, most in (_NEAR_PX, _FAR_PX))
    return near, far


def _scene(ir: np.ndarray) -> np.ndarray:
    """The plane blurred by a tenth of its shorter side, float32 (H, W)."""
    height, width = ir.shape
    sigma = min(height, width) / _SCENE_SHARE
    times = int(sigma / _SMALL_SIGMA_PX)
    if times < 2:
        return blur(ir, sigma)
    # Reflected before it is made smaller, for the smaller plane's own reflection would lie elsewhere.
    margin = math.ceil(BLUR_SIGMAS * sigma / times)
    rim = times * margin
    wide = cv2.copyMakeBorder(ir, rim, rim + -height % times, rim, rim + -width % times, cv2.BORDER_REFLECT_101)
    small = cv2.resize(wide.astype(np.float32), None, fx=1 / times, fy=1 / times, interpolation=cv2.INTER_AREA)
    # One pixel around is kept, to interpolate with.
    inner = blur(small, sigma / times)[margin - 1 : 1 - margin, margin - 1 : 1 - margin]
    blurred = cv2.resize(inner, None, fx=times, fy=times, interpolation=cv2.INTER_LINEAR)
    return blurred[times : times + height, times : times + width]


def _contrast(plane: np.ndarray, pixels: np.ndarray, ring: np.ndarray) -> float:
    return _total(plane, pixels) / pixels.size - _total(plane, ring) / ring.size


def _total(plane: np.ndarray, pixels: np.ndarray) -> int:
    return int(np.sum(plane.ravel()[pixels], dtype=np.int64))
