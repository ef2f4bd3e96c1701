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

"""Reading a rosbag2 recording: which topics the two cameras are, their messages, their decoded frames."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from refinefuse_ros.image.codec import MalformedImage, decode
from refinefuse_ros.image.compressed import decode_compressed
from refinefuse_ros.image.frame import Frame
from refinefuse_ros.image.sensor_view import SensorView
from refinefuse_ros.recordings.salvage import StoredMessage
from refinefuse_ros.recordings.storage import BagError, BagFiles, Topic
from refinefuse_ros.stream.outcome import Stream
from refinefuse_ros.stream.timing import NS_PER_S

IMAGE: Final = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE: Final = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO: Final = "sensor_msgs/msg/CameraInfo"
DIAGNOSTICS: Final = "diagnostic_msgs/msg/DiagnosticArray"
_AS_SENT: Final[Mapping[Stream, SensorView]] = MappingProxyType({})
_NONE_ELSE: Final[Mapping[str, Callable[[StoredMessage], None]]] = MappingProxyType({})
# Words that topic names are made of, by what they say about the camera; makers and models among them.
_INFRARED: Final = frozenset(("infra", "infrared"))  # of a stereo camera it is near infrared, which shows no heat
_THERMAL_CAMERAS: Final = frozenset(
    ("flir", "boson", "lepton", "tau", "vue", "seek", "optris", "hikmicro", "topdon", "xenics", "infiray")
)
_WORDS: Final = {
    Stream.THERMAL: _THERMAL_CAMERAS | _INFRARED | {"thermal", "t", "ir", "tir", "lwir", "mwir", "thermo"},
    Stream.RGB: frozenset(("rgb", "color", "colour", "visible", "vis", "visual", "eo", "bgr")),
}
# Images that are no camera's: what depth cameras, detectors and this package itself publish.
_FUSED: Final = frozenset(("fused", "fusion"))
_NO_CAMERA: Final = _FUSED | {"depth", "mask", "debug", "disparity", "theora"}


@cache
def ros_types() -> Typestore:
    """The message types; those that are used here are the same in every ROS 2 distribution so far."""
    return get_typestore(Stores.ROS2_JAZZY)


@dataclass(frozen=True)
class BagMessage:
    """An image or CameraInfo message of one of the two cameras.

    Attributes:
        type: IMAGE, COMPRESSED_IMAGE or CAMERA_INFO.
        recorded_ns: when the recorder took it in, ns of its clock.
        data: the serialised message (CDR), as DDS carries it.
    """

    stream: Stream
    type: str
    recorded_ns: int
    data: bytes


@dataclass(frozen=True)
class BagFrame:
    """A decoded frame of one of the two cameras, and when the recorder took it in."""

    stream: Stream
    recorded_ns: int
    frame: Frame


@dataclass
class CameraReading:
    """What one run through a bag found of one camera.

    Attributes:
        messages: image messages that were read.
        unreadable: of those, how many could not be decoded, by reason.
        zero_stamps: how many frames had no stamp.
        example: the sentence of the first one that could not be decoded.
        camera_info: the newest sensor_msgs/CameraInfo (as `rosbags` gives it), None without one.
    """

    messages: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)
    zero_stamps: int = 0
    example: str = ""
    camera_info: Any = None


class BagReader:
    """The thermal and the RGB camera of one bag; see `open_bag`.

    Attributes:
        path: the bag.
        topics: each camera's image topic.
        types: their message types, IMAGE or COMPRESSED_IMAGE.
        info_topics: each camera's CameraInfo topic; a camera may have none.
        fused_topic: images that were fused live, None where there are none.
        diagnostics_topics: of the bag's diagnostics.
        counts: how many image messages the bag says it has of each camera.
        cameras: what the newest run of `frames` found.
        views: how each camera's images are taken; none is as they were sent.
    """

    def __init__(
        self, files: BagFiles, topics: dict[Stream, str], fused_topic: str | None, views: Mapping[Stream, SensorView]
    ) -> None:
        self.path = files.path
        self.topics = topics
        self.types = {stream: files.topics[topic].type for stream, topic in topics.items()}
        self.counts = {stream: files.topics[topic].count for stream, topic in topics.items()}
        self.info_topics = {
            stream: info
            for stream, topic in topics.items()
            if (info := _info_topic(topic)) in files.topics and files.topics[info].type == CAMERA_INFO
        }
        self.fused_topic = fused_topic
        self.diagnostics_topics = [name for name, topic in files.topics.items() if topic.type == DIAGNOSTICS]
        self.cameras = {stream: CameraReading() for stream in Stream}
        self._files = files
        self.views = views
        self._read_to_end = False

    @property
    def seconds(self) -> float | None:
        """From the first to the last message; None for a damaged bag, whose length nobody wrote down.

        Raises:
            BagError: it is compressed as a whole, and too large.
        """
        return self._files.seconds()

    @property
    def description(self) -> str:
        """The bag and its two topics, for people."""
        return f"{self.path}: {self.topics[Stream.THERMAL]} and {self.topics[Stream.RGB]}"

    def messages(self, others: Mapping[str, Callable[[StoredMessage], None]] = _NONE_ELSE) -> Iterator[BagMessage]:
        """The cameras' image and CameraInfo messages, undecoded, in recording order.

        The messages of `others`' topics go to the function that is given for each, when their turn comes.
        """
        streams = {topic: stream for topics in (self.topics, self.info_topics) for stream, topic in topics.items()}
        self.cameras = {stream: CameraReading() for stream in Stream}
        self._read_to_end = False
        for message in self._files.messages({*streams, *others}):
            if message.topic in others:
                others[message.topic](message)
                continue
            stream = streams[message.topic]
            if message.topic == self.topics[stream]:
                self.cameras[stream].messages += 1
            yield BagMessage(stream, message.type, message.recorded_ns, message.data)
        self._read_to_end = True

    def frames(
        self, others: Mapping[str, Callable[[StoredMessage], None]] = _NONE_ELSE, *, needs_stamps: bool = True
    ) -> Iterator[BagFrame]:
        """The cameras' frames in recording order; what cannot be decoded is counted in `cameras` and left out.

        Args:
            others: as for `messages`.
            needs_stamps: whether a camera without stamps is of no use.

        Raises:
            BagError: at the end, when every frame of a camera had the stamp zero, and stamps are needed.
        """
        for message in self.messages(others):
            camera = self.cameras[message.stream]
            try:
                if message.type == CAMERA_INFO:
                    camera.camera_info = deserialize(message)
                    continue
                frame = to_frame(message, self.views.get(message.stream))
            except MalformedImage as error:
                camera.unreadable[error.reason] += 1
                camera.example = camera.example or str(error)
                continue
            camera.zero_stamps += frame.stamp_ns == 0
            yield BagFrame(message.stream, message.recorded_ns, frame)
        for stream, camera in self.cameras.items():
            if needs_stamps and 0 < camera.zero_stamps == camera.messages - camera.unreadable.total():
                raise BagError(
                    f"Every message of {self.topics[stream]} in {self.path} has the stamp zero, so none can be paired"
                    " by it; give --stamps arrival, or make the camera's driver set header.stamp."
                )

    def losses(self) -> list[str]:
        """What the newest run could not use, a sentence each: damaged files, missing and undecodable messages."""
        sentences = list(self._files.damage)
        for stream, camera in self.cameras.items():
            topic, missing = self.topics[stream], self.counts[stream] - camera.messages
            if missing > 0 and self._read_to_end:
                sentences.append(f"{missing} of {self.counts[stream]} messages of {topic} could not be read.")
            if count := camera.unreadable.total():
                sentences.append(
                    f"{count} of {camera.messages} messages of {topic} could not be decoded, the first because:"
                    f" {camera.example}"
                )
        return sentences


def open_bag(
    path: Path,
    thermal_topic: str | None = None,
    rgb_topic: str | None = None,
    fused_topic: str | None = None,
    views: Mapping[Stream, SensorView] = _AS_SENT,
) -> BagReader:
    """Find the two cameras of a rosbag2 recording, and the images that were fused live.

    Args:
        path: a bag's folder, or one .mcap or .db3 file.
        thermal_topic, rgb_topic, fused_topic: their image topics (Image or CompressedImage); None guesses by name.
        views: what the cameras' messages do not say, or say wrongly.

    Raises:
        BagError: there is no bag, no image in it, only one camera, or the topics cannot be told.
    """
    files = BagFiles(path)
    images = {name: topic for name, topic in files.topics.items() if topic.type in (IMAGE, COMPRESSED_IMAGE)}
    images = {name: topic for name, topic in images.items() if topic.count > 0}
    if not images:
        raise BagError(_no_images(files))
    given = {Stream.THERMAL: thermal_topic, Stream.RGB: rgb_topic}
    for name, topic in (*given.items(), ("fused", fused_topic)):
        if topic and topic not in images:
            raise BagError(
                f"{path} has no images on the topic {topic} given for {name}; its image topics are"
                f" {', '.join(sorted(images))}."
            )
    cameras = guess_topics(images, given, path)
    others = {name: topic for name, topic in images.items() if name not in cameras.values()}
    return BagReader(files, cameras, fused_topic or _guess_fused(others), views)


def _no_images(files: BagFiles) -> str:
    """Why a bag without image messages cannot be used, with what to do about it."""
    topics = files.topics
    if not topics:
        return f"{files.path} holds no image message: nothing in it can be read; record again."
    untyped = sorted(name for name, topic in topics.items() if not topic.type)
    if untyped:
        return (
            f"{files.path} does not say of what type the messages on {', '.join(untyped)} are, for their schemas are"
            " missing; record again, where the message packages are installed."
        )
    listed = ", ".join(f"{name} [{topics[name].type}]" for name in sorted(topics))
    if any(topic.type == "sensor_msgs/Image" for topic in topics.values()):
        return f"{files.path} holds ROS 1 messages ({listed}); convert it to ROS 2 with rosbags-convert."
    return (
        f"{files.path} holds no image message (its topics are {listed}); give a bag with a thermal and an RGB camera."
    )


def guess_topics(images: dict[str, Topic], given: dict[Stream, str | None], path: Path) -> dict[Stream, str]:
    """Each camera's image topic: the given one, else the best by the words of its name, else the only one left.

    Raises:
        BagError: they cannot be told.
    """
    chosen = {stream: topic for stream, topic in given.items() if topic}
    for stream in Stream:
        if stream not in chosen:
            fitting = [name for name in images if _speaks_of(name, stream) and name not in chosen.values()]
            if fitting:
                chosen[stream] = min(fitting, key=lambda name: _preference(name, images[name]))
    for stream in Stream:
        others = [
            name
            for name in images
            if name not in chosen.values() and not _words(name) & _NO_CAMERA and not _speaks_of(name, stream.other)
        ]
        if stream not in chosen and len(chosen) == 1 and len({_namespace(name) for name in others}) == 1:
            chosen[stream] = min(others, key=lambda name: _preference(name, images[name]))
    missing = [str(stream) for stream in Stream if stream not in chosen]
    if missing:
        names = ", ".join(sorted(images))
        namespaces = {_namespace(name) for name in images}
        if len(images) == 1 or (len(namespaces) == 1 and "" not in namespaces):
            raise BagError(f"{path} holds only one camera, {names}; record the thermal and the RGB camera together.")
        raise BagError(
            f"Which topic of {path} is the {' and which the '.join(missing)} camera cannot be told from their names"
            f" ({names}); give the topics."
        )
    return {stream: chosen[stream] for stream in Stream}


def deserialize(message: BagMessage | StoredMessage) -> Any:
    """The message as `rosbags` gives it, with the fields of its ROS type.

    Raises:
        MalformedImage: `message`: its bytes are not of that type.
    """
    try:
        return ros_types().deserialize_cdr(message.data, message.type)
    except Exception as error:  # generated code that reads broken bytes raises nearly anything
        raise MalformedImage(
            "message", f"a message of {len(message.data)} bytes is no {message.type}; check its recorder."
        ) from error


def to_frame(message: BagMessage | StoredMessage, view: SensorView | None = None) -> Frame:
    """Decode an image message; raw ones without a copy where the encoding allows. `view` is as the node's.

    Raises:
        MalformedImage: it cannot be used.
    """
    image = deserialize(message)
    if message.type == COMPRESSED_IMAGE:
        pixels, encoding = (view.decode_compressed if view else decode_compressed)(image.format, image.data)
    else:
        layout = image.height, image.width, image.step, bool(image.is_bigendian)
        pixels, encoding = (view.decode if view else decode)(image.encoding, *layout, image.data)
    stamp = image.header.stamp
    return Frame(stamp.sec * NS_PER_S + stamp.nanosec, image.header.frame_id, encoding, pixels)


def _guess_fused(images: dict[str, Topic]) -> str | None:
    """The topic whose name speaks of fusion, the best of several."""
    fused = [name for name in images if _words(name) & _FUSED and not _words(name) & (_NO_CAMERA - _FUSED)]
    return min(fused, key=lambda name: _preference(name, images[name]), default=None)


def _words(topic: str) -> set[str]:
    """The words of a topic's name in lower case, without digits: /FlirBoson_1/ir_image has flir, boson, ir, image."""
    own = topic.removesuffix("/compressed").removesuffix("/compressedDepth")
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", own)}


def _speaks_of(topic: str, stream: Stream) -> bool:
    words = _words(topic)
    return bool(words & _WORDS[stream]) and not words & (_WORDS[stream.other] | _NO_CAMERA)


def _namespace(topic: str) -> str:
    """The camera's namespace: /rgb of /rgb/image_raw and of /rgb/image_raw/compressed."""
    return topic.removesuffix("/compressed").removesuffix("/compressedDepth").rpartition("/")[0]


def _info_topic(topic: str) -> str:
    return f"{_namespace(topic)}/camera_info"


def _preference(name: str, topic: Topic) -> tuple[bool, bool, bool, int, str]:
    """Smallest is best: thermal before near infrared, raw before compressed, unprocessed before processed, then the
    most messages."""
    near = bool(_words(name) & _INFRARED)
    return near, topic.type != IMAGE, "image_raw" not in name, -topic.count, name
