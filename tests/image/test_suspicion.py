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

"""What looks mislabelled is said, and what is only unusual is not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from refinefuse_ros.image.codec import YUV444
from refinefuse_ros.image.colour import mosaic
from refinefuse_ros.image.frame import Frame
from refinefuse_ros.image.suspicion import suspicion

RANDOM = np.random.default_rng(5)
ROWS, COLUMNS = np.mgrid[0:96, 0:128]
GREY = (90 + 50 * np.sin(ROWS / 9) + 50 * np.cos(COLUMNS / 13) + RANDOM.normal(0, 2, ROWS.shape)).astype(np.uint8)
COUNTS = (28800 + 12.0 * GREY + RANDOM.normal(0, 3, ROWS.shape)).astype(np.uint16)
BGR = np.dstack([GREY, np.roll(GREY, 40, 0), np.roll(GREY, 40, 1)])


def said(pixels: np.ndarray, encoding: str, camera: str = "thermal") -> str:
    return suspicion(Frame(1, camera, encoding, pixels), camera) or ""


@pytest.mark.parametrize(
    ("pixels", "encoding", "camera"),
    [
        pytest.param(COUNTS, "mono16", "thermal", id="counts"),
        pytest.param(COUNTS.astype(np.int16), "16SC1", "thermal", id="signed counts"),
        pytest.param(COUNTS.astype(np.float32), "32FC1", "thermal", id="floats"),
        pytest.param(np.full((96, 128), 29000, np.uint16), "mono16", "thermal", id="nothing but one count"),
        pytest.param(RANDOM.integers(28998, 29003, (96, 128), np.uint16), "mono16", "thermal", id="only noise"),
        pytest.param(GREY.astype(np.uint16) * 256, "mono16", "thermal", id="8 bits in the upper byte"),
        pytest.param(GREY.astype(np.uint16) * 257, "mono16", "rgb", id="8 bits in both bytes"),
        pytest.param(RANDOM.integers(0, 65536, (96, 128), np.uint16), "mono16", "rgb", id="noise of 16 bits"),
        pytest.param(mosaic(BGR, "bayer_rggb8").astype(np.uint16) * 200, "bayer_rggb16", "rgb", id="mosaic"),
        pytest.param(GREY, "mono8", "thermal", id="grey"),
        pytest.param(cv2.cvtColor(GREY, cv2.COLOR_GRAY2BGR), "bgr8", "thermal", id="grey as colour"),
        pytest.param(np.dstack([GREY, np.full_like(GREY, 128)]), "yuyv", "thermal", id="grey as YUV"),
        pytest.param(np.maximum(GREY, np.where(COLUMNS < 30, 255, 0)).astype(np.uint8), "mono8", "thermal", id="fire"),
        pytest.param(np.where(ROWS[..., None] < 60, 255, BGR).astype(np.uint8), "bgr8", "rgb", id="bright sky"),
        pytest.param(BGR, "bgr8", "rgb", id="colour"),
        pytest.param(BGR // 20, "bgr8", "rgb", id="night"),
        pytest.param(BGR.astype(np.uint16) * 200, "bgr16", "rgb", id="deep colour"),
        pytest.param(np.zeros((1, 1), np.uint16), "mono16", "thermal", id="a single pixel"),
    ],
)
def test_nothing_is_suspected_of(pixels, encoding, camera):
    assert said(pixels, encoding, camera) == ""


@pytest.mark.parametrize("counts", [COUNTS, COUNTS // 4, GREY.astype(np.uint16) * 12])
def test_exchanged_bytes_are_found(counts):
    assert "two bytes of each pixel exchanged" in said(counts.byteswap(), "mono16")
    assert said(counts.byteswap(), "mono16").endswith("set thermal.big_endian.")


def test_the_exchanged_bytes_of_a_mosaic_are_found():
    deep = mosaic(BGR, "bayer_rggb8").astype(np.uint16) * 16
    assert said(deep.byteswap(), "bayer_rggb16", "rgb").endswith("is not what its messages say.")


@pytest.mark.parametrize("depth", [1, 257])
def test_a_palette_is_found(depth):
    palette = cv2.applyColorMap(GREY, cv2.COLORMAP_INFERNO)
    deep = palette.astype(np.uint16) * depth if depth > 1 else palette
    assert "colours in" in said(deep, "bgr16" if depth > 1 else "bgr8")
    assert "as from a palette" in said(deep, "rgb16" if depth > 1 else "rgb8")


@pytest.mark.parametrize("encoding", ["yuyv", "uyvy", YUV444])
def test_a_palette_in_yuv_is_found(encoding):
    colour = np.where(COLUMNS % 2, GREY, 255 - GREY).astype(np.uint8)
    planes = {"yuyv": [GREY, colour], "uyvy": [colour, GREY], YUV444: [GREY, colour, colour]}[encoding]
    assert "as from a palette" in said(np.dstack(planes), encoding)


def test_counts_that_were_cut_to_8_bits_are_found():
    assert said(np.clip(COUNTS, 0, 255).astype(np.uint8), "mono8").startswith(
        "The thermal image has 100% of its values at 255, the largest that its encoding holds: deeper pixels may have"
    )


def test_overexposure_is_found():
    assert said(np.full_like(BGR, 255), "bgr8", "rgb").endswith("it is overexposed; check its exposure.")


@pytest.mark.parametrize(("bits", "gain"), [(10, 4), (12, 16), (14, 64)])
def test_unused_bits_are_found(bits, gain):
    seen = mosaic(BGR, "bayer_rggb8").astype(np.uint16) * gain
    assert f"no more than {bits} of its 16 bits" in said(seen, "bayer_rggb16", "rgb")
