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

"""The pictures of the page: each once, as a data URI, however often it is shown."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

import cv2
import numpy as np

from refinefuse_ros.evaluation.verdict import Method, Picture


@dataclass(frozen=True)
class ShownPicture:
    """A moment as the page's script takes it.

    Attributes:
        name: of the pair.
        seconds: since the source's first pair; None for stills.
        layers: numbers in the `PictureStore` of thermal, RGB and each method's fused image, in the order of
            `layer_names`; None for a method that does not have this pair.
    """

    name: str
    seconds: float | None
    layers: list[int | None]


@dataclass
class PictureStore:
    """Data URIs of JPEG files by number; equal files get one number."""

    uris: list[str] = field(default_factory=list)
    _numbers: dict[bytes, int] = field(default_factory=dict)

    def add(self, picture: Picture, methods: list[Method]) -> ShownPicture:
        fused = [picture.fused.get(method.label) for method in methods]
        files = (picture.thermal, picture.rgb, *fused)
        layers = [None if file is None else self._number_of(file) for file in files]
        return ShownPicture(picture.name, picture.seconds, layers)

    def _number_of(self, file: bytes) -> int:
        if file not in self._numbers:
            self._numbers[file] = len(self.uris)
            self.uris.append(f"data:image/jpeg;base64,{base64.b64encode(file).decode()}")
        return self._numbers[file]


def layer_names(methods: list[Method]) -> list[str]:
    return ["thermal", "RGB", *(method.label for method in methods)]


def aspect_ratio(pictures: list[Picture]) -> float:
    """Width over height of the first RGB picture, for the places that pictures take on the page; 4:3 without one."""
    if not pictures:
        return 4 / 3
    pixels = cv2.imdecode(np.frombuffer(pictures[0].rgb, np.uint8), cv2.IMREAD_GRAYSCALE)
    return pixels.shape[1] / pixels.shape[0]
