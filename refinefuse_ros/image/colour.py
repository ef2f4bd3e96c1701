# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Luma and chroma of the visible image: the network fuses luma, colour goes around it.

Full-range BT.601 YCbCr (Rec. ITU-R BT.601-7 section 2.5.1 with 8-bit values over 0..255, as in JFIF and
OpenCV's COLOR_BGR2YCrCb): Y = 0.299 R + 0.587 G + 0.114 B, Cr = (R - Y) * 0.713 + 128, Cb = (B - Y) * 0.564 +
128, each rounded to 8 bit.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from refinefuse_ros.image.codec import MalformedImage, depth16_to_8

_TO_YCRCB: Final[dict[str, int]] = {
    "bgr8": cv2.COLOR_BGR2YCrCb,
    "8UC3": cv2.COLOR_BGR2YCrCb,
    "bgra8": cv2.COLOR_BGR2YCrCb,
    "rgb8": cv2.COLOR_RGB2YCrCb,
    "rgba8": cv2.COLOR_RGB2YCrCb,
}
_TO_GREY: Final[dict[str, int]] = {
    "bgr8": cv2.COLOR_BGR2GRAY,
    "8UC3": cv2.COLOR_BGR2GRAY,
    "bgra8": cv2.COLOR_BGRA2GRAY,
    "rgb8": cv2.COLOR_RGB2GRAY,
    "rgba8": cv2.COLOR_RGBA2GRAY,
    "uyvy": cv2.COLOR_YUV2GRAY_UYVY,
    "yuv422": cv2.COLOR_YUV2GRAY_UYVY,
    "yuyv": cv2.COLOR_YUV2GRAY_YUYV,
    "yuv422_yuy2": cv2.COLOR_YUV2GRAY_YUYV,
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
    "uyvy": cv2.COLOR_YUV2BGR_UYVY,
    "yuv422": cv2.COLOR_YUV2BGR_UYVY,
    "yuyv": cv2.COLOR_YUV2BGR_YUYV,
    "yuv422_yuy2": cv2.COLOR_YUV2BGR_YUYV,
}
_GREY_8: Final = ("mono8", "8UC1")
_GREY_16: Final = ("mono16", "16UC1")
VISIBLE_ENCODINGS: Final = (*_TO_YCRCB, *_FROM_MOSAIC, *_FROM_YUV, *_GREY_8, *_GREY_16)
_FROM_YCRCB: Final[dict[str, int]] = {"bgr8": cv2.COLOR_YCrCb2BGR, "rgb8": cv2.COLOR_YCrCb2RGB}


def split_luma(pixels: np.ndarray, encoding: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the luma, uint8 HxW, and the chroma of an image in a ROS encoding; a Bayer mosaic is
    interpolated first, and the colours of 4:2:2 YUV are repeated.

    The chroma is an opaque uint8 HxWx3 array for `join_luma`, which overwrites one plane of it; it is None
    for a grey image. 16-bit grey is taken as full range.

    Raises:
        MalformedImage: `encoding`: the encoding has no luma (32FC1) or is unknown.
    """
    to_bgr = _FROM_MOSAIC.get(encoding) or _FROM_YUV.get(encoding)
    if to_bgr is not None:
        pixels, encoding = cv2.cvtColor(pixels, to_bgr), "bgr8"
    if encoding in _TO_YCRCB:
        ycrcb = cv2.cvtColor(pixels, _TO_YCRCB[encoding])
        return cv2.extractChannel(ycrcb, 0), ycrcb
    if encoding in _GREY_8:
        return pixels, None
    if encoding in _GREY_16:
        return depth16_to_8(pixels), None
    raise MalformedImage(
        "encoding",
        f"visible image encoding '{encoding}' is not supported; "
        f"set the camera to one of {', '.join(VISIBLE_ENCODINGS)}.",
    )


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
    return cv2.cvtColor(pixels, _TO_GREY[encoding]) if encoding in _TO_GREY else pixels


def join_luma(luma: np.ndarray, chroma: np.ndarray | None, encoding: str) -> np.ndarray:
    """Return the image of a luma plane, uint8 HxW, and a chroma from `split_luma`.

    uint8 HxWx3 for `bgr8` and `rgb8` (grey where chroma is None); for `mono8`, `luma` itself.

    Raises:
        ValueError: the encoding is none of the three, or luma and chroma differ in size.
    """
    if encoding == "mono8":
        return luma
    if encoding not in _FROM_YCRCB:
        raise ValueError(f"fused image encoding '{encoding}' is not supported; choose bgr8, rgb8 or mono8.")
    if chroma is None:
        return cv2.cvtColor(luma, cv2.COLOR_GRAY2BGR)
    if chroma.shape[:2] != luma.shape:
        raise ValueError(
            f"luma of shape {luma.shape} does not fit chroma of shape {chroma.shape[:2]}; "
            "give both from the same frame."
        )
    cv2.insertChannel(luma, chroma, 0)
    return cv2.cvtColor(chroma, _FROM_YCRCB[encoding])
