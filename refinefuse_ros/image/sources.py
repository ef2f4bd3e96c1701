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

"""Where camera pairs come from without cameras: what a source gives, stills, and the synthetic scene."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from refinefuse_ros.image.files import PairedFiles, read_rgb, read_thermal
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.synthetic import SyntheticScene

STILLS_RATE_HZ = 10.0
SYNTHETIC_RATE_HZ = 30.0
# 8-bit thermal sources are spread over the range of a 14-bit camera when they stand for one.
COUNTS_PER_GREY = 64


@dataclass(frozen=True)
class ImagePair:
    """A thermal and an RGB image of the same moment.

    Attributes:
        thermal: (H, W) uint8, uint16 or float32, in `thermal_encoding` ("mono8", "mono16", "32FC1").
        rgb: (H, W, 3) uint8, BGR.
        period_s: time until the source's next pair.
        thermal_reused: an earlier pair carried the same thermal image, which no camera would send again.
    """

    thermal: np.ndarray
    thermal_encoding: str
    rgb: np.ndarray
    period_s: float
    thermal_reused: bool = False

    def thermal_counts(self) -> tuple[np.ndarray, str]:
        """The thermal image and its encoding as a 14-bit camera sends it; what has more than 8 bits stays as it is."""
        if self.thermal_encoding != "mono8":
            return self.thermal, self.thermal_encoding
        return self.thermal.astype(np.uint16) * COUNTS_PER_GREY, "mono16"


class PairSource(Protocol):
    """Something that can be played from its start, any number of times."""

    @property
    def description(self) -> str: ...

    def __iter__(self) -> Iterator[ImagePair]: ...


class SyntheticPairs:
    """One period of the synthetic scene; played again it continues without a seam."""

    def __init__(self, size: ImageSize, rate_hz: float = SYNTHETIC_RATE_HZ) -> None:
        self._scene = SyntheticScene(size.width, size.height)
        self._rate_hz = rate_hz
        self.description = f"synthetic night road, {size} at {rate_hz:g} Hz"

    def __iter__(self) -> Iterator[ImagePair]:
        for index in range(round(SyntheticScene.PERIOD_S * self._rate_hz)):
            thermal, rgb = self._scene.render(index / self._rate_hz)
            yield ImagePair(thermal, "mono16", rgb, 1 / self._rate_hz)


class StillPairs:
    """Pairs of still images, in name order."""

    def __init__(self, files: list[PairedFiles], rate_hz: float = STILLS_RATE_HZ) -> None:
        self._files = files
        self._rate_hz = rate_hz
        self.description = f"{len(files)} still pair(s) at {rate_hz:g} Hz"

    def __iter__(self) -> Iterator[ImagePair]:
        for pair in self._files:
            thermal, encoding = read_thermal(pair.thermal)
            yield ImagePair(thermal, encoding, read_rgb(pair.rgb), 1 / self._rate_hz)
