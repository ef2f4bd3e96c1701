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

"""What a replay has to know of a bag: its length, and what the nodes have to be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from refinefuse_ros.recordings.making import write_bag
from refinefuse_ros.recordings.replaying import replay_of
from refinefuse_ros.recordings.storage import BagError


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_of_a_raw_and_a_compressed_camera(tmp_path: Path, few_pairs, storage: str) -> None:
    write_bag(few_pairs(), tmp_path / "bag", rgb_encoding="jpeg", storage=storage)
    replay = replay_of(tmp_path / "bag")
    assert replay.seconds == pytest.approx(0.45)
    assert replay.topics == {"thermal_topic": "/thermal/image_raw", "rgb_topic": "/rgb/image_raw/compressed"}
    assert replay.transports == {"thermal.transport": "raw", "rgb.transport": "compressed"}
    assert replay.node_topics == {name: name for name in replay.reader.topics.values()} | {
        "/thermal/camera_info": "/thermal/camera_info",
        "/rgb/camera_info": "/rgb/camera_info",
    }


def test_other_names_become_those_of_the_node(write_images) -> None:
    replay = replay_of(write_images("/boson/ir_image", "/basler/color/compressed"))
    assert replay.node_topics == {
        "/boson/ir_image": "/thermal/image_raw",
        "/basler/color/compressed": "/rgb/image_raw/compressed",
    }


def test_the_length_of_a_damaged_bag_is_guessed(tmp_path: Path, few_pairs) -> None:
    write_bag(few_pairs(), tmp_path / "bag")
    (tmp_path / "bag" / "metadata.yaml").unlink()
    file = tmp_path / "bag" / "bag.mcap"
    file.write_bytes(file.read_bytes()[:-1000])
    assert replay_of(tmp_path / "bag").seconds == 20.0


def test_no_bag_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="does not exist"):
        replay_of(tmp_path / "none")
