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

"""The classical baseline keeps what either camera sees, at any size, and never wraps around."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.engine.laplacian import LaplacianEngine
from refinefuse_ros.image.frame import ImageSize


def fuse(thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
    return LaplacianEngine(None, ImageSize.of(thermal)).fuse(thermal, visible)


def noise(seed: int, width: int, height: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


@given(width=st.integers(1, 70), height=st.integers(1, 70), seed=st.integers(0, 99))
def test_a_plane_fused_with_itself_comes_back_exactly(width: int, height: int, seed: int) -> None:
    plane = noise(seed, width, height)
    np.testing.assert_array_equal(fuse(plane, plane), plane)


@given(width=st.integers(1, 70), height=st.integers(1, 70), seed=st.integers(0, 99))
def test_the_cameras_are_interchangeable(width: int, height: int, seed: int) -> None:
    thermal, visible = noise(seed, width, height), noise(seed + 1, width, height)
    np.testing.assert_allclose(fuse(thermal, visible).astype(int), fuse(visible, thermal), atol=1)


@given(thermal=st.integers(0, 255), visible=st.integers(0, 255))
def test_flat_planes_give_their_mean(thermal: int, visible: int) -> None:
    fused = fuse(np.full((33, 47), thermal, np.uint8), np.full((33, 47), visible, np.uint8))
    np.testing.assert_allclose(fused, (thermal + visible) / 2, atol=0.51)


def test_the_stronger_detail_of_either_camera_is_kept() -> None:
    """Each camera has its own fine pattern, strong in its half and faint in the other's."""
    stripes = np.where(np.arange(128) % 2, 40, -40)[None, :]
    checks = np.where(np.add.outer(np.arange(64), np.arange(128)) % 2, 40, -40)
    left = np.arange(128)[None, :] < 64
    thermal = (128 + stripes * np.where(left, 1, 0.1)).repeat(64, axis=0).astype(np.uint8)
    visible = (128 + checks * np.where(left, 0.1, 1)).astype(np.uint8)
    fused = fuse(thermal, visible).astype(int)
    # Away from the seam and the border the stronger pattern is there, unmixed and at its full contrast.
    np.testing.assert_allclose(fused[16:48, 16:40], thermal[16:48, 16:40], atol=3)
    np.testing.assert_allclose(fused[16:48, 88:112], visible[16:48, 88:112], atol=3)


def test_extremes_saturate_instead_of_wrapping_around() -> None:
    """Each dot is as far from its own surroundings as eight bits allow, on a mean of both: the sums leave 0..255."""
    thermal = np.full((64, 64), 255, np.uint8)
    visible = np.zeros((64, 64), np.uint8)
    thermal[::2, ::2], visible[1::2, 1::2] = 0, 255
    fused = fuse(thermal, visible).astype(int)
    assert fused[::2, ::2].max() < 60, "the thermal plane's dark dots stay dark"
    assert fused[1::2, 1::2].min() > 195, "the visible plane's bright dots stay bright"


def test_it_says_what_it_is() -> None:
    info = LaplacianEngine(None, ImageSize(40, 32)).info
    assert (info.backend, info.precision, info.model, info.artifact_sha256) == ("laplacian", "fp32", "laplacian", "")


@pytest.mark.parametrize(("precision", "device", "sentence"), [("fp16", "auto", "'fp16'"), ("auto", "GPU", "'GPU'")])
def test_what_it_cannot_do_is_refused(precision: str, device: str, sentence: str) -> None:
    with pytest.raises(EngineError, match=sentence):
        LaplacianEngine(None, ImageSize(40, 32), precision, device)
