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

"""What a live replay has to know of a bag beforehand: topics, transports and how long it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from refinefuse_ros.recordings.reading import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, BagReader, open_bag
from refinefuse_ros.stream.outcome import Stream

# A message type's topic under the camera's name.
NODE_TOPICS: Final = {IMAGE: "image_raw", COMPRESSED_IMAGE: "image_raw/compressed", CAMERA_INFO: "camera_info"}
# Of a damaged bag, whose length nobody wrote down.
_UNKNOWN_S: Final = 20.0


@dataclass(frozen=True)
class Replay:
    """A bag to be replayed.

    Attributes:
        reader: the bag and its cameras.
        seconds: from its first to its last message; a guess for a damaged bag.
    """

    reader: BagReader
    seconds: float

    @property
    def topics(self) -> dict[str, str]:
        """The cameras' image topics, as parameters of the bag player."""
        return {f"{stream}_topic": self.reader.topics[stream] for stream in Stream}

    @property
    def transports(self) -> dict[str, str]:
        """How the images come, as parameters of the fusion node."""
        compressed = {stream: self.reader.types[stream] == COMPRESSED_IMAGE for stream in Stream}
        return {f"{stream}.transport": "compressed" if compressed[stream] else "raw" for stream in Stream}

    @property
    def node_topics(self) -> dict[str, str]:
        """Of each of the cameras' topics in the bag: the name by which the fusion node subscribes it."""
        reader = self.reader
        images = {reader.topics[stream]: f"/{stream}/{NODE_TOPICS[reader.types[stream]]}" for stream in Stream}
        return images | {topic: f"/{stream}/{NODE_TOPICS[CAMERA_INFO]}" for stream, topic in reader.info_topics.items()}


def replay_of(path: Path, thermal_topic: str | None = None, rgb_topic: str | None = None) -> Replay:
    """Look at a bag before it is replayed.

    Args:
        path: the bag.
        thermal_topic, rgb_topic: its image topics; None guesses by name.

    Raises:
        BagError: the bag or its cameras cannot be used.
    """
    reader = open_bag(path, thermal_topic, rgb_topic)
    seconds = reader.seconds
    return Replay(reader, _UNKNOWN_S if seconds is None else max(seconds, 0.01))
