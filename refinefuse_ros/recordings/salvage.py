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

"""What is still readable in a damaged bag file: whole chunks of an MCAP file, readable rows of an SQLite file."""

from __future__ import annotations

import sqlite3
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from refinefuse_ros.recordings.decompression import unpack_chunk

_MAGIC: Final = b"\x89MCAP0\r\n"
# MCAP record opcodes (MCAP format specification, "Records").
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END = 0x03, 0x04, 0x05, 0x06, 0x0F
# What the rosbags library calls the type of a channel without one.
_NO_SCHEMA: Final = "__schemaless__"
_FOOTER_BYTES: Final = 37  # opcode, length, three fields of the footer record, and the magic at the end
# So many rows in a row that cannot be read, or are not there, are the end of an SQLite file.
_ROWS_GIVEN_UP_AFTER: Final = 2000


class StoredMessage(NamedTuple):
    """One message as the bag holds it: serialised (CDR), recorded at `recorded_ns` of the recorder's clock."""

    topic: str
    type: str
    recorded_ns: int
    data: bytes


def salvage(path: Path, damage: list[str]) -> Iterator[StoredMessage]:
    """All messages that can be read from a damaged storage file, in its order; faults met are added to `damage`."""
    return _McapSalvage(path, damage).messages() if path.suffix == ".mcap" else _salvage_rows(path, damage)


class _McapSalvage:
    """Reads an MCAP file from its start, record by record, without its index."""

    def __init__(self, path: Path, damage: list[str]) -> None:
        self._path = path
        self._damage = damage
        self._types: dict[int, str] = {}  # by schema id
        self._channels: dict[int, tuple[str, str]] = {}  # topic and type by channel id

    def messages(self) -> Iterator[StoredMessage]:
        with self._path.open("rb") as file:
            self._learn_channels(file)
            file.seek(0)
            if file.read(len(_MAGIC)) != _MAGIC:
                self._damage.append("it does not begin as MCAP")
                return
            for opcode, content in self._records(file):
                if opcode == _DATA_END:
                    return
                yield from self._of_chunk(content) if opcode == _CHUNK else self._of_record(opcode, content)

    def _learn_channels(self, file: BinaryIO) -> None:
        """From the summary at the end, where there is one: the chunk that introduces a channel may be broken."""
        size = file.seek(0, 2)
        if size < _FOOTER_BYTES:
            return
        file.seek(-_FOOTER_BYTES, 2)
        footer = file.read()
        (summary_start,) = struct.unpack_from("<Q", footer, 9)
        if footer.endswith(_MAGIC) and 0 < summary_start < size:
            file.seek(summary_start)
            for opcode, content in self._records(file):
                if opcode not in (_SCHEMA, _CHANNEL):
                    return
                self._of_record(opcode, content)

    def _records(self, stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
        """Opcode and content of the whole records from here on."""
        while head := stream.read(9):
            start = stream.tell() - len(head)
            length = struct.unpack_from("<Q", head, 1)[0] if len(head) == 9 else 0
            here = stream.tell()
            end = stream.seek(0, 2)
            stream.seek(here)
            if len(head) < 9 or head[0] == 0 or length > end - here:
                self._damage.append(f"it ends in the middle of a record at byte {start}")
                return
            yield head[0], stream.read(length)

    def _of_chunk(self, content: bytes) -> Iterator[StoredMessage]:
        try:
            messages = list(self._inside(content))
        except Exception as error:  # broken bytes make a decompressor or parser raise nearly anything
            self._damage.append(f"a chunk cannot be read ({str(error) or type(error).__name__})")
            return
        yield from sorted(messages, key=lambda message: message.recorded_ns)

    def _inside(self, content: bytes) -> Iterator[StoredMessage]:
        _, _, size, crc, name_length = struct.unpack_from("<QQQII", content)
        position = struct.calcsize("<QQQII") + name_length
        compression = content[position - name_length : position].decode()
        records = unpack_chunk(content[position + 8 :], size, compression)
        if len(records) != size or (crc and zlib.crc32(records) != crc):
            raise ValueError("its contents are not what was written")
        for opcode, record in self._records(BytesIO(records)):
            yield from self._of_record(opcode, record)

    def _of_record(self, opcode: int, content: bytes) -> list[StoredMessage]:
        """The message that a record is, if it is one; what it says of channels is remembered."""
        try:
            if opcode == _SCHEMA:
                (number,) = struct.unpack_from("<H", content)
                self._types[number] = _text(content, 2)
            elif opcode == _CHANNEL:
                number, schema = struct.unpack_from("<HH", content)
                topic = _text(content, 4)
                encoding = _text(content, 8 + len(topic.encode()))
                self._channels[number] = (topic, ros2_type(self._types.get(schema, ""), encoding))
            elif opcode == _MESSAGE:
                number, _, recorded_ns, _ = struct.unpack_from("<HIQQ", content)
                if number in self._channels:
                    return [StoredMessage(*self._channels[number], recorded_ns, content[struct.calcsize("<HIQQ") :])]
        except (struct.error, UnicodeDecodeError):
            self._damage.append("a record is not what it says")
        return []


def ros2_type(name: str, encoding: str) -> str:
    """A message type as ROS 2 writes it; some recorders leave out its "msg". Empty where there is none.

    Args:
        name: of the type, as the file has it.
        encoding: of the messages; what is not CDR is not ROS 2's, and keeps its name.
    """
    if name == _NO_SCHEMA:
        return ""
    package, _, kind = name.partition("/")
    return f"{package}/msg/{kind}" if encoding == "cdr" and kind and "/" not in kind else name


def _text(content: bytes, position: int) -> str:
    """The length-prefixed string that begins there."""
    (length,) = struct.unpack_from("<I", content, position)
    return content[position + 4 : position + 4 + length].decode()


def _salvage_rows(path: Path, damage: list[str]) -> Iterator[StoredMessage]:
    """Row by row by their number: a row is lost when the way to it leads over a broken page."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as database:
        try:
            database.execute("PRAGMA writable_schema=ON")  # lets SQLite open a file that is shorter than it says
            listed = database.execute("SELECT id, name, type, serialization_format FROM topics")
            topics: dict[int, tuple[str, str]] = {}
            for number, name, kind, encoding in listed:
                if all(isinstance(text, str) for text in (name, kind, encoding)):
                    topics[number] = (name, ros2_type(kind, encoding))
                else:  # a broken page gives NULL
                    damage.append("a topic is not what it says")
        except sqlite3.DatabaseError as error:
            damage.append(str(error))
            return
        number, missed = 0, 0
        while missed < _ROWS_GIVEN_UP_AFTER:
            number += 1
            try:
                row = database.execute(
                    "SELECT topic_id, timestamp, data FROM messages WHERE id = ?", (number,)
                ).fetchone()
            except sqlite3.DatabaseError as error:
                damage.append(str(error))
                row = None
            missed = 0 if row else missed + 1
            if row and row[0] in topics and isinstance(row[1], int) and isinstance(row[2], bytes):
                yield StoredMessage(*topics[row[0]], *row[1:])
