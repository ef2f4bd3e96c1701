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

"""Flicker counts change only where both sources stand still, and the same however the frames are cut into stretches."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refinefuse_ros.evaluation.flicker import Flicker, Planes


def constant(level: int, shape: tuple[int, int] = (60, 70)) -> np.ndarray:
    return np.full(shape, level, np.uint8)


def frame(ir: int, vis: int, fused: int) -> Planes:
    return Planes(constant(ir), constant(vis), {"a": constant(fused)})


def test_only_pixels_where_both_sources_stand_still_count() -> None:
    ir, vis = constant(100), constant(100)
    moved_ir, moved_vis = ir.copy(), vis.copy()
    moved_ir[:, :35] += 3
    moved_vis[:30] -= 3
    moved_ir[30:, 35:] += 2
    changed = constant(180)
    changed[30:, 35:] = 96
    flicker = Flicker()
    flicker.add(Planes(ir, vis, {"a": constant(100)}))
    flicker.add(Planes(moved_ir, moved_vis, {"a": changed}))
    assert flicker.value("a") == 4.0


def test_it_is_the_mean_over_all_static_pixels_of_all_frames() -> None:
    flicker = Flicker()
    for fused in (10, 16, 16, 10):
        flicker.add(frame(1, 2, fused))
    assert flicker.value("a") == 4.0


def test_it_is_none_until_a_pixel_stands_still() -> None:
    flicker = Flicker()
    assert flicker.value("a") is None
    for level in (0, 50, 100):
        flicker.add(frame(level, 2, 7))
        assert flicker.value("a") is None
    flicker.add(frame(100, 2, 7))
    assert flicker.value("a") == 0.0


def test_a_video_that_leaves_frames_out_is_measured_over_the_gap() -> None:
    flicker = Flicker()
    for fused in ({"a": constant(1), "b": constant(1)}, {"a": constant(5)}, {"a": constant(5), "b": constant(3)}):
        flicker.add(Planes(constant(1), constant(2), fused))
    assert (flicker.value("a"), flicker.value("b")) == (2.0, 2.0)


@given(
    levels=st.lists(st.tuples(*[st.integers(0, 6)] * 4), min_size=1, max_size=12),
    cuts=st.sets(st.integers(1, 11)),
    clips=st.sets(st.integers(0, 11)),
)
@example(levels=[(1, 1, 1, 1), (1, 1, 1, 0), (1, 1, 1, 3)], cuts={1, 2}, clips={1})
def test_stretches_add_up_to_the_whole(
    levels: list[tuple[int, int, int, int]], cuts: set[int], clips: set[int]
) -> None:
    """`b` leaves out the frames in which its level is 0."""
    shape = (8, 9)
    frames = [
        Planes(
            constant(ir, shape),
            constant(vis, shape),
            {"a": constant(a, shape)} | ({"b": constant(b, shape)} if b else {}),
        )
        for ir, vis, a, b in levels
    ]
    whole, parts, stretch = Flicker(), Flicker(), Flicker()
    for index, planes in enumerate(frames):
        if index in cuts:
            parts.extend(pickle.loads(pickle.dumps(stretch)))
            stretch = Flicker()
        for flicker in (whole, stretch):
            if index in clips:
                flicker.cut()
            flicker.add(planes)
    parts.extend(stretch)
    assert (parts.value("a"), parts.value("b")) == (whole.value("a"), whole.value("b"))


def test_from_one_clip_to_the_next_nothing_changes() -> None:
    flicker = Flicker()
    for fused in (10, 16):
        flicker.add(frame(1, 2, fused))
    flicker.cut()
    for fused in (200, 202):  # of another size, too
        flicker.add(Planes(constant(1, (60, 35)), constant(2, (60, 35)), {"a": constant(fused, (60, 35))}))
    assert flicker.value("a") == pytest.approx((2 * 6 + 2) / 3)


def test_a_frame_of_another_size_or_type_is_refused() -> None:
    flicker = Flicker()
    flicker.add(frame(1, 2, 3))
    small = constant(1, (30, 30))
    with pytest.raises(ValueError, match="the frame before is 70x60 pixels but this one is 30x30"):
        flicker.add(Planes(small, small, {"a": small}))
    with pytest.raises(ValueError, match="a is float32"):
        flicker.add(Planes(small, small, {"a": small.astype(np.float32)}))
