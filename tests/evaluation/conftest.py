# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Small recordings for the tests: a pair source of a few pictures, and bags with any messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer

from refinefuse_ros.evaluation.bags import ros_types
from refinefuse_ros.image.sources import ImagePair


def smooth(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Blobs over the whole range, uint8, so that no metric is degenerate."""
    noise = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)


@dataclass
class FewPairs:
    """`count` pairs of 64x48 pixels at 20 Hz, each with its number in the corner's grey."""

    count: int = 10
    description: str = "a few pairs"

    def __iter__(self) -> Iterator[ImagePair]:
        for index in range(self.count):
            thermal, rgb = smooth(1, (48, 64)), smooth(2, (48, 64, 3))
            thermal[:4, :4] = rgb[:4, :4] = 5 * index
            yield ImagePair(thermal, "mono8", rgb, 1 / 20)


@pytest.fixture(scope="session")
def few_pairs() -> type[FewPairs]:
    return FewPairs


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
