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

"""What a camera's messages do not say, or say wrongly: how its bytes are to be read, and which part shows the scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import cv2
import numpy as np

from refinefuse_ros.image.codec import ENCODINGS, MAX_PIXELS, MalformedImage, MessageData, decode, known_encoding
from refinefuse_ros.image.colour import check_thermal, check_visible, to_bgr, to_grey
from refinefuse_ros.image.compressed import decode_compressed
from refinefuse_ros.image.frame import ImageSize

_TURNS: Final[dict[int, int | None]] = {
    0: None,
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
_FLIPS: Final[dict[str, int | None]] = {"none": None, "horizontal": 1, "vertical": 0}
FLIPS: Final = tuple(_FLIPS)
CAMERAS: Final = ("thermal", "rgb")


class Crop(NamedTuple):
    """A part of an image, px. A width or height of 0 or less ends so many pixels before the image's own end."""

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> Crop:
        """Read "0 2 640 512"; the empty text is the whole image.

        Raises:
            ValueError: not four whole numbers, or x or y is below 0.
        """
        try:
            x, y, width, height = (int(number) for number in text.split() or (0, 0, 0, 0))
        except ValueError:
            x = -1
        if x < 0 or y < 0:
            raise ValueError(
                f"'{text}' is no part of an image; write it as x y width height in pixels, such as 0 2 640 512, where a"
                " width or height of 0 or less ends so many pixels before the image does."
            )
        return cls(x, y, width, height)

    def of(self, size: ImageSize) -> Crop | None:
        """The part of an image of that size, width and height above 0; None where it does not lie within it."""
        width = self.width if self.width > 0 else size.width - self.x + self.width
        height = self.height if self.height > 0 else size.height - self.y + self.height
        fits = width > 0 and height > 0 and self.x + width <= size.width and self.y + height <= size.height
        return Crop(self.x, self.y, width, height) if fits else None


WHOLE: Final = Crop(0, 0, 0, 0)


@dataclass(frozen=True)
class SensorView:
    """How the images of one camera are taken in.

    Attributes:
        camera: "thermal" or "rgb": which encodings are taken, and how the others are refused.
        encoding: what the pixels are, whatever the messages say; empty where those are right.
        big_endian: the same for the byte order; None where the messages are right.
        bits: how many of the 16 bits of an RGB camera's pixels are used; the pixels are spread to all of them.
        crop: the part of the image, as it is sent, that shows the scene.
        rotate: degrees by which that part is turned clockwise: 0, 90, 180 or 270.
        flip: "none", "horizontal" (left becomes right) or "vertical"; after turning.

    Raises:
        ValueError: one of them is not allowed; the message is a sentence that names it as the camera's parameter.
    """

    camera: str
    encoding: str = ""
    big_endian: bool | None = None
    bits: int = 16
    crop: Crop = WHOLE
    rotate: int = 0
    flip: str = "none"

    def __post_init__(self) -> None:
        if self.camera not in CAMERAS:
            raise ValueError(f"'{self.camera}' is no camera; choose {' or '.join(CAMERAS)}.")
        if self.encoding:
            try:
                self._check(self.encoding)
            except MalformedImage as error:
                raise ValueError(f"{self.camera}.encoding cannot be '{self.encoding}': {error}") from error
        if self.rotate not in _TURNS:
            raise ValueError(f"{self.camera}.rotate cannot be {self.rotate}; choose 0, 90, 180 or 270.")
        if self.flip not in _FLIPS:
            raise ValueError(f"{self.camera}.flip cannot be '{self.flip}'; choose {', '.join(_FLIPS)}.")
        if not 8 < self.bits <= 16:
            raise ValueError(f"{self.camera}.bits cannot be {self.bits}; choose 9 to 16.")

    @property
    def is_turned(self) -> bool:
        """Whether pixels lie elsewhere than a CameraInfo has them, even within `crop`."""
        return self.rotate != 0 or self.flip != "none"

    @property
    def is_whole(self) -> bool:
        """Whether each pixel lies where the camera's messages have it."""
        return self.crop == WHOLE and not self.is_turned

    def decode(
        self,
        encoding: str,
        height: int,
        width: int,
        step: int,
        is_bigendian: bool,
        data: MessageData,
        max_pixels: int = MAX_PIXELS,
    ) -> tuple[np.ndarray, str]:
        """As `codec.decode`, and as it is to be seen.

        Raises:
            MalformedImage: as there; `encoding` also for one that this camera cannot send, `crop` where there is no
                such part.
        """
        encoding = self.encoding or encoding
        self._check(encoding)
        order = is_bigendian if self.big_endian is None else self.big_endian
        return self._seen(*decode(encoding, height, width, step, order, data, max_pixels))

    def decode_compressed(self, format: str, data: MessageData, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, str]:
        """As `compressed.decode_compressed`, and as it is to be seen; `encoding` says what the pixels are.

        Raises:
            MalformedImage: as there; `encoding` for pixels that are none of `encoding`, `crop` as in `decode`.
        """
        pixels, found = decode_compressed(format, data, max_pixels)
        if self.encoding:
            found = self._relabelled(pixels, found)
        self._check(found)
        return self._seen(pixels, found)

    def _check(self, encoding: str) -> None:
        check = check_thermal if self.camera == "thermal" else check_visible
        check(known_encoding(encoding) or encoding)

    def _relabelled(self, pixels: np.ndarray, found: str) -> str:
        encoding = known_encoding(self.encoding)
        layout = ENCODINGS[encoding]
        channels = 1 if pixels.ndim == 2 else pixels.shape[2]
        if (layout.dtype, layout.channels, layout.decoded) != (pixels.dtype, channels, ""):
            raise MalformedImage(
                "encoding",
                f"compressed image holds {found} pixels, which cannot be '{encoding}'; change {self.camera}.encoding.",
            )
        return encoding

    def _seen(self, pixels: np.ndarray, encoding: str) -> tuple[np.ndarray, str]:
        if self.bits < 16 and self.camera == "rgb" and pixels.dtype == np.uint16:
            # No shift: it would wrap values beyond those bits around to dark ones.
            pixels = cv2.multiply(pixels, (65535 / (2**self.bits - 1),) * 4)
        if self.is_whole:
            return pixels, encoding
        pixels, encoding = self._with_own_pixels(pixels, encoding)
        part = self.crop.of(ImageSize.of(pixels))
        if part is None:
            raise MalformedImage(
                "crop",
                f"image of {ImageSize.of(pixels)} has no part of {self.crop.width}x{self.crop.height} at"
                f" {self.crop.x}, {self.crop.y}; change {self.camera}.crop.",
            )
        pixels = pixels[part.y : part.y + part.height, part.x : part.x + part.width]
        turn, flip = _TURNS[self.rotate], _FLIPS[self.flip]
        if turn is not None:
            pixels = cv2.rotate(pixels, turn)
        if flip is not None:
            pixels = cv2.flip(pixels, flip)
        return pixels, encoding

    def _with_own_pixels(self, pixels: np.ndarray, encoding: str) -> tuple[np.ndarray, str]:
        """An image of which any part, turned anyhow, has its encoding: no mosaic, and no colours that pixels share."""
        bgr = to_bgr(pixels, encoding)
        if bgr is None:
            return pixels, encoding
        if self.camera == "thermal":
            return to_grey(pixels, encoding), "mono8"
        return bgr, "bgr8" if bgr.dtype == np.uint8 else "bgr16"
