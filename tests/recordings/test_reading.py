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

"""Reading bags: which topics are the cameras, and what is said when they cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from refinefuse_ros.recordings.making import write_bag
from refinefuse_ros.recordings.reading import COMPRESSED_IMAGE, IMAGE, guess_topics, open_bag
from refinefuse_ros.recordings.storage import BagError, Topic
from refinefuse_ros.stream.outcome import Stream


@pytest.mark.parametrize(
    ("topics", "thermal", "rgb"),
    [
        (["/thermal/image_raw", "/rgb/image_raw"], 0, 1),
        (["/t_cam/image_raw", "/v/color/image_raw"], 0, 1),
        (["/camera/visible/image", "/camera/lwir/image", "/camera/fused/image_raw"], 1, 0),
        (["/flir_boson/image_rect", "/flir_boson/image_raw", "/usb_cam/image_raw"], 1, 2),
        (["/ir_cam/image_raw", "/camera/depth/image_raw", "/camera/rgb/image_raw"], 0, 2),
        (["/thermal/image_raw", "/rgb/image_raw/compressed", "/rgb/image_raw"], 0, 2),
        (["/thermal/image_raw", "/rgb/image_raw/compressed"], 0, 1),
        (["/FlirBoson1/image", "/front/RGBImage"], 0, 1),
        (["/cam0/image_raw", "/color/image_raw"], 0, 1),
        (["/tau2/image", "/blackfly/image_raw"], 0, 1),
        (["/camera/infra1/image_rect_raw", "/camera/color/image_raw", "/flir/image_rect"], 2, 1),
        (["/camera/infra1/image_rect_raw", "/camera/color/image_raw"], 0, 1),
        (["/rgb/image_raw/compressed", "/thermal/image_raw/compressedDepth"], 1, 0),
        (["/thermal/image_raw", "/rgb/image_raw", "/camera/depth/image_raw/compressedDepth"], 0, 1),
    ],
)
def test_topics_are_guessed_by_their_words(topics: list[str], thermal: int, rgb: int) -> None:
    images = {name: Topic(COMPRESSED_IMAGE if "compressed" in name else IMAGE, 5) for name in topics}
    guessed = guess_topics(images, {}, Path("bag"))
    assert guessed == {Stream.THERMAL: topics[thermal], Stream.RGB: topics[rgb]}


def test_given_topics_are_taken(write_images) -> None:
    bag = write_images("/a/image", "/b/image", "/rgb/image", "/thermal/image")
    reader = open_bag(bag, thermal_topic="/b/image", rgb_topic="/a/image")
    assert reader.topics == {Stream.THERMAL: "/b/image", Stream.RGB: "/a/image"}
    assert [frame.stream for frame in reader.frames()] == [Stream.RGB, Stream.THERMAL]


@pytest.mark.parametrize(
    ("topics", "message"),
    [
        (["/chatter"], "holds no image message .its topics are /chatter"),
        (["/rgb/image_raw"], "holds only one camera, /rgb/image_raw; record the thermal and the RGB camera"),
        (["/rgb/image_raw", "/rgb/image_raw/compressed"], "holds only one camera"),
        (["/a/image", "/b/image", "/c/image"], "cannot be told from their names"),
        (["/rgb/image", "/a/image", "/b/image"], "is the thermal camera cannot be told"),
        (["/left", "/right"], "is the thermal and which the rgb camera cannot be told"),
    ],
)
def test_bags_without_two_cameras_are_one_sentence(write_images, topics: list[str], message: str) -> None:
    with pytest.raises(BagError, match=message):
        open_bag(write_images(*topics))


def test_a_topic_that_is_not_there_is_one_sentence(write_images) -> None:
    with pytest.raises(BagError, match="no images on the topic /x given for rgb; its image topics are /rgb, /thermal"):
        open_bag(write_images("/rgb", "/thermal"), rgb_topic="/x")


def test_what_is_no_bag_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="does not exist"):
        open_bag(tmp_path / "nothing")
    with pytest.raises(BagError, match=r"holds no .mcap or .db3 file"):
        open_bag(tmp_path)


def test_stamps_that_are_all_zero_are_one_sentence(write_images) -> None:
    reader = open_bag(write_images("/rgb/image", "/thermal/image", stamp=0))
    with pytest.raises(BagError, match=r"Every message of /thermal/image .* has the stamp zero"):
        list(reader.frames())


def test_undecodable_messages_are_counted_and_said(write_images) -> None:
    reader = open_bag(write_images("/thermal/image", "/rgb/image/compressed"))
    assert [frame.stream for frame in reader.frames()] == [Stream.THERMAL]
    assert reader.cameras[Stream.RGB].unreadable == {"compressed": 1}
    assert reader.losses()[0].startswith(
        "1 of 1 messages of /rgb/image/compressed could not be decoded, the first because: compressed image"
    )


def test_a_bag_is_read_any_number_of_times(tmp_path: Path, few_pairs) -> None:
    write_bag(few_pairs(3), tmp_path / "bag")
    reader = open_bag(tmp_path / "bag" / "bag.mcap")  # a single file, without metadata.yaml
    stamps = [frame.frame.stamp_ns for frame in reader.frames()]
    assert [frame.frame.stamp_ns for frame in reader.frames()] == stamps
    assert len(stamps) == 6
    assert {camera.messages for camera in reader.cameras.values()} == {3}
