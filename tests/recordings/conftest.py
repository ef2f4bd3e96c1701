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

"""Small recordings with any messages."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer

from refinefuse_ros.recordings.decompression import MOST_BYTES
from refinefuse_ros.recordings.reading import ros_types

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@pytest.fixture(scope="session")
def bomb() -> bytes:
    """A few kB of zstd that unfold to one byte more than a message may have."""
    compressor = zstd.ZstdCompressor()
    blocks = [compressor.compress(bytes(1 << 20)) for _ in range(MOST_BYTES >> 20)]
    return b"".join([*blocks, compressor.compress(b"\0"), compressor.flush()])


@pytest.fixture
def write_images(tmp_path: Path) -> Callable[..., Path]:
    """Writes a bag with one small mono8 image on each topic named."""

    def write(*topics: str, stamp: int = 1, **writer_options: object) -> Path:
        types = ros_types().types
        path = tmp_path / "images"
        with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP, **writer_options) as writer:
            for number, topic in enumerate(topics):
                kind = f"sensor_msgs/msg/{'CompressedImage' if topic.endswith('compressed') else 'Image'}"
                kind = "std_msgs/msg/String" if topic.endswith("chatter") else kind
                header = types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](stamp, 0), "camera")
                fields = {
                    "sensor_msgs/msg/Image": (header, 2, 3, "mono8", 0, 3, np.zeros(6, np.uint8)),
                    "sensor_msgs/msg/CompressedImage": (header, "jpeg", np.zeros(6, np.uint8)),
                    "std_msgs/msg/String": ("hello",),
                }[kind]
                connection = writer.add_connection(topic, kind, typestore=ros_types())
                data = ros_types().serialize_cdr(types[kind](*fields), kind)
                writer.write(connection, 10 + number, data)
        return path

    return write
