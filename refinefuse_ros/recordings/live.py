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

"""Writing a rosbag2 recording of messages as they come in: serialised ones, behind a bounded queue, on a thread.

The recording ends by itself while there is still room on the disk to close it, so that it is a whole bag.
"""

from __future__ import annotations

import queue
import shutil
import sqlite3
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Writer

from refinefuse_ros.errors import first_line, one_line
from refinefuse_ros.recordings.making import METADATA_VERSION, STORAGES
from refinefuse_ros.recordings.reading import ros_types
from refinefuse_ros.recordings.storage import BagError
from refinefuse_ros.stream.timing import NS_PER_S

# Two seconds of three 640x480 streams at 30 Hz.
QUEUE_BYTES: Final = 256 * 1024**2
# Kept free for the last chunk, the index and metadata.yaml; an mcap's index grows with the recording.
RESERVE_BYTES: Final = 64 * 1024**2
RESERVE_PER_BYTE: Final = 1 / 1000
# sqlite3: what was committed survives a recorder that is killed.
COMMIT_BYTES: Final = 32 * 1024**2
_UNLIMITED: Final = QosTime(9223372036, 854775807)  # RMW_DURATION_INFINITE


class LiveMessage(NamedTuple):
    """A message as DDS delivered it.

    Attributes:
        topic: fully qualified.
        type: such as "sensor_msgs/msg/Image".
        reliable: whether its publisher offers reliable delivery; written into the bag for whoever plays it.
        recorded_ns: when it came in, ns of the recorder's clock.
        data: serialised (CDR).
    """

    topic: str
    type: str
    reliable: bool
    recorded_ns: int
    data: bytes


@dataclass(frozen=True)
class RecordedBag:
    """What `LiveBag` made.

    Attributes:
        path: the bag's folder; nothing is there when no message was written.
        seconds: from the first to the last message, by the recorder's clock.
        megabytes: message data written, MB.
        messages: how many were written, by topic; where `error` says that the end is cut off, fewer can be read.
        dropped: how many were not, because the disk did not keep up or was full, by topic.
        error: why the recording ended by itself, and what became of it; empty when it did not.
    """

    path: str
    seconds: float
    megabytes: float
    messages: dict[str, int]
    dropped: dict[str, int]
    error: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class LiveBag:
    """A bag being recorded. The folder appears with the first message.

    Attributes:
        error: one sentence once the recording has ended by itself; empty until then.

    Args:
        path: the bag's folder; must not exist.
        storage: one of STORAGES.
        queue_bytes: most message data that waits for the disk; what comes in beyond is dropped and counted.

    Raises:
        BagError: the folder exists.
        ValueError: `storage` is unknown.
    """

    def __init__(self, path: Path, storage: str = "mcap", queue_bytes: int = QUEUE_BYTES) -> None:
        if storage not in STORAGES:
            raise ValueError(f"the storage is '{storage}': it must be {' or '.join(STORAGES)}.")
        if path.exists():
            raise BagError(f"{path} exists already; remove it or give another folder.")
        self.path = path
        self.error = ""
        self._plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
        self._free_bytes = queue_bytes
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[LiveMessage | None] = queue.SimpleQueue()
        self._written: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._bytes = 0
        self._uncommitted = 0
        self._first_ns = self._last_ns = 0
        self._connections: dict[str, Connection] = {}
        self._thread = threading.Thread(target=self._write_all, name="bag writer")
        self._thread.start()

    def put(self, message: LiveMessage) -> None:
        """Hand over a message; never waits. Thread-safe."""
        size = len(message.data)
        with self._lock:
            if self.error or size > self._free_bytes:
                self._dropped[message.topic] += 1
                return
            self._free_bytes -= size
        self._queue.put(message)

    def close(self) -> RecordedBag:
        """Write what waits, finish the bag, and say what is in it."""
        self._queue.put(None)
        self._thread.join()
        seconds = (self._last_ns - self._first_ns) / NS_PER_S
        return RecordedBag(
            str(self.path), seconds, self._bytes / 1e6, dict(self._written), dict(self._dropped), self.error
        )

    # -- on the writer thread ------------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        writer: Writer | None = None
        while (message := self._queue.get()) is not None:
            with self._lock:
                self._free_bytes += len(message.data)
            if self.error:
                self._dropped[message.topic] += 1
                continue
            try:
                writer = writer or self._open()
                self._make_sure_of_room()
                self._write(writer, message)
            except Exception as error:  # a thread that died of it would leave a recording that looks well
                self._dropped[message.topic] += 1
                self.error = self._ended(writer, error)
                writer = None
        if writer is not None:
            self._finish(writer)

    def _open(self) -> Writer:
        writer = Writer(self.path, version=METADATA_VERSION, storage_plugin=self._plugin)
        writer.open()
        return writer

    def _make_sure_of_room(self) -> None:
        """Raises _DiskNearlyFullError while the bag can still be closed."""
        free = shutil.disk_usage(self.path).free
        if free < RESERVE_BYTES + self._bytes * RESERVE_PER_BYTE:
            raise _DiskNearlyFullError(free)

    def _write(self, writer: Writer, message: LiveMessage) -> None:
        if message.topic not in self._connections:
            self._connections[message.topic] = writer.add_connection(
                message.topic, message.type, typestore=ros_types(), offered_qos_profiles=[_qos(message.reliable)]
            )
        writer.write(self._connections[message.topic], message.recorded_ns, message.data)
        self._uncommitted += len(message.data)
        if self._uncommitted > COMMIT_BYTES and isinstance(writer.storage, Sqlite3Writer):
            writer.storage.conn.commit()
            self._uncommitted = 0
        self._written[message.topic] += 1
        self._bytes += len(message.data)
        self._first_ns = self._first_ns or message.recorded_ns
        self._last_ns = message.recorded_ns

    def _ended(self, writer: Writer | None, error: Exception) -> str:
        """Close what was written; why the recording ended, and whether the bag is whole."""
        if writer is None:
            return f"{self.path} cannot be written: {first_line(error)}."
        if isinstance(error, _DiskNearlyFullError):
            self._finish(writer)
            return self.error or (
                f"The disk is nearly full ({error.free_bytes / 1e6:.0f} MB left), so the recording ended;"
                f" {self.path} holds what was written until then, and is whole."
            )
        if not isinstance(error, (OSError, sqlite3.Error)):  # the disk is not to blame
            self._finish(writer)
            return self.error or (
                f"The recording ended by an unforeseen {type(error).__name__} ({one_line(error)}); please report this"
                f" as a bug. {self.path} holds what was written until then, and is whole."
            )
        self._abandon(writer)
        return (
            f"{self.path} could not be written on ({error}), so the recording ended; its end is cut off, what came"
            " before can be read."
        )

    def _finish(self, writer: Writer) -> None:
        try:
            writer.close()
        except Exception as error:
            self.error = (
                f"{self.path} could not be closed ({first_line(error)}); its end is cut off, what came before can be"
                " read."
            )
            self._abandon(writer)

    def _abandon(self, writer: Writer) -> None:
        with suppress(Exception):  # what could be written has been
            writer.abort()


class _DiskNearlyFullError(OSError):
    """There is just enough room left to close the bag."""

    def __init__(self, free_bytes: int) -> None:
        super().__init__(free_bytes)
        self.free_bytes = free_bytes


def _qos(reliable: bool) -> Qos:
    """What the recorded publisher offers, in the form that players take it from the bag."""
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=10,
        reliability=QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT,
        durability=QosDurability.VOLATILE,
        deadline=_UNLIMITED,
        lifespan=_UNLIMITED,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=_UNLIMITED,
        avoid_ros_namespace_conventions=False,
    )
