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

"""The storage of bags: split, compressed, and damaged in every way a disk or a killed recorder does it."""

from __future__ import annotations

import re
import shutil
import sqlite3
import tempfile
from collections import namedtuple
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer

from refinefuse_ros.recordings import decompression
from refinefuse_ros.recordings.decompression import MOST_BYTES
from refinefuse_ros.recordings.making import write_bag
from refinefuse_ros.recordings.reading import IMAGE, open_bag, ros_types
from refinefuse_ros.recordings.storage import BagError, BagFiles

ZSTD_START = b"\x28\xb5\x2f\xfd"
TOPICS = {"/thermal/image_raw", "/rgb/image_raw"}


def recorded(path: Path) -> list[tuple[str, int]]:
    return [(message.topic, message.recorded_ns) for message in BagFiles(path).messages(TOPICS)]


def rewrite(bag: Path, output: Path, mode: CompressionMode, storage: StoragePlugin) -> Path:
    """The bag again, compressed, in chunks of about a megabyte."""
    writer = Writer(output, version=9, storage_plugin=storage)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with Reader(bag) as reader, writer:
        connections = {
            old.id: writer.add_connection(old.topic, old.msgtype, typestore=ros_types()) for old in reader.connections
        }
        for connection, recorded_ns, data in reader.messages():
            writer.write(connections[connection.id], recorded_ns, data)
    return output


@pytest.fixture
def bag(tmp_path: Path, few_pairs) -> Path:
    """120 pairs: two chunks of MCAP."""
    write_bag(few_pairs(20), tmp_path / "bag", seconds=6)
    return tmp_path / "bag"


@pytest.fixture
def rows(tmp_path: Path, few_pairs) -> Path:
    write_bag(few_pairs(20), tmp_path / "rows", storage="sqlite3", seconds=6)
    return tmp_path / "rows"


@pytest.mark.parametrize(
    ("mode", "storage"),
    [
        (CompressionMode.FILE, StoragePlugin.MCAP),
        (CompressionMode.MESSAGE, StoragePlugin.MCAP),
        (CompressionMode.STORAGE, StoragePlugin.MCAP),
        (CompressionMode.FILE, StoragePlugin.SQLITE3),
        (CompressionMode.MESSAGE, StoragePlugin.SQLITE3),
    ],
)
def test_compressed_bags_hold_the_same(bag: Path, tmp_path: Path, mode, storage) -> None:
    packed = rewrite(bag, tmp_path / "packed", mode, storage)
    frames, packed_frames = list(open_bag(bag).frames()), list(open_bag(packed).frames())
    assert len(packed_frames) == 240
    assert all((a.frame.pixels == b.frame.pixels).all() for a, b in zip(frames, packed_frames, strict=True))


@pytest.mark.parametrize("keep_metadata", [True, False])
def test_split_bags_are_read_file_after_file(tmp_path: Path, few_pairs, keep_metadata: bool) -> None:
    split = tmp_path / "split"
    split.mkdir()
    for part in (9, 10):
        write_bag(few_pairs(2), tmp_path / f"part_{part}", start_ns=part * 10**9)
        shutil.move(tmp_path / f"part_{part}" / f"part_{part}.mcap", split)
    if keep_metadata:
        metadata = (tmp_path / "part_9" / "metadata.yaml").read_text()
        metadata = metadata.replace("  - part_9.mcap", "  - part_9.mcap\n  - part_10.mcap")
        (split / "metadata.yaml").write_text(metadata)
    times = [time for topic, time in recorded(split) if topic == "/rgb/image_raw"]
    assert times == [9_000_000_000, 9_050_000_000, 10_000_000_000, 10_050_000_000]


@pytest.mark.parametrize("keep_metadata", [True, False])
@pytest.mark.parametrize("mode", [CompressionMode.NONE, CompressionMode.STORAGE])
def test_of_a_file_cut_off_the_whole_chunks_are_read(bag: Path, tmp_path: Path, mode, keep_metadata: bool) -> None:
    whole = recorded(bag)
    cut = rewrite(bag, tmp_path / "cut", mode, StoragePlugin.MCAP)
    file = cut / "cut.mcap"
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * 0.8)])
    if not keep_metadata:
        (cut / "metadata.yaml").unlink()
    reader = open_bag(cut)
    frames = list(reader.frames())
    assert 100 < len(frames) < 240
    assert [frame.recorded_ns for frame in frames] == [time for _, time in whole[: len(frames)]]
    losses = reader.losses()
    assert losses[0].startswith("cut.mcap is damaged: ")
    assert "ends in the middle of a record at byte" in losses[0]
    assert len(losses) == (3 if keep_metadata else 1)  # without an index nobody knows how many there were


@pytest.mark.parametrize("chunk", [1, 2])
def test_a_broken_chunk_costs_only_itself(bag: Path, tmp_path: Path, chunk: int) -> None:
    """The first one introduces the channels, which are known from the summary too."""
    packed = rewrite(bag, tmp_path / "broken", CompressionMode.STORAGE, StoragePlugin.MCAP)
    file = packed / "broken.mcap"
    pieces = file.read_bytes().split(ZSTD_START)
    content = ZSTD_START.join(pieces[:chunk]) + bytes(4) + ZSTD_START.join(pieces[chunk:])
    file.write_bytes(content)
    files = BagFiles(packed)
    read = [(message.topic, message.recorded_ns) for message in files.messages(TOPICS)]
    assert 0 < len(read) < 240
    assert len(set(read)) == len(read)
    assert set(read) < set(recorded(bag))
    assert files.damage[0].startswith("broken.mcap is damaged: ")


def test_unknown_compression_of_chunks_is_said(bag: Path, tmp_path: Path) -> None:
    packed = rewrite(bag, tmp_path / "packed", CompressionMode.STORAGE, StoragePlugin.MCAP)
    file = packed / "packed.mcap"
    file.write_bytes(file.read_bytes().replace(b"\x04\0\0\0zstd", b"\x04\0\0\0brot"))
    reader = open_bag(packed)
    assert list(reader.frames()) == []
    assert "unknown compression 'brot'" in reader.losses()[0]


def test_unknown_compression_of_the_bag_is_one_sentence(bag: Path) -> None:
    metadata = bag / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("compression_format: ''", "compression_format: brotli"))
    with pytest.raises(BagError, match="compressed with brotli"):
        open_bag(bag)


def test_a_database_cut_off_gives_its_readable_rows(rows: Path) -> None:
    whole = recorded(rows)
    file = rows / "rows.db3"
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * 0.6)])
    reader = open_bag(rows)
    frames = list(reader.frames())
    assert 50 < len(frames) < 240
    assert [frame.recorded_ns for frame in frames] == [time for _, time in whole[: len(frames)]]
    assert reader.losses()[0].startswith("rows.db3 is damaged: ")
    assert "could not be read" in reader.losses()[1]


def test_metadata_without_counts_are_not_believed(bag: Path) -> None:
    metadata = bag / "metadata.yaml"
    metadata.write_text(re.sub(r"message_count: \d+", "message_count: 0", metadata.read_text()))
    assert set(open_bag(bag).counts.values()) == {120}


def test_a_missing_part_is_said(bag: Path, few_pairs, tmp_path: Path) -> None:
    metadata = bag / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("  - bag.mcap", "  - bag.mcap\n  - bag_1.mcap"))
    reader = open_bag(bag)
    assert len(list(reader.frames())) == 240
    assert reader.losses() == ["bag_1.mcap is missing."]


@pytest.mark.parametrize("content", [b"", b"no bag at all", b"\x89MCAP0\r\n", b"\x89MCAP0\r\n" + bytes(100)])
@pytest.mark.parametrize("suffix", [".mcap", ".db3"])
def test_files_that_hold_nothing_readable_are_one_sentence(tmp_path: Path, content: bytes, suffix: str) -> None:
    file = tmp_path / f"bag{suffix}"
    file.write_bytes(content)
    with pytest.raises(BagError, match="holds no image message"):
        open_bag(file)


def retyped(bag: Path, kind: str, encoding: str = "cdr") -> Path:
    """The bag's file alone, whose images are of another type by its own words."""
    file = next(bag.glob("*.db3"))
    with closing(sqlite3.connect(file)) as database:
        database.execute("UPDATE topics SET type = ?, serialization_format = ? WHERE type = ?", (kind, encoding, IMAGE))
        database.commit()
    return file


def test_a_type_written_without_its_msg_is_the_same(rows: Path) -> None:
    expected = list(BagFiles(rows).messages(TOPICS))
    assert list(BagFiles(retyped(rows, "sensor_msgs/Image")).messages(TOPICS)) == expected


@pytest.mark.parametrize(
    ("kind", "encoding", "said"),
    [
        ("sensor_msgs/Image", "ros1", r"holds ROS 1 messages \(/rgb/.*\); convert it to ROS 2 with rosbags-convert"),
        ("", "cdr", "does not say of what type the messages on /rgb/image_raw, /thermal/image_raw are"),
        ("foxglove.RawImage", "protobuf", r"/rgb/image_raw \[foxglove.RawImage\]"),
    ],
)
def test_images_of_no_type_or_another_one_are_one_sentence(rows: Path, kind: str, encoding: str, said: str) -> None:
    with pytest.raises(BagError, match=said):
        open_bag(retyped(rows, kind, encoding))


def test_a_bag_of_ros_1_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "drive.bag").write_bytes(b"#ROSBAG V2.0\n" + bytes(4096))
    with pytest.raises(BagError, match=r"is a ROS 1 bag; convert it: rosbags-convert --src .*drive.bag --dst drive\."):
        open_bag(tmp_path / "drive.bag")


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_a_message_that_unfolds_beyond_the_bound_is_left_out_and_said(bomb: bytes, tmp_path: Path, storage) -> None:
    bag = tmp_path / "bag"
    with Writer(bag, version=9, storage_plugin=storage) as writer:
        connection = writer.add_connection("/rgb/image_raw", IMAGE, typestore=ros_types())
        for number, data in enumerate((b"\0small", bomb, b"\0small"), start=1):
            writer.write(connection, number, data)
    files = BagFiles(bag)
    assert [message.recorded_ns for message in files.messages(TOPICS)] == [1, 3]
    name = next(file.name for file in bag.iterdir() if file.suffix != ".yaml")
    assert files.damage == [
        f"1 message(s) of /rgb/image_raw in {name} would take more than 134 MB decompressed, and were left out."
    ]


def test_a_chunk_that_unfolds_beyond_the_bound_costs_only_itself(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection("/rgb/image_raw", IMAGE, typestore=ros_types())
        for number, size in enumerate((1 << 21, MOST_BYTES, 1 << 21), start=1):  # a chunk ends after a megabyte
            writer.write(connection, number, bytes(size))
    assert (tmp_path / "bag" / "bag.mcap").stat().st_size < 10_000
    files = BagFiles(tmp_path / "bag")
    assert [message.recorded_ns for message in files.messages(TOPICS)] == [1, 3]
    assert files.damage == [
        "bag.mcap is damaged: it takes more than 134 MB decompressed; a chunk cannot be read (it takes more than 134 MB"
        " decompressed)."
    ]


def test_a_file_that_would_fill_the_disk_is_one_sentence(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = rewrite(bag, tmp_path / "packed", CompressionMode.FILE, StoragePlugin.MCAP)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(decompression.shutil, "disk_usage", lambda path: usage(2_000_000))
    with pytest.raises(
        BagError, match=r"packed\.mcap\.zstd cannot be read: it takes more than 1 MB decompressed, half"
    ):
        list(open_bag(packed).frames())
    assert list(temporary.iterdir()) == []


def test_the_length_of_a_bag_without_metadata_is_that_of_its_files(bag: Path, tmp_path: Path) -> None:
    packed = rewrite(bag, tmp_path / "packed", CompressionMode.FILE, StoragePlugin.MCAP)
    (packed / "metadata.yaml").unlink()
    for path in (bag, bag / "bag.mcap", packed):
        assert BagFiles(path).seconds() == pytest.approx(5.95)


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory: pytest.TempPathFactory, few_pairs) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    for storage in ("mcap", "sqlite3"):
        write_bag(few_pairs(3), folder / storage, storage=storage)
    return {file.suffix: file.read_bytes() for file in folder.glob("*/*") if file.suffix != ".yaml"}


@settings(max_examples=60)
@given(data=st.data(), suffix=st.sampled_from([".mcap", ".db3"]))
def test_whatever_bytes_are_broken_only_frames_are_lost(whole_files, tmp_path_factory, data, suffix: str) -> None:
    content = bytearray(whole_files[suffix])
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=5)):
        content[at : at + 8] = data.draw(st.binary(min_size=8, max_size=8))
    file = tmp_path_factory.mktemp("broken") / f"bag{suffix}"
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    try:
        reader = open_bag(file)
        frames = list(reader.frames())
    except BagError:
        return
    assert len(frames) <= 6


def test_a_database_that_ends_within_any_page_loses_frames_only(whole_files: dict[str, bytes], tmp_path: Path) -> None:
    file = tmp_path / "bag.db3"
    for length in range(5, len(whole_files[".db3"]), 4096):  # a table's cells lie at the end of its page
        file.write_bytes(whole_files[".db3"][:length])
        try:
            frames = list(open_bag(file).frames())
        except BagError:
            continue
        assert len(frames) <= 6


def test_a_message_that_was_cut_short_is_undecodable(rows: Path) -> None:
    with sqlite3.connect(rows / "rows.db3") as database:
        database.execute("UPDATE messages SET data = substr(data, 1, 40) WHERE id = 2")
    reader = open_bag(rows)
    assert len(list(reader.frames())) == 239
    assert any("is no sensor_msgs/msg/Image" in sentence for sentence in reader.losses())
