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

"""One pair through the pipeline: size, colour and depth come out as promised, whatever comes in."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from refinefuse_ros.alignment.file import Homography
from refinefuse_ros.alignment.placing import Placer
from refinefuse_ros.engine.factory import EngineRequest, create_engine
from refinefuse_ros.image.codec import MalformedImage
from refinefuse_ros.image.frame import Frame, ImageSize
from refinefuse_ros.image.normalization import ThermalNormalizer
from refinefuse_ros.image.presentation import Presenter
from refinefuse_ros.image.steadying import Steadier
from refinefuse_ros.image.synthetic import SyntheticScene
from refinefuse_ros.pipeline import FusionPipeline, OutputSize, check_rgb

SIZE = ImageSize(160, 120)


class KeepVisible:
    """An engine that shows the visible luma and remembers what it was given."""

    def fuse(self, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
        self.thermal = thermal
        return visible


def frame(pixels: np.ndarray, encoding: str) -> Frame:
    return Frame(1, "camera", encoding, pixels)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIZE.height, SIZE.width, 3), np.uint8)


@pytest.mark.parametrize("encoding", ["bgr8", "rgb8"])
def test_colour_goes_around_the_network(encoding: str) -> None:
    pipeline = FusionPipeline(KeepVisible(), ThermalNormalizer(), encoding=encoding)
    bgr = cv2.GaussianBlur(picture(), (0, 0), 5)
    fused = pipeline.fuse(frame(np.zeros((120, 160), np.uint8), "mono8"), frame(bgr, "bgr8"))
    expected = bgr if encoding == "bgr8" else bgr[..., ::-1]
    assert fused.encoding == encoding
    assert np.abs(fused.pixels.astype(int) - expected).max() <= 3


@pytest.mark.parametrize("encoding", ["rgb8", "bgra8", "rgba8", "mono8"])
def test_every_rgb_encoding_gives_the_same_picture_as_bgr(encoding: str) -> None:
    pipeline = FusionPipeline(KeepVisible(), ThermalNormalizer())
    grey = np.repeat(picture()[..., :1], 3, axis=2)
    conversions = {
        "rgb8": grey[..., ::-1],
        "bgra8": np.dstack([grey, np.full(grey.shape[:2], 255, np.uint8)]),
        "rgba8": np.dstack([grey, np.zeros(grey.shape[:2], np.uint8)]),
        "mono8": grey[..., 0],
    }
    thermal = frame(np.zeros((120, 160), np.uint8), "mono8")
    fused = pipeline.fuse(thermal, frame(np.ascontiguousarray(conversions[encoding]), encoding))
    assert np.abs(fused.pixels.astype(int) - grey).max() <= 2


def test_thermal_of_another_size_and_depth_is_fitted_and_normalised() -> None:
    engine = KeepVisible()
    counts = np.linspace(27_000, 31_000, 60 * 80).reshape(60, 80).astype(np.uint16)
    FusionPipeline(engine, ThermalNormalizer()).fuse(frame(counts, "mono16"), frame(picture(), "bgr8"))
    assert (engine.thermal.shape, engine.thermal.dtype) == ((SIZE.height, SIZE.width), np.uint8)
    assert engine.thermal[0, 0] == 0
    assert engine.thermal[-1, -1] == 255


def test_every_stage_is_timed() -> None:
    pipeline = FusionPipeline(KeepVisible(), ThermalNormalizer())
    fused = pipeline.fuse(frame(np.zeros((120, 160), np.uint8), "mono8"), frame(picture(), "bgr8"))
    assert list(pipeline.stages.percentiles()) == ["normalize", "align", "split", "engine", "join"]
    assert fused.engine_ms == pytest.approx(pipeline.stages.percentiles()["engine"].p50)


@pytest.mark.parametrize(
    ("pixels", "encoding", "reason"),
    [
        (np.ones((64, 64), np.float32), "32FC1", "encoding"),
        (np.ones((31, 64, 3), np.uint8), "bgr8", "size"),
    ],
)
def test_rgb_that_cannot_be_fused_is_refused_before_it_is_paired(
    pixels: np.ndarray, encoding: str, reason: str
) -> None:
    with pytest.raises(MalformedImage) as caught:
        check_rgb(frame(pixels, encoding))
    assert caught.value.reason == reason


def test_the_shipped_network_shows_walkers_that_the_smoke_hides() -> None:
    """The point of it all, on the synthetic street: where thermal is much brighter, fused is too."""
    size = ImageSize(320, 240)
    pipeline = FusionPipeline(create_engine(EngineRequest(), size), ThermalNormalizer())
    thermal, bgr = SyntheticScene(size.width, size.height).render(5.0)
    fused = cv2.cvtColor(pipeline.fuse(frame(thermal, "mono16"), frame(bgr, "bgr8")).pixels, cv2.COLOR_BGR2GRAY)
    visible = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    warm = ThermalNormalizer().normalize(thermal, 1) > visible.astype(int) + 80
    assert warm.sum() > 200
    assert fused[warm].mean() > visible[warm].mean() + 40
    elsewhere = cv2.dilate(warm.astype(np.uint8), np.ones((9, 9))) == 0
    assert np.corrcoef(fused[elsewhere], visible[elsewhere])[0, 1] > 0.6


class KeepThermal:
    """An engine that shows the thermal plane."""

    def fuse(self, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
        return thermal


def test_where_thermal_does_not_see_the_fused_image_is_the_rgb_image() -> None:
    narrow = Homography(((0.5, 0.0, 40.0), (0.0, 0.5, 30.0), (0.0, 0.0, 1.0)), SIZE, SIZE)
    pipeline = FusionPipeline(KeepThermal(), ThermalNormalizer(), placer=Placer(narrow))
    counts = np.full((SIZE.height, SIZE.width), 8000, np.uint16)
    counts[:, :80] = 9000
    rgb = frame(np.full((SIZE.height, SIZE.width), 77, np.uint8), "mono8")
    fused = pipeline.fuse(frame(counts, "mono16"), rgb).pixels[..., 0]
    assert (fused[:, :38] == 77).all()
    assert (fused[:28] == 77).all()
    assert (fused[45:75, 55:75] == 255).all()
    assert (fused[45:75, 85:105] == 0).all()
    assert "fade" in pipeline.stages.percentiles()


def test_the_range_is_that_of_the_thermal_camera_though_rgb_sees_a_part_of_it() -> None:
    """Normalised before it is placed: what lies outside of the RGB image counts too."""
    engine = KeepVisible()
    wide = Homography(((2.0, 0.0, -80.0), (0.0, 2.0, -60.0), (0.0, 0.0, 1.0)), SIZE, SIZE)
    counts = np.full((SIZE.height, SIZE.width), 8000, np.uint16)
    counts[:, :10] = 12000  # beside the RGB image
    counts[50:70, 70:90] = 10000
    pipeline = FusionPipeline(engine, ThermalNormalizer(), placer=Placer(wide))
    pipeline.fuse(frame(counts, "mono16"), frame(picture(), "bgr8"))
    assert engine.thermal.max() == pytest.approx(128, abs=1)


def test_a_single_camera_is_shown_as_it_is() -> None:
    pipeline = FusionPipeline(KeepVisible(), ThermalNormalizer())
    shown = pipeline.show_rgb(frame(picture(), "bgr8"))
    assert np.abs(shown.pixels.astype(int) - picture()).max() <= 3
    thermal = pipeline.show_thermal(frame(np.linspace(0, 9999, 4800).reshape(60, 80).astype(np.uint16), "mono16"))
    assert thermal.pixels.shape == (60, 80, 3)
    assert (thermal.pixels[..., 0] == thermal.pixels[..., 2]).all()


def test_a_steadied_stream_averages_where_the_sources_stand_still() -> None:
    rgb = frame(np.full((SIZE.height, SIZE.width), 100, np.uint8), "mono8")
    brighter = frame(np.full((SIZE.height, SIZE.width), 102, np.uint8), "mono8")
    thermal = frame(np.zeros((SIZE.height, SIZE.width), np.uint8), "mono8")
    for steadier, expected in ((None, 102), (Steadier(), 101)):
        pipeline = FusionPipeline(KeepVisible(), ThermalNormalizer(), steadier=steadier)
        pipeline.fuse(thermal, rgb)
        assert (pipeline.fuse(thermal, brighter).pixels == expected).all()
        assert ("steady" in pipeline.stages.percentiles()) == (steadier is not None)


def test_grey_messages_reach_every_engine_though_their_memory_is_read_only() -> None:
    pixels = picture()[..., 0].copy()
    pixels.flags.writeable = False  # as the codec gives a view of a message
    pipeline = FusionPipeline(create_engine(EngineRequest(), SIZE), ThermalNormalizer())
    fused = pipeline.fuse(frame(pixels, "mono8"), frame(pixels, "mono8"))
    assert fused.pixels.shape == (SIZE.height, SIZE.width, 3)


def test_the_presenter_gives_the_fused_plane_its_colours() -> None:
    thermal = np.zeros((SIZE.height, SIZE.width), np.uint8)
    thermal[40:80, 60:90] = 250
    bgr = np.full((SIZE.height, SIZE.width, 3), 200, np.uint8)
    shown = {
        style: FusionPipeline(KeepVisible(), ThermalNormalizer(), presenter=Presenter(style))
        .fuse(frame(thermal, "mono8"), frame(bgr, "bgr8"))
        .pixels.astype(int)
        for style in ("natural", "highlight")
    }
    assert (shown["natural"] == 200).all()
    assert (shown["highlight"][50:70, 70:80, 2] > shown["highlight"][50:70, 70:80, 0] + 60).all()
    assert (shown["highlight"][100:] == 200).all()


def test_at_half_the_size_the_engine_has_a_quarter_of_the_work_and_the_picture_keeps_its_detail() -> None:
    engine = KeepVisible()
    pipeline = FusionPipeline(engine, ThermalNormalizer())
    thermal, rgb = frame(np.zeros((120, 160), np.uint8), "mono8"), frame(picture(), "bgr8")
    whole = pipeline.fuse(thermal, rgb)
    pipeline.half = True
    np.testing.assert_array_equal(pipeline.fuse(thermal, rgb).pixels, whole.pixels)
    assert engine.thermal.shape == (60, 80)
    small = frame(picture()[:40, :40], "bgr8")  # of which the half would be too small for a network
    assert pipeline.fuse(thermal, small).pixels.shape == (40, 40, 3)
    assert engine.thermal.shape == (40, 40)


@pytest.mark.parametrize(
    ("output", "size"),
    [
        (OutputSize(), (160, 120)),
        (OutputSize(width=80), (80, 60)),
        (OutputSize(height=240), (320, 240)),
        (OutputSize(64, 64), (64, 64)),
    ],
)
def test_the_fused_image_has_the_size_that_is_wanted(output: OutputSize, size: tuple[int, int]) -> None:
    engine = KeepVisible()
    pipeline = FusionPipeline(engine, ThermalNormalizer())
    pipeline.output = output
    bgr = cv2.GaussianBlur(picture(), (0, 0), 9)
    rgb = frame(bgr, "bgr8")
    fused = pipeline.fuse(frame(np.zeros((60, 80), np.uint8), "mono8"), rgb).pixels
    assert fused.shape == (size[1], size[0], 3)
    assert engine.thermal.shape == (size[1], size[0])
    expected = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA if size[0] < 160 else cv2.INTER_LINEAR)
    assert np.abs(fused.astype(int) - expected).max() <= 4
    assert pipeline.show_rgb(rgb).pixels.shape == fused.shape


def test_an_output_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match=r"output.width cannot be 10; choose 0 or at least 32 pixels"):
        OutputSize(10, 64)
    assert OutputSize(width=640).of(ImageSize(6400, 100)) == (640, 32)
