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

"""The storage of a rosbag2 recording: its files, its topics, and its messages even where a file is damaged.

Whole files are read by the `rosbags` library. A file that it refuses, or in which it meets something broken, is read
on by `salvage`, and what happened is said in `damage`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, Final

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from refinefuse_ros.errors import UserError
from refinefuse_ros.recordings.decompression import (
    MOST_BYTES,
    DamagedError,
    TooLargeError,
    bound_chunks_of_rosbags,
    unzstd,
    unzstd_file,
)
from refinefuse_ros.recordings.salvage import StoredMessage, ros2_type, salvage
from refinefuse_ros.stream.timing import NS_PER_S

_STORAGE_SUFFIXES: Final = (".mcap", ".db3")
_COMPRESSED_SUFFIX: Final = ".zstd"
_ZSTD_START: Final = b"\x28\xb5\x2f\xfd"  # a message begins with 0x00: CDR's representation identifier

_ROS1_START: Final = b"#ROSBAG V"


class BagError(UserError):
    """A bag cannot be used; the message is one sentence that names it and says what to do."""


@dataclass(frozen=True)
class Topic:
    """A topic of a bag: its message type ("sensor_msgs/msg/Image") and how many messages should be there."""

    type: str
    count: int


class BagFiles:
    """The storage files of one bag, in recording order. Uses as much memory as the largest chunk or message.

    Attributes:
        topics: by name, as the bag's index says; for a damaged file without one, as found by reading it.
        damage: one sentence for each file that was found damaged, by the newest run of `messages`.

    Args:
        path: a bag's folder, or one .mcap or .db3 file; folders compressed by file or by message are fine.

    Raises:
        BagError: there is no bag, or its compression is unknown.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise BagError(f"{path} does not exist; give a bag's folder, or its .mcap or .db3 file.")
        self.path = path
        self.damage: list[str] = []
        bound_chunks_of_rosbags()
        metadata = _metadata(path)
        self._files = _files(path, metadata)
        self._seconds = _seconds_of(metadata)
        self.topics = _topics_of(metadata) or self._topics_of_files()

    def messages(self, topics: set[str]) -> Iterator[StoredMessage]:
        """The messages of `topics` in recording order; what is damaged is left out."""
        self.damage = []
        for file in self._files:
            too_large: Counter[str] = Counter()
            for message in self._read(file, topics):
                try:
                    data = _decompressed(message.data)
                except TooLargeError:
                    too_large[message.topic] += 1
                    continue
                yield message._replace(data=data)
            self.damage += [
                f"{count} message(s) of {topic} in {file.name} would take more than {MOST_BYTES / 1e6:.0f} MB"
                " decompressed, and were left out."
                for topic, count in too_large.items()
            ]

    def seconds(self) -> float | None:
        """From the first to the last message, as the bag's index says; None for a damaged one that has none.

        Raises:
            BagError: a file that is compressed as a whole is too large.
        """
        if self._seconds is not None:
            return self._seconds
        starts_ns, ends_ns = [], []
        for file in self._files:
            if not file.exists():
                return None
            with _plain(file) as plain:
                try:
                    with Reader(plain) as reader:
                        starts_ns.append(reader.start_time)
                        ends_ns.append(reader.end_time)
                except Exception:  # a broken file makes the library raise nearly anything
                    return None
        return max(max(ends_ns) - min(starts_ns), 0) / NS_PER_S

    def _read(self, file: Path, topics: set[str]) -> Iterator[StoredMessage]:
        given: Counter[str] = Counter()
        if not file.exists():
            self.damage.append(f"{file.name} is missing.")
            return
        with _plain(file) as plain:
            try:
                with Reader(plain) as reader:
                    wanted = [connection for connection in reader.connections if connection.topic in topics]
                    for connection, recorded_ns, data in reader.messages(wanted) if wanted else ():
                        given[connection.topic] += 1
                        yield StoredMessage(connection.topic, _type_of(connection), recorded_ns, bytes(data))
                return
            except Exception as error:  # a broken file makes the library raise nearly anything
                damage = [_reason(error)]
            # Within a topic both ways of reading have the same order: what was given before comes first again.
            for message in salvage(plain, damage):
                if message.topic in topics:
                    given[message.topic] -= 1
                    if given[message.topic] < 0:
                        yield message
        self.damage.append(f"{file.name} is damaged: {'; '.join(dict.fromkeys(damage))}.")

    def _topics_of_files(self) -> dict[str, Topic]:
        types: dict[str, str] = {}
        counts: Counter[str] = Counter()
        for file in self._files:
            with _plain(file) as plain:
                for name, kind, count in _listed(plain):
                    types[name] = kind
                    counts[name] += count
        return {name: Topic(kind, counts[name]) for name, kind in types.items()}


def _decompressed(data: bytes) -> bytes:
    """A message's bytes; what cannot be decompressed stays as it is, and will be found undecodable.

    Raises:
        TooLargeError: it would be more than a message may have.
    """
    try:
        return unzstd(data) if data.startswith(_ZSTD_START) else data
    except DamagedError:
        return data


def _listed(plain: Path) -> list[tuple[str, str, int]]:
    """Name, type and message count of the topics of one file."""
    try:
        with Reader(plain) as reader:
            return [(connection.topic, _type_of(connection), connection.msgcount) for connection in reader.connections]
    except Exception:  # as above; what is wrong is said when the messages are read
        found = Counter((message.topic, message.type) for message in salvage(plain, []))
        return [(name, kind, count) for (name, kind), count in found.items()]


def _type_of(connection: Connection) -> str:
    return ros2_type(connection.msgtype, connection.ext.serialization_format)


@contextmanager
def _plain(file: Path) -> Iterator[Path]:
    """The storage file itself, or for a compressed one a temporary file with what could be decompressed.

    Raises:
        BagError: there is no room for that.
    """
    if file.suffix != _COMPRESSED_SUFFIX:
        yield file
        return
    with TemporaryDirectory(prefix="refinefuse-bag-") as folder:
        plain = Path(folder, file.stem)
        try:
            unzstd_file(file, plain)
        except TooLargeError as error:
            raise BagError(
                f"{file} cannot be read: {error}, half of what is free in {gettempdir()}; make room, or set TMPDIR to a"
                " folder on a larger disk."
            ) from error
        yield plain


def _metadata(path: Path) -> dict[str, Any]:
    """The contents of metadata.yaml; empty without one (a recorder that was killed leaves none).

    Raises:
        BagError: it says that the bag is compressed in a way that cannot be read.
    """
    try:
        document = YAML(typ="safe").load((path / "metadata.yaml").read_text())
        metadata = document["rosbag2_bagfile_information"]
        compression = metadata.get("compression_format") or ""
        _files_named(metadata)
    except (OSError, ValueError, YAMLError, LookupError, TypeError, AttributeError):
        return {}
    if compression not in ("", "zstd"):
        raise BagError(
            f"{path} is compressed with {compression}, which cannot be read; convert it with `ros2 bag convert`"
            " to zstd or to no compression."
        )
    return metadata


def _files_named(metadata: dict[str, Any]) -> list[str]:
    return [PurePath(name).name for name in metadata["relative_file_paths"]]


def _files(path: Path, metadata: dict[str, Any]) -> list[Path]:
    if path.is_file():
        if path.open("rb").read(len(_ROS1_START)) == _ROS1_START:
            raise BagError(f"{path} is a ROS 1 bag; convert it: rosbags-convert --src {path} --dst {path.stem}.")
        files = [path]
    elif metadata:
        files = [path / name for name in _files_named(metadata)]
    else:
        files = sorted(path.iterdir(), key=_natural)
    files = [file for file in files if PurePath(file.name.removesuffix(_COMPRESSED_SUFFIX)).suffix in _STORAGE_SUFFIXES]
    if not any(file.exists() for file in files):
        raise BagError(f"{path} holds no .mcap or .db3 file; give a rosbag2 folder, or one such file.")
    return files


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts bag_10 after bag_9."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", path.name)]


def _seconds_of(metadata: dict[str, Any]) -> float | None:
    try:
        return float(metadata["duration"]["nanoseconds"]) / NS_PER_S or None
    except (LookupError, TypeError, ValueError):
        return None


def _topics_of(metadata: dict[str, Any]) -> dict[str, Topic]:
    """The topics that metadata.yaml lists; none where it has no counts (they are written at the end)."""
    topics = {}
    try:
        for entry in metadata["topics_with_message_count"]:
            topic = entry["topic_metadata"]
            kind = ros2_type(topic["type"], topic.get("serialization_format", "cdr"))
            topics[topic["name"]] = Topic(kind, entry["message_count"])
    except (LookupError, TypeError):
        return {}
    return topics if any(topic.count for topic in topics.values()) else {}


def _reason(error: Exception) -> str:
    text = str(error).strip().rstrip(".")
    return text[:1].lower() + text[1:] if text else type(error).__name__
