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

"""The one way a pair of frames becomes a fused image: live node, offline tools and benchmarks call it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from refinefuse_ros.alignment.placing import PlacedThermal, Placer, fit_to
from refinefuse_ros.alignment.watching import AlignmentWatch
from refinefuse_ros.engine.base import MINIMUM_SIDE_PX
from refinefuse_ros.image.codec import MalformedImage
from refinefuse_ros.image.colour import check_visible, join_luma, split_luma, to_grey
from refinefuse_ros.image.frame import Frame, ImageSize
from refinefuse_ros.image.halving import halved, with_change
from refinefuse_ros.image.normalization import ThermalNormalizer
from refinefuse_ros.image.presentation import Presenter
from refinefuse_ros.image.steadying import Steadier
from refinefuse_ros.stream.timing import NS_PER_MS, StageTimes


class Fuser(Protocol):
    """What the pipeline needs of an engine: `EngineHost`, or a bare `Engine`."""

    def fuse(self, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class FusedImage:
    """The result for one pair.

    Attributes:
        pixels: (H, W, 3) uint8 in the order of `encoding`, at the output's size.
        encoding: "bgr8" or "rgb8".
        engine_ms: how long the engine took; 0 for a frame that was passed through.
    """

    pixels: np.ndarray
    encoding: str
    engine_ms: float = 0.0


@dataclass(frozen=True)
class OutputSize:
    """What size the fused image has.

    Attributes:
        width, height: pixels; where one is 0, it follows from the other by the RGB image's shape, and where both are,
            the fused image has the RGB image's size.

    Raises:
        ValueError: one of them is too small for the network.
    """

    width: int = 0
    height: int = 0

    def __post_init__(self) -> None:
        for name, side in (("width", self.width), ("height", self.height)):
            if side and side < MINIMUM_SIDE_PX:
                raise ValueError(f"output.{name} cannot be {side}; choose 0 or at least {MINIMUM_SIDE_PX} pixels.")

    def of(self, rgb: ImageSize) -> ImageSize:
        """The fused image's size for an RGB image of this one."""
        if not (self.width or self.height):
            return rgb
        width = self.width or round(self.height * rgb.width / rgb.height)
        height = self.height or round(self.width * rgb.height / rgb.width)
        return ImageSize(max(width, MINIMUM_SIDE_PX), max(height, MINIMUM_SIDE_PX))


def check_rgb(rgb: Frame) -> None:
    """Refuse an RGB frame that could not be fused, before it takes a thermal partner with it.

    Raises:
        MalformedImage: its encoding has no luma, or it is too small for the network.
    """
    check_visible(rgb.encoding)
    if min(rgb.size) < MINIMUM_SIDE_PX:
        raise MalformedImage(
            "size", f"an RGB image of {rgb.size} is too small; use at least {MINIMUM_SIDE_PX} pixels a side."
        )


def prepare_thermal(
    thermal: Frame, size: ImageSize, normalizer: ThermalNormalizer, placer: Placer, stages: StageTimes | None = None
) -> PlacedThermal:
    """The thermal frame as the network takes it: normalised by its own pixels, then placed onto an image of `size`.

    Raises:
        MalformedImage: its encoding is no thermal image's.
        AlignmentError: the alignment is not for images of these sizes.
    """
    measure = (stages or StageTimes()).measure
    with measure("normalize"):
        plane = normalizer.normalize(to_grey(thermal.pixels, thermal.encoding), thermal.stamp_ns)
    with measure("align"):
        return placer.place(plane, size)


class FusionPipeline:
    """Normalise, align, split, fuse, steady, join; each stage timed.

    Not thread-safe: one worker owns a pipeline (the normaliser remembers the scene's range, the engine its buffers).

    Attributes:
        normalizer: of the thermal frames.
        steadier: averages noise over the frames of one stream; None leaves each frame as it was fused.
        presenter: gives the fused plane its colours; natural ones where none is given.
        watch: is shown each pair as it lies; None where nobody watches.
        output: what size the fused image has; RGB is brought to it before it is fused.
        half: whether the engine works at half the size; images of which it could not are fused whole.
    """

    def __init__(
        self,
        engine: Fuser,
        normalizer: ThermalNormalizer,
        encoding: str = "bgr8",
        stages: StageTimes | None = None,
        steadier: Steadier | None = None,
        presenter: Presenter | None = None,
        placer: Placer | None = None,
    ) -> None:
        self.normalizer = normalizer
        self._placer = placer or Placer()
        self.steadier = steadier
        self.presenter = presenter or Presenter()
        self.watch: AlignmentWatch | None = None
        self.half = False
        self.output = OutputSize()
        self.stages = stages or StageTimes()
        self._engine = engine
        self._encoding = encoding

    def fuse(self, thermal: Frame, rgb: Frame) -> FusedImage:
        """Fuse one pair.

        Args:
            thermal: any single-channel frame (or a grey one stored as colour), of any size; it is placed onto `rgb`.
            rgb: the visible frame.

        Raises:
            MalformedImage: a frame's encoding cannot be used as what it is given for.
            AlignmentError: the alignment is not for frames of these sizes.
            EngineError: the engine could not fuse the pair.
        """
        size = self.output.of(rgb.size)
        return self.fuse_placed(prepare_thermal(thermal, size, self.normalizer, self._placer, self.stages), rgb)

    def fuse_placed(self, thermal: PlacedThermal, rgb: Frame) -> FusedImage:
        """As `fuse`, from a thermal plane that is normalised and placed already, at the output's size."""
        measure = self.stages.measure
        with measure("split"):
            luma, chroma = _split(rgb, ImageSize.of(thermal.plane))
        if self.watch:
            self.watch.show(thermal, luma)
        start_ns = time.perf_counter_ns()
        fused_luma = self._fuse_luma(thermal.plane, luma)
        engine_ms = (time.perf_counter_ns() - start_ns) / NS_PER_MS
        self.stages.add("engine", engine_ms)
        if thermal.weight is not None:
            with measure("fade"):
                fused_luma = thermal.fade(fused_luma, luma)
        if self.steadier:
            with measure("steady"):
                fused_luma = self.steadier.steady(thermal.plane, luma, fused_luma)
        with measure("join"):
            pixels = self.presenter.present(fused_luma, thermal.plane, luma, chroma, self._encoding)
        return FusedImage(pixels, self._encoding, engine_ms)

    def _fuse_luma(self, thermal_plane: np.ndarray, luma: np.ndarray) -> np.ndarray:
        if not self.half or min(luma.shape) < 2 * MINIMUM_SIDE_PX:
            return self._engine.fuse(thermal_plane, luma)
        small = halved(luma)
        return with_change(luma, small, self._engine.fuse(halved(thermal_plane), small))

    def show_thermal(self, thermal: Frame) -> FusedImage:
        """The thermal frame alone, normalised and grey, for when the RGB camera is missing."""
        plane = self.normalizer.normalize(to_grey(thermal.pixels, thermal.encoding), thermal.stamp_ns)
        return FusedImage(join_luma(plane, None, self._encoding), self._encoding)

    def show_rgb(self, rgb: Frame) -> FusedImage:
        """The RGB frame alone, for when the thermal camera is missing."""
        return FusedImage(join_luma(*_split(rgb, self.output.of(rgb.size)), self._encoding), self._encoding)


def _split(rgb: Frame, size: ImageSize) -> tuple[np.ndarray, np.ndarray | None]:
    """Luma and chroma of an RGB frame brought to a size."""
    luma, chroma = split_luma(rgb.pixels, rgb.encoding)
    return fit_to(luma, size), None if chroma is None else fit_to(chroma, size)
