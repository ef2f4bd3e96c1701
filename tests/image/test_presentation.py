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

"""What colours a fused plane gets: warm objects stand out in them, everything else keeps its own, and luma stays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from refinefuse_ros.image.colour import join_luma, split_luma
from refinefuse_ros.image.presentation import STYLES, Presenter, tint_weights

WIDTH, HEIGHT = 320, 240
BODY = np.zeros((HEIGHT, WIDTH), bool)
BODY[80:150, 140:165] = True


def plane(level: int) -> np.ndarray:
    return np.full((HEIGHT, WIDTH), level, np.uint8)


def street(seed: int = 0, noise: float = 0.0) -> np.ndarray:
    """A thermal plane: a cool slope with a person before it."""
    cool = np.tile(np.linspace(40, 70, WIDTH), (HEIGHT, 1)) + np.random.default_rng(seed).normal(0, noise, BODY.shape)
    return cv2.GaussianBlur(np.where(BODY, cool + 90, cool).clip(0, 255).round().astype(np.uint8), (0, 0), 1)


def colourful(seed: int = 3) -> np.ndarray:
    """A BGR picture of soft colours of medium brightness."""
    noise = np.random.default_rng(seed).normal(0, 1, (HEIGHT, WIDTH, 3)).astype(np.float32)
    return (130 + 500 * cv2.GaussianBlur(noise, (0, 0), 12)).clip(60, 200).astype(np.uint8)


def present(style: str, fused: np.ndarray, rgb: np.ndarray, thermal: np.ndarray, encoding: str = "bgr8") -> np.ndarray:
    luma, chroma = split_luma(rgb, "bgr8" if rgb.ndim == 3 else "mono8")
    return Presenter(style).present(fused, thermal, luma, chroma, encoding)


def lab(bgr: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(bgr.astype(np.float32) / 255, cv2.COLOR_BGR2Lab)


def luma_of(bgr: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY).astype(int)


def ring_of(body: np.ndarray) -> np.ndarray:
    outside = cv2.dilate(body.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (15, 15)))
    return (outside > 0) & (cv2.dilate(body.astype(np.uint8), np.ones((5, 5))) == 0)


def test_natural_colours_are_those_of_the_rgb_image() -> None:
    rgb, fused = colourful(), street()
    for encoding in ("bgr8", "rgb8"):
        natural = present("natural", fused, rgb, street(), encoding)
        np.testing.assert_array_equal(natural, join_luma(fused, split_luma(rgb, "bgr8")[1], encoding))


@pytest.mark.parametrize("style", STYLES)
def test_a_grey_rgb_image_is_shown_grey_where_nothing_gives_it_colour(style: str) -> None:
    shown = present(style, plane(90), plane(90), plane(50))
    assert shown.shape == (HEIGHT, WIDTH, 3)
    if style != "palette":
        assert (shown == 90).all()


def test_colour_noise_of_the_dark_is_damped_where_the_thermal_camera_makes_it_bright() -> None:
    dark = np.random.default_rng(0).normal(6, 5, (HEIGHT, WIDTH, 3)).clip(0, 255).astype(np.uint8)
    undamped = join_luma(plane(120), split_luma(dark, "bgr8")[1], "bgr8")
    spread = [lab(shown)[..., 1:].std() for shown in (present("natural", plane(120), dark, plane(50)), undamped)]
    assert spread[0] < 0.45 * spread[1]


@pytest.mark.parametrize("level", [30, 60, 120, 200, 230, 245, 255])
def test_a_warm_object_stands_out_where_the_fused_plane_lost_it(level: int) -> None:
    shown = lab(present("highlight", plane(level), plane(level), street()))
    assert np.linalg.norm(shown[BODY].mean(axis=0) - shown[ring_of(BODY)].mean(axis=0)) > 15


@pytest.mark.parametrize("level", [0, 10, 60, 128, 200, 240, 255])
def test_highlight_and_palette_leave_the_luma_as_it_was_fused(level: int) -> None:
    highlighted = luma_of(present("highlight", plane(level), plane(level), street()))
    assert np.abs(highlighted - level)[~BODY].max() <= (1 if level <= 240 else 15)
    assert np.abs(highlighted - min(level, 240))[90:140, 145:160].max() <= 1
    ramp = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
    assert np.abs(luma_of(present("palette", plane(level), plane(level), ramp)) - level).max() <= 1


def test_the_rest_is_not_tinted() -> None:
    rgb, fused = colourful(), street()
    natural, highlighted = (present(style, fused, rgb, street()) for style in ("natural", "highlight"))
    far = cv2.dilate(BODY.astype(np.uint8), np.ones((13, 13))) == 0
    np.testing.assert_array_equal(highlighted[far], natural[far])
    assert (highlighted[BODY] != natural[BODY]).any(axis=1).mean() > 0.9


def test_nothing_is_tinted_in_a_scene_without_warm_objects() -> None:
    slope = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
    assert tint_weights(plane(200)) is None
    assert tint_weights(cv2.add(plane(100), np.random.default_rng(0).integers(0, 12, BODY.shape, np.uint8))) is None
    weights = tint_weights(slope)
    assert weights is None or not weights[:, 40:-40].any()


def test_the_edge_of_the_tint_is_soft_and_does_not_flicker_with_noise() -> None:
    weights = [tint_weights(street(seed, noise=2.0)).astype(int) for seed in (1, 2)]
    assert weights[0].max() == 128
    assert np.abs(np.diff(weights[0], axis=1)).max() < 90
    still = np.abs(weights[0] - weights[1])
    assert still.mean() < 0.2
    assert still.max() < 64


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (641, 481)])
def test_every_size_is_presented_in_every_style(size: tuple[int, int]) -> None:
    thermal = np.zeros(size[::-1], np.uint8)
    thermal[10:22, 10:22] = 200
    for style in STYLES:
        assert present(style, thermal, cv2.merge([thermal] * 3), thermal).shape == (*thermal.shape, 3)


def test_palette_follows_the_heat() -> None:
    shown = present("palette", plane(128), plane(128), np.where(BODY, 230, 60).astype(np.uint8)).astype(int)
    assert (shown[BODY][:, 2] - shown[BODY][:, 0] > 40).all()
    assert (shown[~BODY][:, 0] > shown[~BODY][:, 1]).all()


def test_an_unknown_style_is_refused() -> None:
    with pytest.raises(ValueError, match="'vivid' is unknown; choose one of natural, highlight, palette, grey"):
        Presenter("vivid")
