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

"""Making bags: what is written is what the source shows, at its pace, and nothing half-done is left."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from refinefuse_ros.errors import UserError
from refinefuse_ros.image.colour import join_luma, mosaic, split_luma
from refinefuse_ros.image.files import SourceError
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.sources import SyntheticPairs
from refinefuse_ros.recordings.making import START_NS, write_bag
from refinefuse_ros.recordings.reading import open_bag
from refinefuse_ros.recordings.storage import BagError
from refinefuse_ros.stream.outcome import Stream


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("rgb_encoding", ["bgr8", "bayer_rggb8", "jpeg"])
def test_what_is_written_is_read_again(tmp_path: Path, few_pairs, storage: str, rgb_encoding: str) -> None:
    written = write_bag(few_pairs(3), tmp_path / "bag", storage=storage, rgb_encoding=rgb_encoding)
    assert (written.thermal_frames, written.rgb_frames, written.seconds) == (3, 3, pytest.approx(0.15))
    reader = open_bag(tmp_path / "bag")
    frames = list(reader.frames())
    assert reader.losses() == []
    for stream in Stream:
        of_camera = [frame for frame in frames if frame.stream is stream]
        assert [frame.frame.stamp_ns - START_NS for frame in of_camera] == [0, 50_000_000, 100_000_000]
        assert all(frame.recorded_ns == frame.frame.stamp_ns for frame in of_camera)
        assert {frame.frame.frame_id for frame in of_camera} == {f"{stream}_optical_frame"}
        info = reader.cameras[stream].camera_info
        assert (info.width, info.height, info.k[2]) == (64, 48, 31.5)
    pairs = list(few_pairs(3))
    thermal = [frame.frame for frame in frames if frame.stream is Stream.THERMAL][2]
    assert thermal.encoding == "mono16"
    np.testing.assert_array_equal(thermal.pixels, pairs[2].thermal.astype(np.uint16) * 64)
    rgb = [frame.frame for frame in frames if frame.stream is Stream.RGB][2]
    if rgb_encoding == "bgr8":
        np.testing.assert_array_equal(rgb.pixels, pairs[2].rgb)
    elif rgb_encoding == "jpeg":
        assert np.abs(rgb.pixels.astype(int) - pairs[2].rgb).mean() < 5
    else:
        np.testing.assert_array_equal(rgb.pixels, mosaic(pairs[2].rgb, "bayer_rggb8"))
        shown = join_luma(*split_luma(rgb.pixels, rgb.encoding), "bgr8")
        assert np.abs(shown.astype(int) - pairs[2].rgb).mean() < 5


def test_the_source_is_repeated_for_as_long_as_asked(tmp_path: Path, few_pairs) -> None:
    assert write_bag(few_pairs(3), tmp_path / "bag", seconds=0.5).rgb_frames == 10


def test_a_thermal_camera_of_its_own_rate_shows_the_newest_pair_with_its_own_stamp(tmp_path: Path, few_pairs) -> None:
    written = write_bag(few_pairs(10), tmp_path / "bag", thermal_rate_hz=9, thermal_offset_ms=-7, start_ns=10**18)
    assert (written.thermal_frames, written.rgb_frames) == (5, 10)  # at 0, 111, 222, 333 and 444 ms
    frames = list(open_bag(tmp_path / "bag").frames())
    thermal = [frame for frame in frames if frame.stream is Stream.THERMAL]
    assert [frame.recorded_ns - 10**18 for frame in thermal] == [round(k * 1e9 / 9) for k in range(5)]
    assert {frame.recorded_ns - frame.frame.stamp_ns for frame in thermal} == {7_000_000}
    assert [frame.frame.pixels[0, 0] // 64 // 5 for frame in thermal] == [0, 2, 4, 6, 8]
    assert [frame.recorded_ns for frame in frames] == sorted(frame.recorded_ns for frame in frames)


def test_images_deeper_than_8_bit_are_written_as_they_are(tmp_path: Path) -> None:
    source = SyntheticPairs(ImageSize(64, 48))
    write_bag(source, tmp_path / "bag", seconds=0.01)
    thermal = next(f for f in open_bag(tmp_path / "bag").frames() if f.stream is Stream.THERMAL)
    np.testing.assert_array_equal(thermal.frame.pixels, next(iter(source)).thermal)


def test_a_source_that_breaks_leaves_nothing(tmp_path: Path, few_pairs) -> None:
    def broken():
        yield from few_pairs(2)
        raise SourceError("the disk with the clips is gone")

    with pytest.raises(SourceError, match="gone"):
        write_bag(broken(), tmp_path / "folder" / "bag")
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, few_pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("refinefuse_ros.recordings.making.Writer.write", full)
    with pytest.raises(UserError, match="bag cannot be written: No space left on device"):
        write_bag(few_pairs(2), tmp_path / "bag")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_touched(tmp_path: Path, few_pairs) -> None:
    (tmp_path / "bag").mkdir()
    with pytest.raises(BagError, match="exists already"):
        write_bag(few_pairs(), tmp_path / "bag")
    assert list((tmp_path / "bag").iterdir()) == []


def test_unknown_choices_are_refused(tmp_path: Path, few_pairs) -> None:
    with pytest.raises(ValueError, match="mcap or sqlite3"):
        write_bag(few_pairs(), tmp_path / "bag", storage="rosbag1")
