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

"""One camera that can be told to misbehave: what `refinefuse soak` plays.

It shows the synthetic street, in a loop that is rendered before it starts. Frames are exposed at whole multiples of
the period by the system's clock, so the two cameras, which are two processes, agree. In a corner the thermal picture is
hot and the RGB picture black: what is bright there in a fused image tells that both are in it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from itertools import islice

import numpy as np
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image

from refinefuse_ros.alignment.placing import fit_to
from refinefuse_ros.errors import UserError
from refinefuse_ros.image.frame import Frame, ImageSize
from refinefuse_ros.image.sources import SyntheticPairs
from refinefuse_ros.nodes.camera_faults import Due, Fault, FaultyPictures, Moment
from refinefuse_ros.nodes.messages import pinhole_camera_info, to_image
from refinefuse_ros.nodes.parameters import DeclaredParameters, parameter
from refinefuse_ros.nodes.playing import create_camera_publisher, start_thread
from refinefuse_ros.nodes.running import StartError, run_node
from refinefuse_ros.stream.outcome import Stream
from refinefuse_ros.stream.timing import NS_PER_S

LOOP_FRAMES = 20
# The corner that tells, as a part of each side.
BEACON = 8


@dataclass(frozen=True)
class FaultyCameraParameters:
    """Every parameter of the camera, typed."""

    camera: str = parameter("thermal", "Which camera it is.", choices=tuple(str(stream) for stream in Stream))
    width: int = parameter(640, "Width of its images.", unit="px", between=(64, 4096))
    height: int = parameter(480, "Height of its images.", unit="px", between=(64, 4096))
    rate_hz: float = parameter(30.0, "Frames per second.", unit="Hz", between=(1, 120))
    fault: str = parameter("none", "What is wrong with it, such as: freeze, late 150, jump -0.6.", live=True)


class FaultyCamera(Node):
    """Publishes image_raw and camera_info of one camera, as its parameter `fault` says.

    Attributes:
        finished: whether it failed; ends `run_node`.
        failure: why it did.

    Raises:
        StartError: the fault is none.
        ParameterError: a parameter is not allowed.
    """

    def __init__(self) -> None:
        super().__init__("faulty_camera")
        self._settings = settings = DeclaredParameters(self, FaultyCameraParameters).read()
        try:
            self._fault = Fault.parse(settings.fault)
        except ValueError as error:
            raise StartError(str(error)) from error
        self.add_on_set_parameters_callback(self._on_set)
        self._image = create_camera_publisher(self, Image, f"{settings.camera}/image_raw")
        self._info = create_camera_publisher(self, CameraInfo, f"{settings.camera}/camera_info")
        size = ImageSize(settings.width, settings.height)
        pairs = islice(SyntheticPairs(size, settings.rate_hz), LOOP_FRAMES)
        self._frames = [_frame(settings.camera, *_marked(pair.thermal, pair.rgb)) for pair in pairs]
        self._pictures = FaultyPictures([to_image(_halved(frame)) for frame in self._frames])
        self.finished = False
        self.failure: UserError | None = None
        self._stop = threading.Event()
        self._thread = start_thread(self._play, self._fail)

    def close(self) -> None:
        """Stop, at once."""
        self._stop.set()
        self._thread.join()

    def _on_set(self, changed: list[Parameter]) -> SetParametersResult:
        for one in changed:
            if one.name == "fault":
                try:
                    self._fault = Fault.parse(str(one.value))
                except ValueError as error:
                    return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _fail(self, error: UserError) -> None:
        self.failure = error
        self.finished = True

    def _play(self) -> None:
        good = [to_image(frame) for frame in self._frames]
        period_ns = round(NS_PER_S / self._settings.rate_hz)
        waiting: deque[Due] = deque()
        number = time.time_ns() // period_ns + 1
        while not self._stop.wait(max(number * period_ns - time.time_ns(), 0) / NS_PER_S):
            now_ns, fault = number * period_ns, self._fault
            if fault.kind == "none":  # what such a camera kept is not sent when it works again
                waiting.clear()
            waiting.extend(self._pictures.publish(fault, Moment(number, now_ns, good[number % len(good)])))
            for due in [due for due in waiting if due.at_ns <= now_ns]:
                waiting.remove(due)
                self._publish(due.message)
            number = max(number + 1, time.time_ns() // period_ns)  # missed ticks are left out

    def _publish(self, image: Image) -> None:
        info = pinhole_camera_info(ImageSize(image.width, image.height))
        info.header = image.header
        self._image.publish(image)
        self._info.publish(info)


def _marked(thermal: np.ndarray, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pair with the corner that tells whether a fused image shows both."""
    height, width = thermal.shape
    corner = np.s_[height - height // BEACON :, width - width // BEACON :]
    thermal[corner] = thermal.max()
    rgb[corner] = 0
    return thermal, rgb


def shows_both(fused: np.ndarray) -> bool:
    """Whether a fused image, (H, W, 3) uint8, has the hot corner of the thermal picture."""
    height, width = fused.shape[:2]
    corner = fused[height - height // BEACON // 2 :, width - width // BEACON // 2 :]
    return float(corner.mean()) > 64


def _frame(camera: str, thermal: np.ndarray, rgb: np.ndarray) -> Frame:
    encoding, pixels = ("mono16", thermal) if camera == Stream.THERMAL else ("bgr8", rgb)
    return Frame(0, f"{camera}_optical_frame", encoding, pixels)


def _halved(frame: Frame) -> Frame:
    half = ImageSize(frame.size.width // 2, frame.size.height // 2)
    return Frame(0, frame.frame_id, frame.encoding, fit_to(frame.pixels, half))


def main() -> int:
    return run_node(FaultyCamera)


if __name__ == "__main__":
    sys.exit(main())
