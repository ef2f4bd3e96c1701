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

"""A video appears under its name whole or not at all, and leaves nothing else behind."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from refinefuse_ros.clips import ClipPairs
from refinefuse_ros.image.files import PairedFiles, SourceError
from refinefuse_ros.image.video import Mp4Writer, VideoReader, frame_times

FRAME = np.full((48, 64, 3), 90, np.uint8)


def test_frames_and_their_rate_come_back(tmp_path: Path):
    with Mp4Writer(tmp_path / "a.mp4", 25.0) as writer:
        for _ in range(3):
            writer.write(FRAME)
    reader = VideoReader(tmp_path / "a.mp4")
    assert (reader.rate_hz, len(list(reader))) == (25.0, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def write_grey(path: Path, frames: list[np.ndarray], pixel_format: str) -> None:
    """Write (H, W) frames losslessly, in FFmpeg's own layout of them."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = frames[0].shape
        stream.pix_fmt = pixel_format
        for pixels in frames:
            frame = av.VideoFrame(*pixels.shape[::-1], pixel_format)
            rows = np.zeros((pixels.shape[0], frame.planes[0].line_size), np.uint8)
            rows[:, : pixels[0].nbytes] = pixels.view(np.uint8)
            frame.planes[0].update(rows.tobytes())
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize(("pixel_format", "bits"), [("gray10le", 10), ("gray12le", 12), ("gray16le", 16)])
def test_deep_grey_keeps_its_values(tmp_path: Path, pixel_format: str, bits: int):
    frames = [np.random.default_rng(seed).integers(0, 2**bits, (48, 70), np.uint16) for seed in (1, 2)]
    write_grey(tmp_path / "a.mkv", frames, pixel_format)
    reader = VideoReader(tmp_path / "a.mkv", keep_depth=True)
    assert (reader.encoding, reader.size, reader.rate_hz) == ("mono16", (70, 48), 25.0)
    np.testing.assert_array_equal(np.stack(list(reader)), frames)
    np.testing.assert_array_equal(np.stack(list(reader)), frames)  # from its start again
    assert VideoReader(tmp_path / "a.mkv").encoding == "bgr8"
    assert next(iter(VideoReader(tmp_path / "a.mkv"))).shape == (48, 70, 3)


def test_a_deep_video_that_breaks_off_ends_there(tmp_path: Path):
    frames = [np.random.default_rng(seed).integers(0, 65536, (48, 70), np.uint16) for seed in range(8)]
    write_grey(tmp_path / "a.mkv", frames, "gray16le")
    content = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(content[: len(content) * 5 // 8])
    read = list(VideoReader(tmp_path / "a.mkv", keep_depth=True))
    assert 3 <= len(read) <= 5
    np.testing.assert_array_equal(read[:3], frames[:3])


def test_a_thermal_video_of_16_bits_is_paired_in_its_counts(tmp_path: Path):
    counts = [np.full((48, 64), count, np.uint16) for count in (28_800, 29_000)]
    write_grey(tmp_path / "t.mkv", counts, "gray16le")
    with Mp4Writer(tmp_path / "r.mp4", 25.0) as writer:
        for _ in counts:
            writer.write(FRAME)
    pairs = list(ClipPairs([PairedFiles("t", tmp_path / "t.mkv", tmp_path / "r.mp4")]))
    assert [pair.thermal_encoding for pair in pairs] == ["mono16", "mono16"]
    np.testing.assert_array_equal([pair.thermal for pair in pairs], counts)
    assert all(pair.rgb.shape == (48, 64, 3) for pair in pairs)


def test_each_frame_is_shown_as_long_as_asked(tmp_path: Path):
    with Mp4Writer(tmp_path / "a.mp4", 10.0) as writer:
        for shown_s in (0.1, 0.25, 0.05, 0.1):
            writer.write(FRAME, shown_s)
    reader = VideoReader(tmp_path / "a.mp4")
    assert [seconds for seconds, _ in reader.timed()] == pytest.approx([0, 0.1, 0.35, 0.4])
    assert frame_times(tmp_path / "a.mp4") == pytest.approx([0, 0.1, 0.35, 0.4])


def test_an_interrupted_video_leaves_nothing(tmp_path: Path):
    writer = Mp4Writer(tmp_path / "a.mp4", 25.0)
    writer.write(FRAME)
    writer.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_cannot_be_finished_leaves_nothing(tmp_path: Path):
    (tmp_path / "a.mp4").mkdir()
    writer = Mp4Writer(tmp_path / "a.mp4", 25.0)
    writer.write(FRAME)
    with pytest.raises(OSError, match="directory"):
        writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_pictures_that_ffmpeg_refuses_are_an_error_that_names_the_file_and_leave_nothing(tmp_path: Path):
    writer = Mp4Writer(tmp_path / "a.mp4", 25.0)
    with pytest.raises(OSError, match="FFmpeg cannot encode it") as refusal, writer:
        writer.write(np.zeros((48, 20_000, 3), np.uint8))  # H.264 ends at 16384
    assert refusal.value.filename == str(tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_video_of_too_large_pictures_is_named(tmp_path: Path):
    with Mp4Writer(tmp_path / "a.mp4", 25.0, preset="ultrafast") as writer:
        writer.write(np.zeros((4002, 4000, 3), np.uint8))
    with pytest.raises(SourceError, match=r"a\.mp4: image of 4000x4002 has more than 16000000 pixels"):
        VideoReader(tmp_path / "a.mp4")


def test_what_is_no_video_is_named(tmp_path: Path):
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    for path in (tmp_path / "a.mp4", tmp_path / "b.mp4", tmp_path):
        with pytest.raises(SourceError, match="is not a readable video"):
            VideoReader(path)
