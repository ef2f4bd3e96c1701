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


def test_what_is_no_video_is_named(tmp_path: Path):
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    for path in (tmp_path / "a.mp4", tmp_path / "b.mp4", tmp_path):
        with pytest.raises(SourceError, match="is not a readable video"):
            VideoReader(path)
