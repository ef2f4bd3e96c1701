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

"""How fused videos move: BiSWE, flowD and MS2R, with OpenCV's DIS optical flow in place of a learned one.

A flow of A to B says where each pixel of A lies in B; B warped to A by it takes every pixel from there. With F the
fused video, ir and vis its sources, and frames t - 1, t and t + 1 that follow each other:

BiSWE, bi-directional self-warping error in grey levels: mean |F(t) - F(t - 1) warped to t| plus mean |F(t) - F(t + 1)
warped to t|, warped by F's own flows, over the pixels where the flows of both sources agree with the ones back within
1 pixel: what is hidden or made up from frame to frame there is the fusion's.

flowD in grey levels: mean L2 norm, over the three colour channels, of F(t) - F(t - 1) warped to t by vis's flow.

MS2R in pixels: with d(G) = flow(G(t) to G(t + 1)) - flow(G(t - 1) to G(t)), the mean of |d(F) - d(ir)| and
|d(F) - d(vis)|, as lengths: trembling that neither source has.

Means are over all pixels of all frames, those apart that a flow takes from outside of the picture. Lower is better.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

_MOST_DISAGREEMENT_PX = 1.0
MOTION_FRAMES_BEFORE: Final = 2
"""So many frames before a stretch must be known, for stretches to add up to the whole."""
THERMAL: Final = "thermal"
RGB: Final = "rgb"
"""The sources' names beside the methods' labels, where they are measured like a method's video."""

Map = Callable[..., Iterable]


@dataclass(frozen=True)
class VideoFrame:
    """One moment of the two sources, THERMAL and RGB, and of the videos that were fused of them.

    Attributes:
        colour: each video's image by its label, uint8 (H, W, 3) BGR.
        grey: the same as planes, uint8 (H, W).
        begins: it does not follow the frame before it: the first one of a clip.
    """

    colour: Mapping[str, np.ndarray]
    grey: Mapping[str, np.ndarray]
    begins: bool = False


@dataclass(frozen=True)
class MotionNumbers:
    """BiSWE and flowD in grey levels, MS2R in pixels; None where there were too few frames, or no pixel to compare."""

    biswe: float | None = None
    flowd: float | None = None
    ms2r: float | None = None


@dataclass(frozen=True)
class _Sum:
    """A sum over some pixels."""

    total: float
    pixels: int

    @classmethod
    def over(cls, values: np.ndarray) -> _Sum:
        return cls(float(np.sum(values, dtype=np.float64)), values.size)


@dataclass(frozen=True)
class _Step:
    """What one video does from a frame to the next: the sums of its measures."""

    backward: _Sum
    forward: _Sum
    distance: _Sum
    tremble: _Sum | None


@dataclass(frozen=True)
class _Flow:
    """The flows between two frames of a video, (H, W, 2) float32: of the earlier to the later, and back."""

    forward: np.ndarray
    back: np.ndarray


class Motion:
    """The measures of one or several videos; stretches of them, in order, add up to the last digit."""

    def __init__(self) -> None:
        self._steps: defaultdict[str, list[_Step]] = defaultdict(list)

    def extend(self, other: Motion) -> None:
        """Take another stretch, which begins where one ended or with another clip."""
        for label, steps in other._steps.items():
            self._steps[label] += steps

    def value(self, label: str) -> MotionNumbers:
        """The measures so far."""
        steps = self._steps[label]
        backward, forward = (_mean(getattr(step, name) for step in steps) for name in ("backward", "forward"))
        return MotionNumbers(
            biswe=None if backward is None or forward is None else backward + forward,
            flowd=_mean(step.distance for step in steps),
            ms2r=_mean(step.tremble for step in steps if step.tremble is not None),
        )

    def follow(self, frames: Sequence[VideoFrame], before: int = 0, in_turn: Map = map) -> None:
        """Measure a stretch of the videos.

        Args:
            frames: in order, all of one size but where a clip begins. A video may leave some out: it is measured where
                it has two, and for MS2R three, that follow each other.
            before: so many of the first are another stretch's and were measured there. With MOTION_FRAMES_BEFORE of
                them stretches add up to the whole.
            in_turn: `map`, or a thread pool's.
        """
        flows: dict[str, _Flow] = {}
        for index in range(1, len(frames)):
            earlier, later = frames[index - 1], frames[index]
            if later.begins:
                flows = {}
                continue
            previous, flows = flows, _flows(earlier, later, in_turn)
            if index >= before:
                self._add(earlier, later, previous, flows)

    def _add(self, earlier: VideoFrame, later: VideoFrame, previous: dict[str, _Flow], flows: dict[str, _Flow]) -> None:
        sources = [flows[THERMAL], flows[RGB]]
        agree_back = np.logical_and.reduce([_agree(flow.back, flow.forward) for flow in sources])
        agree_forward = np.logical_and.reduce([_agree(flow.forward, flow.back) for flow in sources])
        with_rgb = _Warp(flows[RGB].back)
        for label, flow in flows.items():
            grey, before = (earlier.grey[label], later.grey[label]), previous.get(label)
            self._steps[label].append(
                _Step(
                    backward=_warping_error(grey[1], grey[0], flow.back, agree_back),
                    forward=_warping_error(grey[0], grey[1], flow.forward, agree_forward),
                    distance=_distance(later.colour[label], earlier.colour[label], with_rgb),
                    tremble=_tremble(flow, before, sources, [previous[THERMAL], previous[RGB]]) if before else None,
                )
            )


def _flows(earlier: VideoFrame, later: VideoFrame, in_turn: Map) -> dict[str, _Flow]:
    """The flows of every video that has both frames."""
    both = {label: (plane, later.grey[label]) for label, plane in earlier.grey.items() if label in later.grey}
    ends = [ends for pair in both.values() for ends in (pair, pair[::-1])]
    found = iter(in_turn(_flow, *zip(*ends, strict=True)))
    return {label: _Flow(next(found), next(found)) for label in both}


def _flow(of: np.ndarray, to: np.ndarray) -> np.ndarray:
    # Nothing is kept between calls: the flow of a pair must not depend on which pairs came before.
    return cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(
        np.ascontiguousarray(of), np.ascontiguousarray(to), None
    )


class _Warp:
    """Takes pixels from where a flow, (H, W, 2) float32, leads; `inside` is where that is in the picture."""

    def __init__(self, flow: np.ndarray) -> None:
        height, width = flow.shape[:2]
        self._x = flow[..., 0] + np.arange(width, dtype=np.float32)
        self._y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, np.newaxis]
        self.inside = (self._x >= 0) & (self._x <= width - 1) & (self._y >= 0) & (self._y <= height - 1)

    def __call__(self, plane: np.ndarray) -> np.ndarray:
        return cv2.remap(plane.astype(np.float32), self._x, self._y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _length(vectors: np.ndarray) -> np.ndarray:
    """Of the vectors along the last axis."""
    return np.sqrt(np.einsum("...i,...i", vectors, vectors))


def _agree(flow: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Where the flow, and the other one from there, lead back to within a pixel of where they began."""
    warp = _Warp(flow)
    return warp.inside & (_length(flow + warp(back)) < _MOST_DISAGREEMENT_PX)


def _warping_error(plane: np.ndarray, other: np.ndarray, flow: np.ndarray, agree: np.ndarray) -> _Sum:
    warp = _Warp(flow)
    return _Sum.over(np.abs(plane - warp(other))[agree & warp.inside])


def _distance(image: np.ndarray, other: np.ndarray, warp: _Warp) -> _Sum:
    return _Sum.over(_length(image - warp(other))[warp.inside])


def _tremble(flow: _Flow, before: _Flow, sources: Sequence[_Flow], sources_before: Sequence[_Flow]) -> _Sum:
    change = flow.forward - before.forward
    both = [
        _length(change - (source.forward - earlier.forward))
        for source, earlier in zip(sources, sources_before, strict=True)
    ]
    return _Sum.over((both[0] + both[1]) / 2)


def _mean(sums: Iterable[_Sum]) -> float | None:
    """The mean over all pixels; None where there are none."""
    sums = list(sums)
    pixels = sum(part.pixels for part in sums)
    return sum(part.total for part in sums) / pixels if pixels else None
