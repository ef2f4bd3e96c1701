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

"""Recording what comes in: everything is in the bag, what cannot be is counted, and a full disk leaves a whole bag."""

from __future__ import annotations

import resource
import shutil
import signal
from collections import namedtuple
from pathlib import Path

import pytest
from rosbags.rosbag2 import Reader
from ruamel.yaml import YAML

from refinefuse_ros.recordings import live as live_bag
from refinefuse_ros.recordings.live import LiveBag, LiveMessage
from refinefuse_ros.recordings.making import write_bag
from refinefuse_ros.recordings.reading import IMAGE
from refinefuse_ros.recordings.storage import BagError, BagFiles

START_NS = 1_700_000_000_000_000_000


def message(index: int, topic: str = "/rgb/image_raw", size: int = 100, reliable: bool = True) -> LiveMessage:
    return LiveMessage(topic, IMAGE, reliable, START_NS + index * 1_000_000, bytes([index % 256]) * size)


def contents(path: Path, topic: str = "/rgb/image_raw") -> list[bytes]:
    return [stored.data for stored in BagFiles(path).messages({topic})]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_everything_is_in_the_bag(tmp_path: Path, storage: str) -> None:
    bag = LiveBag(tmp_path / "bag", storage)
    for index in range(20):
        bag.put(message(index))
        bag.put(message(index, "/thermal/image_raw", reliable=False))
    recorded = bag.close()
    assert recorded.messages == {"/rgb/image_raw": 20, "/thermal/image_raw": 20}
    assert (recorded.dropped, recorded.error, recorded.seconds) == ({}, "", 0.019)
    assert contents(tmp_path / "bag") == [bytes([index]) * 100 for index in range(20)]
    with Reader(tmp_path / "bag") as reader:
        offered = {found.topic: found.ext.offered_qos_profiles[0].reliability.name for found in reader.connections}
    assert offered == {"/rgb/image_raw": "RELIABLE", "/thermal/image_raw": "BEST_EFFORT"}


def test_every_rosbag2_since_humble_reads_the_metadata(tmp_path: Path, few_pairs) -> None:
    bag = LiveBag(tmp_path / "live")
    bag.put(message(0))
    bag.close()
    write_bag(few_pairs(1), tmp_path / "made")
    for name in ("live", "made"):
        metadata = YAML(typ="safe").load(tmp_path / name / "metadata.yaml")["rosbag2_bagfile_information"]
        assert metadata["version"] == 8
        for topic in metadata["topics_with_message_count"]:
            assert isinstance(topic["topic_metadata"]["offered_qos_profiles"], str)  # Humble takes no list


def test_without_a_message_there_is_no_folder(tmp_path: Path) -> None:
    assert LiveBag(tmp_path / "bag").close().messages == {}
    assert not (tmp_path / "bag").exists()


def test_a_folder_that_exists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="exists already; remove it or give another folder"):
        LiveBag(tmp_path)


def test_what_the_disk_does_not_keep_up_with_is_counted(tmp_path: Path) -> None:
    bag = LiveBag(tmp_path / "bag", queue_bytes=1000)
    bag.put(message(0, size=1001))
    bag.put(message(1, size=999))
    recorded = bag.close()
    assert (recorded.messages, recorded.dropped) == ({"/rgb/image_raw": 1}, {"/rgb/image_raw": 1})
    assert len(contents(tmp_path / "bag")) == 1


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_disk_that_fills_up_leaves_a_whole_bag(tmp_path: Path, storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")
    left = iter([10**9] * 30)
    monkeypatch.setattr(live_bag.shutil, "disk_usage", lambda path: usage(next(left, 50_000_000)))
    bag = LiveBag(tmp_path / "bag", storage)
    for index in range(40):
        bag.put(message(index))
    recorded = bag.close()
    assert recorded.error == (
        f"The disk is nearly full (50 MB left), so the recording ended; {tmp_path / 'bag'} holds what was written until"
        " then, and is whole."
    )
    assert (recorded.messages["/rgb/image_raw"], recorded.dropped["/rgb/image_raw"]) == (30, 10)
    files = BagFiles(tmp_path / "bag")
    assert len(list(files.messages({"/rgb/image_raw"}))) == files.topics["/rgb/image_raw"].count == 30
    assert files.damage == []


def test_a_write_that_fails_leaves_what_came_before(tmp_path: Path) -> None:
    """A file size limit, so that the write itself fails, at any byte."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, limits[1]))
    try:
        bag = LiveBag(tmp_path / "bag")
        for index in range(20):
            bag.put(message(index, size=500_000))
        recorded = bag.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert "its end is cut off, what came before can be read" in recorded.error
    assert 6 <= len(contents(tmp_path / "bag")) <= 10
    shutil.rmtree(tmp_path / "bag")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    bag = LiveBag(tmp_path / "file" / "bag")
    bag.put(message(0))
    recorded = bag.close()
    assert recorded.error.startswith(f"{tmp_path / 'file' / 'bag'} cannot be written: ")
    assert recorded.messages == {}


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_what_nobody_foresaw_ends_the_recording_with_a_whole_bag_and_is_said(tmp_path: Path, storage: str) -> None:
    bag = LiveBag(tmp_path / "bag", storage)
    bag.put(message(0))
    bag.put(message(1, "/strange")._replace(type="no/such/Type"))
    bag.put(message(2))
    recorded = bag.close()
    assert recorded.error.startswith("The recording ended by an unforeseen ")
    assert recorded.error.endswith(f"{tmp_path / 'bag'} holds what was written until then, and is whole.")
    assert (recorded.messages, recorded.dropped) == ({"/rgb/image_raw": 1}, {"/strange": 1, "/rgb/image_raw": 1})
    files = BagFiles(tmp_path / "bag")
    assert len(list(files.messages({"/rgb/image_raw"}))) == 1
    assert files.damage == []


def test_a_bag_that_cannot_be_closed_for_whatever_reason_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(writer: object) -> None:
        raise KeyError("nobody foresaw this")

    monkeypatch.setattr(live_bag.Writer, "close", fail)
    bag = LiveBag(tmp_path / "bag")
    bag.put(message(0))
    assert "could not be closed ('nobody foresaw this'); its end is cut off" in bag.close().error
