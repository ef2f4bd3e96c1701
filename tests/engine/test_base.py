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

"""Every engine refuses planes of another size, pads what its graph cannot take, and crops the result back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinefuse_ros.engine.base import Engine, EngineError, EngineInfo
from refinefuse_ros.image.frame import ImageSize


class Maximum(Engine):
    """Fuses by the larger value, on sides that are multiples of eight."""

    def __init__(self, size: ImageSize) -> None:
        super().__init__(EngineInfo("test", "none", "fp32", "maximum", "", size), size_multiple=8)

    def _run(self, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
        assert thermal.shape == visible.shape
        assert thermal.shape[0] % 8 == thermal.shape[1] % 8 == 0
        assert thermal.flags.c_contiguous
        return np.maximum(thermal, visible)

    def close(self) -> None:
        pass


@given(width=st.integers(32, 60), height=st.integers(32, 60))
def test_any_size_comes_back_as_it_went_in(width: int, height: int) -> None:
    thermal, visible = np.random.default_rng(width).integers(0, 256, (2, height, width), np.uint8)
    fused = Maximum(ImageSize(width, height)).fuse(thermal, visible)
    np.testing.assert_array_equal(fused, np.maximum(thermal, visible))


def test_padding_repeats_the_edge() -> None:
    engine = Maximum(ImageSize(33, 32))
    plane = np.arange(32 * 33, dtype=np.uint16).astype(np.uint8).reshape(32, 33)
    padded = engine._pad(plane)
    assert padded.shape == (32, 40)
    np.testing.assert_array_equal(padded[:, 33:], np.repeat(plane[:, -1:], 7, axis=1))


@pytest.mark.parametrize(("shape", "dtype"), [((32, 40), np.uint8), ((40, 33), np.uint8), ((33, 40), np.float32)])
def test_other_planes_than_it_was_built_for_are_refused(shape: tuple[int, int], dtype: type) -> None:
    engine = Maximum(ImageSize(40, 33))
    with pytest.raises(EngineError, match="built for uint8"):
        engine.fuse(np.zeros((33, 40), np.uint8), np.zeros(shape, dtype))
