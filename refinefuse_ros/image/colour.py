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

"""Luma and chroma of the visible image: the network fuses luma, colour goes around it.

Full-range BT.601 YCbCr (Rec. ITU-R BT.601-7 section 2.5.1 with 8-bit values over 0..255, as in JFIF and
OpenCV's COLOR_BGR2YCrCb): Y = 0.299 R + 0.587 G + 0.114 B, Cr = (R - Y) * 0.713 + 128, Cb = (B - Y) * 0.564 +
128, each rounded to 8 bit.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from refinefuse_ros.image.codec import (
    COLOUR_ENCODINGS,
    COUNT_ENCODINGS,
    ENCODINGS,
    GREY_ENCODINGS,
    MOSAIC_ENCODINGS,
    YUV444,
    MalformedImage,
    PixelFormat,
    depth16_to_8,
)

_TO_YCRCB: Final[dict[str, int]] = {
    **dict.fromkeys(("bgr8", "8UC3", "bgra8", "8UC4"), cv2.COLOR_BGR2YCrCb),
    **dict.fromkeys(("rgb8", "rgba8"), cv2.COLOR_RGB2YCrCb),
}
# Colours of 16 bits, by what they are when 8 are left.
_DEEP: Final[dict[str, str]] = {
    **{f"{order}16": f"{order}8" for order in ("bgr", "rgb", "bgra", "rgba")},
    "16UC3": "8UC3",
    "16UC4": "8UC4",
    **{name: name.removesuffix("16") + "8" for name in MOSAIC_ENCODINGS if name.endswith("16")},
}
_TO_GREY: Final[dict[str, int]] = {
    **dict.fromkeys(("bgr8", "8UC3", "bgr16", "16UC3"), cv2.COLOR_BGR2GRAY),
    **dict.fromkeys(("bgra8", "8UC4", "bgra16", "16UC4"), cv2.COLOR_BGRA2GRAY),
    **dict.fromkeys(("rgb8", "rgb16"), cv2.COLOR_RGB2GRAY),
    **dict.fromkeys(("rgba8", "rgba16"), cv2.COLOR_RGBA2GRAY),
    **dict.fromkeys(("uyvy", "yuv422"), cv2.COLOR_YUV2GRAY_UYVY),
    **dict.fromkeys(("yuyv", "yuv422_yuy2"), cv2.COLOR_YUV2GRAY_YUYV),
}
# ROS names a mosaic by its first two rows, OpenCV by the second and third pixel of the second row: RGGB is its BG.
_FROM_MOSAIC: Final[dict[str, int]] = {
    "bayer_rggb8": cv2.COLOR_BayerBG2BGR,
    "bayer_bggr8": cv2.COLOR_BayerRG2BGR,
    "bayer_gbrg8": cv2.COLOR_BayerGR2BGR,
    "bayer_grbg8": cv2.COLOR_BayerGB2BGR,
}
# Two pixels share their colour (4:2:2, limited range), as USB cameras send them; ROS has two names for either order.
_FROM_YUV: Final[dict[str, int]] = {
    **dict.fromkeys(("uyvy", "yuv422"), cv2.COLOR_YUV2BGR_UYVY),
    **dict.fromkeys(("yuyv", "yuv422_yuy2"), cv2.COLOR_YUV2BGR_YUYV),
}
# Limited-range BT.601 to B, G, R, as OpenCV has it for the formats above: it has none for one colour a pixel.
_FROM_YUV444: Final = np.array(
    [
        [1.164, 2.018, 0.0, -16 * 1.164 - 128 * 2.018],
        [1.164, -0.391, -0.813, -16 * 1.164 + 128 * (0.391 + 0.813)],
        [1.164, 0.0, 1.596, -16 * 1.164 - 128 * 1.596],
    ]
)
_BLACK_YUV444: Final = np.array([16, 0, 0], np.uint8)
VISIBLE_ENCODINGS: Final = tuple(COLOUR_ENCODINGS | MOSAIC_ENCODINGS | GREY_ENCODINGS)
"""What an RGB camera may send."""
THERMAL_ENCODINGS: Final = tuple(GREY_ENCODINGS | COUNT_ENCODINGS | COLOUR_ENCODINGS)
"""What a thermal camera may send."""
_FROM_YCRCB: Final[dict[str, int]] = {"bgr8": cv2.COLOR_YCrCb2BGR, "rgb8": cv2.COLOR_YCrCb2RGB}


def check_visible(encoding: str) -> None:
    """Refuse an encoding that no RGB image can have.

    Raises:
        MalformedImage: `encoding`.
    """
    _check(encoding, "an RGB", VISIBLE_ENCODINGS, COUNT_ENCODINGS, "which thermal cameras send")


def check_thermal(encoding: str) -> None:
    """Refuse an encoding that no thermal image can have.

    Raises:
        MalformedImage: `encoding`.
    """
    _check(encoding, "a thermal", THERMAL_ENCODINGS, MOSAIC_ENCODINGS, "which sensors behind a Bayer filter send")


def to_bgr(pixels: np.ndarray, encoding: str) -> np.ndarray | None:
    """The image, HxWx3 BGR in its own depth, of an encoding whose pixels lack colours of their own; None of others.

    Those are mosaics, which are interpolated, and YUV.
    """
    if encoding == YUV444:
        return cv2.transform(np.maximum(pixels, _BLACK_YUV444), _FROM_YUV444)
    conversion = _FROM_MOSAIC.get(_DEEP.get(encoding, encoding)) or _FROM_YUV.get(encoding)
    return None if conversion is None else cv2.cvtColor(pixels, conversion)


def split_luma(pixels: np.ndarray, encoding: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the luma, uint8 HxW, and the chroma of an image in a ROS encoding; a Bayer mosaic is
    interpolated first, and the colours of 4:2:2 YUV are repeated.

    The chroma is an opaque uint8 HxWx3 array for `join_luma`, which overwrites one plane of it; it is None
    for a grey image. 16-bit values are taken as full range.

    Raises:
        MalformedImage: `encoding`: the encoding has no luma (32FC1) or is unknown.
    """
    if encoding in _DEEP:
        pixels, encoding = depth16_to_8(pixels), _DEEP[encoding]
    bgr = to_bgr(pixels, encoding)
    if bgr is not None:
        pixels, encoding = bgr, "bgr8"
    if encoding in _TO_YCRCB:
        ycrcb = cv2.cvtColor(pixels, _TO_YCRCB[encoding])
        return cv2.extractChannel(ycrcb, 0), ycrcb
    check_visible(encoding)
    return depth16_to_8(pixels) if pixels.dtype == np.uint16 else pixels, None


def mosaic(bgr: np.ndarray, encoding: str) -> np.ndarray:
    """Return what a sensor behind a Bayer filter sees of an image, uint8 HxWx3 BGR: uint8 HxW in `encoding`.

    Raises:
        ValueError: `encoding` is no 8-bit Bayer encoding.
    """
    if encoding not in _FROM_MOSAIC:
        raise ValueError(f"'{encoding}' is no Bayer encoding; choose one of {', '.join(_FROM_MOSAIC)}.")
    sampled = np.empty(bgr.shape[:2], np.uint8)
    colours = encoding.removeprefix("bayer_").removesuffix("8")
    for colour, (row, column) in zip(colours, np.ndindex(2, 2), strict=True):
        sampled[row::2, column::2] = bgr[row::2, column::2, "bgr".index(colour)]
    return sampled


def to_grey(pixels: np.ndarray, encoding: str) -> np.ndarray:
    """Return the one plane, HxW in its own depth, of an image in a ROS encoding.

    Single-channel images are returned themselves; the luma is taken of colour ones (thermal cameras often
    send their grey picture as colour). Nothing is rescaled.
    """
    if encoding == YUV444:
        return cv2.extractChannel(pixels, 0)
    return cv2.cvtColor(pixels, _TO_GREY[encoding]) if encoding in _TO_GREY else pixels


def join_luma(luma: np.ndarray, chroma: np.ndarray | None, encoding: str) -> np.ndarray:
    """Return the image of a luma plane, uint8 HxW, and a chroma from `split_luma`.

    uint8 HxWx3 for `bgr8` and `rgb8` (grey where chroma is None); for `mono8`, `luma` itself.

    Raises:
        ValueError: the encoding is none of the three, or luma and chroma differ in size.
    """
    if encoding == "mono8":
        return luma
    if chroma is None:
        _check_fused(encoding)
        return cv2.cvtColor(luma, cv2.COLOR_GRAY2BGR)
    if chroma.shape[:2] != luma.shape:
        raise ValueError(
            f"luma of shape {luma.shape} does not fit chroma of shape {chroma.shape[:2]}; "
            "give both from the same frame."
        )
    cv2.insertChannel(luma, chroma, 0)
    return from_ycrcb(chroma, encoding)


def from_ycrcb(ycrcb: np.ndarray, encoding: str) -> np.ndarray:
    """Return Y, Cr and Cb, uint8 HxWx3, as uint8 HxWx3 in `bgr8` or `rgb8`.

    Raises:
        ValueError: the encoding is neither.
    """
    _check_fused(encoding)
    return cv2.cvtColor(ycrcb, _FROM_YCRCB[encoding])


def _check_fused(encoding: str) -> None:
    if encoding not in _FROM_YCRCB:
        raise ValueError(f"fused image encoding '{encoding}' is not supported; choose bgr8, rgb8 or mono8.")


def _check(encoding: str, an: str, accepted: tuple[str, ...], others: dict[str, PixelFormat], what: str) -> None:
    if encoding in accepted or encoding == YUV444:
        return
    why = f", {what}" if encoding in others else "" if encoding in ENCODINGS else ", which is unknown"
    raise MalformedImage(
        "encoding", f"{an} image cannot be '{encoding}'{why}; set the camera to one of {', '.join(accepted)}."
    )
