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

"""Whether a picture looks as if its camera sent something else than it says: by a sample of its pixels, in a sentence.

A picture that is suspected is used all the same; only the camera's owner can know.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from refinefuse_ros.image.codec import COLOUR_ENCODINGS, YUV444
from refinefuse_ros.image.frame import Frame

# Rows of the sample, which are taken whole, for their neighbours are compared.
_SAMPLED_ROWS: Final = 24
# Exchanging bytes makes a real picture at least so many times rougher; a wrongly read one becomes that much smoother.
_ROUGHER: Final = 8.0
# A picture of which more lies at the end of its range shows little else; skies and lamps overexpose an RGB camera.
_SATURATED_SHARE: Final = {"thermal": 0.5, "rgb": 0.9}
# Grey that went through JPEG or a colour matrix is off by a level or two.
_COLOURED_LEVELS: Final = 8.0
_COLOURED_SHARE: Final = 0.1
_FEWER_BITS: Final = (9, 10, 12, 14)


def suspicion(frame: Frame, camera: str) -> str | None:
    """What is suspected of a frame, as `SensorView` gives it, of a "thermal" or "rgb" camera; None if nothing is."""
    step = max(1, frame.pixels.shape[0] // _SAMPLED_ROWS)
    rows = frame.pixels[step // 2 :: step]
    if rows.dtype == np.uint16 and _is_smoother_swapped(rows):
        return (
            f"The {camera} image is smooth only with the two bytes of each pixel exchanged: its byte order is not what"
            f" its messages say{'; set thermal.big_endian' if camera == 'thermal' else ''}."
        )
    if rows.dtype.kind == "u":
        if camera == "thermal" and (coloured := _coloured_share(rows, frame.encoding)) > _COLOURED_SHARE:
            return (
                f"The thermal image has colours in {coloured:.0%} of its pixels, as from a palette, whose brightness is"
                " not the temperature's; set the camera to white hot, or to raw counts."
            )
        top = np.iinfo(rows.dtype).max
        saturated = float((rows == top).mean())
        if saturated > _SATURATED_SHARE[camera]:
            return (
                f"The {camera} image has {saturated:.0%} of its values at {top}, the largest that its encoding holds:"
                f" {_saturation_advice(camera, frame.encoding)}"
            )
    if camera == "rgb" and rows.dtype == np.uint16 and (bits := _used_bits(rows)) < 16:
        return f"The rgb image uses no more than {bits} of its 16 bits, and is dark; if it has no more, set rgb.bits."
    return None


def _is_smoother_swapped(rows: np.ndarray) -> bool:
    swapped = rows.byteswap()
    if swapped.max() < 256:  # 8 bits that were spread over 16 look the same
        return False
    return _roughness(rows) > _ROUGHER * _roughness(swapped)


def _roughness(rows: np.ndarray) -> float:
    """Mean difference of neighbours of the same colour; two apart, for a mosaic's neighbours are of different ones."""
    return float(np.abs(np.subtract(rows[:, 2:], rows[:, :-2], dtype=np.int32)).mean()) if rows.shape[1] > 2 else 0.0


def _coloured_share(rows: np.ndarray, encoding: str) -> float:
    if encoding not in COLOUR_ENCODINGS and encoding != YUV444:
        return 0.0
    if rows.shape[2] == 2 or encoding == YUV444:
        chroma = rows[..., 1 if encoding in ("yuyv", "yuv422_yuy2") else 0] if rows.shape[2] == 2 else rows[..., 1:]
        return float((cv2.absdiff(np.ascontiguousarray(chroma), 128.0) > _COLOURED_LEVELS).mean())
    first, second, third = (rows[..., channel] for channel in range(3))
    spread = np.maximum(np.maximum(first, second), third) - np.minimum(np.minimum(first, second), third)
    return float((spread > _COLOURED_LEVELS * (257 if rows.dtype == np.uint16 else 1)).mean())


def _saturation_advice(camera: str, encoding: str) -> str:
    if camera == "rgb":
        return "it is overexposed; check its exposure."
    if encoding in ("mono8", "8UC1"):
        return "deeper pixels may have been cut to 8 bit, as by JPEG; send them raw, as PNG or as compressedDepth."
    return "check the camera's gain and range."


def _used_bits(rows: np.ndarray) -> int:
    """The least of the usual numbers of bits that hold all values; 16 where more are used, or none."""
    top = int(rows.max(initial=0))
    return next((bits for bits in _FEWER_BITS if 256 <= top < 2**bits), 16)
