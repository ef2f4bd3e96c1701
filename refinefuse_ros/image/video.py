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

"""Video files: reading any that OpenCV's FFmpeg knows, and deep grey ones; writing MP4 that browsers play."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from refinefuse_ros.errors import one_line
from refinefuse_ros.image.codec import MalformedImage, check_pixels
from refinefuse_ros.image.files import SourceError
from refinefuse_ros.image.frame import ImageSize

if TYPE_CHECKING:
    import av

# FFmpeg's codes for grey of so many bits, low byte first, of which OpenCV leaves 8.
_DEEP_GREY: Final = frozenset(b"Y1\0" + bytes([bits]) for bits in (9, 10, 12, 14, 16))
# Times in a written video are whole multiples of this, s: the clock of MPEG, which all usual periods fit.
_TICK_S = Fraction(1, 90_000)


class VideoReader:
    """The frames of a video file in order: (H, W, 3) uint8 BGR, or (H, W) uint16.

    Attributes:
        encoding: of the frames: "bgr8", or "mono16" for (H, W) uint16.
        rate_hz: the file's frame rate.
        frame_count: as the container says; the file may hold fewer.
        size: of the frames.

    Args:
        path: the file.
        keep_depth: give grey of more than 8 bits with the values that are in the file.

    Raises:
        SourceError: the file does not exist, is not a readable video, or has larger pictures than MAX_PIXELS.
    """

    def __init__(self, path: Path, keep_depth: bool = False) -> None:
        self.path = path
        self._capture = cv2.VideoCapture(str(path)) if path.is_file() else None
        if self._capture is None or not self._capture.isOpened():
            raise SourceError(f"{path} is not a readable video; check the path and that it plays.")
        self.rate_hz = self._capture.get(cv2.CAP_PROP_FPS) or 30.0
        self.frame_count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.size = ImageSize(
            int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        try:
            check_pixels(self.size)
        except MalformedImage as error:
            self.close()
            raise SourceError(f"{path}: {error}") from error
        self.encoding = "mono16" if keep_depth and self._pixel_format() in _DEEP_GREY else "bgr8"

    def __iter__(self) -> Iterator[np.ndarray]:
        if self.encoding == "mono16":
            yield from self._deep_frames()
            return
        while True:
            ok, pixels = self._capture.read()
            if not ok:
                return
            yield pixels

    def timed(self, times_s: list[float] | None = None) -> Iterator[tuple[float, np.ndarray]]:
        """Each frame with the time at which it is shown: s since the first one's, strictly ascending.

        A frame without a time, or with one that steps back, is taken to come a period after the one before. `times_s`
        are the file's `frame_times`, where they are known already.
        """
        if self.encoding == "mono16":  # these are not read by OpenCV, which tells the time of the others
            yield from zip(times_s or frame_times(self.path), self, strict=False)
            return
        first_s = last_s = None
        for pixels in self:
            seconds = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if first_s is None:
                first_s = seconds
            seconds -= first_s
            if last_s is not None and seconds <= last_s:
                seconds = last_s + 1 / self.rate_hz
            last_s = seconds
            yield seconds, pixels

    def close(self) -> None:
        self._capture.release()

    def _pixel_format(self) -> bytes:
        return int(self._capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)).to_bytes(4, "little", signed=True)

    def _deep_frames(self) -> Iterator[np.ndarray]:
        import av  # here, because a node that reads no such video needs no PyAV

        with av.open(str(self.path)) as container:
            frames = container.decode(video=0)
            while True:
                try:
                    plane = next(frames).planes[0]
                except (StopIteration, av.FFmpegError):  # where it breaks off it ends, as OpenCV has it
                    return
                rows = np.frombuffer(plane, "<u2").reshape(plane.height, plane.line_size // 2)
                yield rows[:, : plane.width].astype(np.uint16)


def frame_times(path: Path) -> list[float]:
    """When the frames of a video are shown, by its container: s since the first one's, ascending. Decodes nothing.

    Raises:
        SourceError: it is not a readable video.
    """
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            packets = [packet for packet in container.demux(stream) if packet.size]
            marks = [packet.dts if packet.pts is None else packet.pts for packet in packets]
            rate_hz = stream.average_rate or stream.guessed_rate or 30
            if None in marks:
                return [float(index / rate_hz) for index in range(len(marks))]
            marks.sort()
            return [float((mark - marks[0]) * stream.time_base) for mark in marks]
    except (av.FFmpegError, IndexError) as error:
        raise SourceError(f"{path} is not a readable video ({one_line(error)}); check that it plays.") from error


class Mp4Writer:
    """Writes H.264 MP4 (yuv420p, index at the front): what browsers and phones play.

    The file appears under its name only when `close` (or the with block's normal end) finished it: an interrupted
    recording leaves nothing that looks whole. H.264's yuv420p takes even sides only; an odd last column or row is cut.

    Args:
        rate_hz: of the frames; of those that are written with a time of their own, about.

    Raises:
        OSError: the file cannot be written, or FFmpeg cannot encode such pictures.
    """

    def __init__(self, path: Path, rate_hz: float, quality_crf: int = 20, preset: str = "veryfast") -> None:
        self.path = path
        self._partial = path.with_name(path.stem + ".partial.mp4")
        self._rate = Fraction(rate_hz).limit_denominator(1001)
        self._options = {"crf": str(quality_crf), "preset": preset}
        self._container = None
        self._stream = None
        self._shown_until = Fraction(0)  # by the frames written so far, s
        self._durations: dict[int, int] = {}  # of the frames in the encoder, by their beginning, in ticks

    def write(self, bgr: np.ndarray, shown_s: float | None = None) -> None:
        """Append one (H, W, 3) uint8 BGR frame, shown for `shown_s` seconds, or a period of the rate.

        The first one sets the size.
        """
        import av  # here, because a node that writes no video needs no FFmpeg

        with self._ffmpegs_errors():
            if self._container is None:
                self._container = av.open(str(self._partial), "w", options={"movflags": "+faststart"})
                self._stream = self._container.add_stream("libx264", rate=self._rate, options=self._options)
                self._stream.height, self._stream.width = (side // 2 * 2 for side in bgr.shape[:2])
                self._stream.pix_fmt = "yuv420p"
                self._stream.codec_context.time_base = _TICK_S
            pixels = np.ascontiguousarray(bgr[: self._stream.height, : self._stream.width])
            frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
            begin = round(self._shown_until / _TICK_S)
            self._shown_until += 1 / self._rate if shown_s is None else Fraction(shown_s)
            frame.pts, frame.time_base = begin, _TICK_S
            self._durations[begin] = round(self._shown_until / _TICK_S) - begin
            self._mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finish the file, or drop it when that fails. A writer that was given no frame leaves no file."""
        if self._container is None:
            return
        try:
            with self._ffmpegs_errors():
                self._mux(self._stream.encode())
                self._container.close()
            self._partial.replace(self.path)
        except BaseException:
            self.discard()
            raise
        self._container = None

    def discard(self) -> None:
        """Drop what was written."""
        if self._container is not None:
            with suppress(Exception):  # the disk may be full, the encoder never begun
                self._container.close()
            self._container = None
        self._partial.unlink(missing_ok=True)

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts)  # the encoder would guess the last one's by the rate
            self._container.mux(packet)

    @contextmanager
    def _ffmpegs_errors(self) -> Iterator[None]:
        """Most of what PyAV raises is no OSError: that the encoder refuses pictures is an exception of its own kind."""
        import av

        try:
            yield
        except (av.FFmpegError, av.codec.codec.UnknownCodecError) as error:
            if isinstance(error, OSError):
                raise
            what = one_line(getattr(error, "strerror", None) or error)
            raise OSError(errno.EINVAL, f"FFmpeg cannot encode it ({what})", str(self.path)) from error

    def __enter__(self) -> Mp4Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()
