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

"""Ten thousand messages of hostile cameras into the node's callbacks: none escapes, and none costs a good frame."""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from builtin_interfaces.msg import Time
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from refinefuse_ros.image.codec import to_message_data
from refinefuse_ros.image.frame import Frame
from refinefuse_ros.nodes import fusion_node
from refinefuse_ros.nodes.messages import to_image
from refinefuse_ros.stream.outcome import Stream
from refinefuse_ros.stream.timing import NS_PER_S

HOSTILE_MESSAGES = 10_000
# A good pair comes after so many hostile messages.
GOOD_EVERY = 50
WAIT_S = 10.0
START_S = 1_000
ENCODINGS = (
    "mono8", "mono16", "8UC1", "16UC1", "16SC1", "32SC1", "32FC1", "64FC1", "bgr8", "rgb8", "bgra8", "rgba8", "8UC3",
    "bgr16", "rgb16", "16UC3", "bayer_rggb8", "bayer_bggr16", "uyvy", "yuv422", "yuv422_yuy2", "nv12", "nv21", "nv24",
    "", "BGR8", "yuv9000", "32FC4", "mono8; jpeg", "\u2028é日本", "%s%n{}" * 50,
)  # fmt: skip
FORMATS = (
    "jpeg", "png", "bgr8; jpeg compressed bgr8", "rgb8; jpeg compressed rgb8", "mono16; png compressed ", "",
    "16UC1; compressedDepth png", "32FC1; compressedDepth png", "16UC1; compressedDepth rvl", "bayer_rggb8; jpeg",
    "32FC1; compressedDepth", "h264", "\u2028é日本",
)  # fmt: skip
LARGEST = 2**32 - 1


class Hostile:
    """Makes messages that a driver, a network or an attacker may send: every field is of its type, and no more."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        grey = self._random.integers(0, 2**16, (48, 64), np.uint16)
        colour = self._random.integers(0, 256, (48, 64, 3), np.uint8)
        pictures = ((".jpg", colour), (".png", colour), (".png", grey), (".jpg", colour[..., 0]))
        self._files = [cv2.imencode(suffix, picture)[1].tobytes() for suffix, picture in pictures]
        self.now_s = START_S

    def image(self) -> Image:
        """An Image whose size, step, encoding and data need not have anything to do with each other."""
        encoding = self._one_of(ENCODINGS)
        height, width = self._side(), self._side()
        sample_bytes = self._one_of((1, 1, 2, 3, 4, 6, 8))
        step = self._one_of((width * sample_bytes, width * sample_bytes + 5, 0, self._side(), LARGEST)) % (LARGEST + 1)
        length = self._one_of((step * height, step * height, step * height - 1, width * height, 0, self._side()))
        length = length if length < 200_000 else int(self._random.integers(0, 1000))
        data = self._samples(encoding, max(length, 0))
        return Image(
            header=self._header(),
            height=height,
            width=width,
            encoding=encoding,
            is_bigendian=self._one_of((0, 0, 1, 255)),
            step=step,
            data=to_message_data(data),
        )

    def compressed_image(self) -> CompressedImage:
        """A CompressedImage of a JPEG or PNG that was cut, or whose bytes were changed, above all in its header."""
        data = bytearray(self._one_of(self._files))
        for _ in range(self._one_of((0, 1, 1, 4, 30))):
            reach = self._one_of((32, 200, len(data)))
            data[self._random.integers(0, min(reach, len(data)))] = self._random.integers(0, 256)
        if self._chance(0.2):
            del data[self._random.integers(0, len(data)) :]
        if self._chance(0.2):  # before the picture of compressedDepth stand an enum and two floats
            data[:0] = self._random.bytes(12)
        return CompressedImage(
            header=self._header(), format=self._one_of(FORMATS), data=to_message_data(np.frombuffer(data, np.uint8))
        )

    def camera_info(self) -> CameraInfo:
        """A CameraInfo whose numbers are any, also none at all."""
        sides = (0, 1, 48, 64, 640, LARGEST)
        numbers = self._one_of(([0.0] * 9, [np.nan] * 9, [np.inf] * 9, list(self._random.normal(0, 1e300, 9))))
        info = CameraInfo(
            header=self._header(),
            height=self._one_of(sides),
            width=self._one_of(sides),
            distortion_model=self._one_of(("plumb_bob", "", "\u2028é日本")),
            d=[np.nan] * self._one_of((0, 4, 5, 100)),
            k=numbers,
            binning_x=self._one_of((0, 1, 2, LARGEST)),
            binning_y=self._one_of((0, 1, 2, LARGEST)),
        )
        info.roi = RegionOfInterest(
            **{side: self._one_of(sides) for side in ("x_offset", "y_offset", "width", "height")}
        )
        return info

    def _header(self) -> Header:
        near = self.now_s + int(self._random.integers(-2, 3))
        stamp = Time(
            sec=self._one_of((near, near, near, 0, -1, 1, -(2**31), 2**31 - 1, int(self._random.integers(0, 2**31)))),
            nanosec=self._one_of((0, int(self._random.integers(0, 10**9)), LARGEST)),
        )
        return Header(stamp=stamp, frame_id=self._one_of(("camera", "", "a" * 10_000, "\u2028é日本/%s")))

    def _side(self) -> int:
        return self._one_of((0, 1, 2, 31, 32, 48, 48, 64, 64, 65, 5_000, LARGEST, int(self._random.integers(0, 300))))

    def _samples(self, encoding: str, length: int) -> np.ndarray:
        if encoding.startswith("32F") and self._chance(0.7):
            numbers = self._one_of((np.nan, np.inf, -np.inf, 1e38, -1e38, 300.0))
            return np.full(length // 4 + 1, numbers, np.float32).view(np.uint8)[:length]
        if encoding.startswith("64F") and self._chance(0.7):
            return np.full(length // 8 + 1, self._one_of((np.nan, np.inf, 1e300)), np.float64).view(np.uint8)[:length]
        if self._chance(0.3):
            return np.full(length, self._one_of((0, 255)), np.uint8)
        return self._random.integers(0, 256, length, np.uint8)

    def _chance(self, share: float) -> bool:
        return bool(self._random.random() < share)

    def _one_of(self, choices):
        return choices[self._random.integers(0, len(choices))]


def good_pair(index: int, stamp_ns: int) -> dict[Stream, Frame]:
    random = np.random.default_rng(index)
    counts = random.integers(0, 2**16, (48, 64), np.uint16)
    colours = random.integers(0, 256, (48, 64, 3), np.uint8)
    return {
        Stream.THERMAL: Frame(stamp_ns, "thermal", "mono16", counts),
        Stream.RGB: Frame(stamp_ns, "rgb", "bgr8", colours),
    }


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.0005)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("seed", range(2))
def test_hostile_messages_cost_only_themselves(node, monkeypatch, capfd, seed: int) -> None:
    published: set[int] = set()

    def publish(frame: Frame, *rest: object) -> None:
        publish_really(frame, *rest)
        published.add(frame.stamp_ns)

    fusion_node.start(node)
    node.set_parameters([Parameter("sync.max_wait_ms", value=0.0)])  # good frames lie side by side
    publish_really = node._outputs.publish
    monkeypatch.setattr(node._outputs, "publish", publish)
    hostile, sent = Hostile(seed), dict.fromkeys(Stream, 0)

    def send(stream: Stream, message: Image | CompressedImage) -> None:
        node._on_image(stream, message)
        sent[stream] += 1

    for index in range(HOSTILE_MESSAGES // 2):
        stream = (Stream.THERMAL, Stream.RGB)[index % 2]
        if index % 5 == 4:
            node._cameras[stream]._on_info(hostile.camera_info())
        else:
            send(stream, hostile.image() if index % 5 % 2 else hostile.compressed_image())
        if index % GOOD_EVERY == GOOD_EVERY - 1:
            wait_until(lambda: node._monitor.ledger.snapshot().pairs.in_flight == 0)
            for _ in range(2):  # a stamp of decades ahead is a clock that is set back with the next frame: it costs one
                hostile.now_s += 10
                for one, frame in good_pair(index + hostile.now_s, hostile.now_s * NS_PER_S).items():
                    send(one, to_image(frame))
            wait_until(lambda: hostile.now_s * NS_PER_S in published)
    node._stop_streaming()  # what still waits for a partner leaves unpaired

    ledger = node._monitor.ledger.snapshot()
    assert {Stream.THERMAL: ledger.thermal.received, Stream.RGB: ledger.rgb.received} == sent
    assert (ledger.thermal.in_flight, ledger.rgb.in_flight, ledger.pairs.in_flight) == (0, 0, 0)
    assert ledger.balanced
    assert min(ledger.thermal.rejected, ledger.rgb.rejected) > HOSTILE_MESSAGES // 10
    assert ledger.pairs.failed == 0
    assert "unforeseen" not in capfd.readouterr().err
