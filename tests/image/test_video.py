# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""A video appears under its name whole or not at all, and leaves nothing else behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from refinefuse_ros.image.files import SourceError
from refinefuse_ros.image.video import Mp4Writer, VideoReader

FRAME = np.full((48, 64, 3), 90, np.uint8)


def test_frames_and_their_rate_come_back(tmp_path: Path):
    with Mp4Writer(tmp_path / "a.mp4", 25.0) as writer:
        for _ in range(3):
            writer.write(FRAME)
    reader = VideoReader(tmp_path / "a.mp4")
    assert (reader.rate_hz, len(list(reader))) == (25.0, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


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
