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

"""How a fused luma plane is shown: in the RGB camera's colours, with warm objects tinted, in thermal colours, or grey.

Styles give colour and leave the luma as it was fused, so that what is measured of it does not depend on them. Only
`highlight` lowers it, on warm objects above 240, for nothing there could be coloured: the whitest white has no colours.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from refinefuse_ros.image.colour import from_ycrcb, join_luma

STYLES: Final = ("natural", "highlight", "palette", "grey")
"""The first is what is shown where nobody says otherwise."""

# Luma from which on a pixel of the RGB image keeps its colour whole; in the dark it is the sensor's noise.
_COLOUR_FROM: Final = 24
# Chroma is weighted by 128ths in int16: (-128 * 128) plus 60 * 128 fits.
_WHOLE: Final = 128
# The definition of a warm object: brighter than its surroundings, blurred by a tenth of the picture's shorter side, by
# more than 24 levels and more than the picture's standard deviation. The tint begins 4 levels below that and is whole 8
# above, so that noise does not make its edge flicker.
_WARM_LEVELS: Final = 24.0
_BELOW_LIMIT: Final = 4.0
_RAMP_LEVELS: Final = 12.0
_SURROUNDINGS: Final = 10
# Weights are made at half the resolution, surroundings at a sixteenth.
_WEIGHTS_SCALE: Final = 2
_SURROUNDINGS_SCALE: Final = 16
# The tint is orange, and yellow towards white; as much of it as has room in RGB at a luma.
_TINT_CR: Final = 36
_TINT_CB: Final = -60
_HIGHEST_TINTED: Final = 240


class Presenter:
    """Makes the picture of fused planes, in one of `STYLES`. Keeps nothing between frames.

    Raises:
        ValueError: the style is unknown.
    """

    def __init__(self, style: str = "natural") -> None:
        if style not in STYLES:
            raise ValueError(f"style '{style}' is unknown; choose one of {', '.join(STYLES)}.")
        self.style = style

    def present(
        self, fused: np.ndarray, thermal: np.ndarray, visible: np.ndarray, chroma: np.ndarray | None, encoding: str
    ) -> np.ndarray:
        """The picture of a fused plane, uint8 (H, W, 3) in the order of `encoding`, bgr8 or rgb8.

        Args:
            fused: uint8 (H, W), the luma to show.
            thermal: uint8 (H, W), white hot, as it was fused.
            visible: uint8 (H, W), the RGB image's luma.
            chroma: its chroma, of `split_luma`; None for a grey image.
        """
        if self.style == "palette":
            return from_ycrcb(_in_thermal_colours(fused, thermal), encoding)
        weights = tint_weights(thermal) if self.style == "highlight" else None
        if self.style == "grey" or (chroma is None and weights is None):
            return join_luma(fused, None, encoding)
        if weights is not None:
            fused = cv2.min(fused, cv2.convertScaleAbs(weights, None, (_HIGHEST_TINTED - 255) / _WHOLE, 255))
        return from_ycrcb(_coloured(fused, visible, chroma, weights), encoding)


def tint_weights(thermal: np.ndarray) -> np.ndarray | None:
    """How much of a warm object's tint each pixel of a thermal plane takes; None where there is no warm object at all.

    Args:
        thermal: uint8 (H, W), white hot.

    Returns:
        int16 (H, W), 0 to 128, with soft edges.
    """
    height, width = thermal.shape
    small = cv2.resize(thermal, _scaled(width, height, _WEIGHTS_SCALE), interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(small, _scaled(width, height, _SURROUNDINGS_SCALE), interpolation=cv2.INTER_AREA)
    sigma = min(height, width) / _SURROUNDINGS / _SURROUNDINGS_SCALE
    around = cv2.GaussianBlur(coarse.astype(np.float32), (0, 0), max(sigma, 0.5))
    around = cv2.resize(around, (small.shape[1], small.shape[0]), interpolation=cv2.INTER_LINEAR)
    limit = max(_WARM_LEVELS, float(cv2.meanStdDev(small)[1][0, 0])) - _BELOW_LIMIT
    weights = cv2.subtract(cv2.blur(small, (2, 2)), around, dtype=cv2.CV_32F)
    weights = np.clip((weights - limit) * (_WHOLE / _RAMP_LEVELS), 0, _WHOLE)
    if not weights.any():
        return None
    return cv2.resize(weights, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.int16)


def _scaled(width: int, height: int, scale: int) -> tuple[int, int]:
    return max(1, width // scale), max(1, height // scale)


def _coloured(
    fused: np.ndarray, visible: np.ndarray, chroma: np.ndarray | None, weights: np.ndarray | None
) -> np.ndarray:
    """Y, Cr and Cb of a fused plane in the RGB image's colours, which are damped in the dark, and give way to the tint.

    Args:
        chroma: None for a grey RGB image.
        weights: of the tint, of `tint_weights`.
    """
    planes = []
    if chroma is not None:
        keep = cv2.min(cv2.convertScaleAbs(visible, None, _WHOLE / _COLOUR_FROM), _WHOLE).astype(np.int16)
        if weights is not None:
            keep *= _WHOLE - weights
            keep >>= 7
        for channel in cv2.split(chroma)[1:]:
            plane = channel.astype(np.int16)
            plane -= 128
            plane *= keep
            planes.append(plane)
    if weights is not None:
        cr = cv2.min(cv2.min(fused, cv2.bitwise_not(fused) >> 1), _TINT_CR)
        cb = cv2.min(fused >> 1, -_TINT_CB)
        tints = [cr * weights, cb * -weights]
        planes = [cv2.add(plane, tint) for plane, tint in zip(planes, tints, strict=True)] if planes else tints
    return cv2.merge([fused, *(cv2.convertScaleAbs(plane, None, 1 / _WHOLE, 128) for plane in planes)])


def _in_thermal_colours(fused: np.ndarray, thermal: np.ndarray) -> np.ndarray:
    """Y, Cr and Cb of a fused plane in the colours of a thermal map, as much of them as leave every pixel its luma."""
    room = cv2.min(fused, cv2.bitwise_not(fused)) >> 1
    least, most = 128 - room, 128 + room
    channels = (cv2.LUT(thermal, channel) for channel in _MAP[1:])
    return cv2.merge([fused, *(cv2.min(cv2.max(channel, least), most) for channel in channels)])


_MAP: Final = cv2.split(
    cv2.cvtColor(cv2.applyColorMap(np.arange(256, dtype=np.uint8), cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2YCrCb)
)
