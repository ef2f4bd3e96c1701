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

"""Two videos show the same moment in each pair, whatever their rates; the clip keeps RGB's frames and times."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from refinefuse_ros import clips
from refinefuse_ros.clips import ClipPairs, open_pairs, pairs_of, probe_clip
from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.image.files import PairedFiles
from refinefuse_ros.image.sources import ImagePair
from refinefuse_ros.image.video import Mp4Writer, VideoReader, frame_times
from refinefuse_ros.offline import fuse_files
from refinefuse_ros.recordings.making import write_bag

SPEED = 60  # px/s
# A phone that pauses for half a second.
PAUSING = [k / 30 for k in range(60) if not 20 <= k < 35]


def times_at(rate_hz: float, seconds: float = 2.0) -> list[float]:
    return [k / rate_hz for k in range(round(rate_hz * seconds))]


def write_walker(path: Path, times_s: Sequence[float]) -> Path:
    """A bright bar that is at SPEED * t at the time t; the last frame is shown as long as the first."""
    with Mp4Writer(path, 30.0, quality_crf=1) as writer:
        for begin, end in pairwise([*times_s, times_s[-1] + times_s[1] - times_s[0]]):
            pixels = np.full((48, 160, 3), 30, np.uint8)
            left = 10 + round(SPEED * begin)
            pixels[:, left : left + 10] = 220
            writer.write(pixels, end - begin)
    return path


def write_both(folder: Path, thermal_s: Sequence[float], rgb_s: Sequence[float]) -> tuple[Path, Path]:
    return write_walker(folder / "thermal.mp4", thermal_s), write_walker(folder / "rgb.mp4", rgb_s)


def position(plane: np.ndarray) -> float:
    return float(np.nonzero(plane[24] > 125)[0].mean())


def distance(pair: ImagePair) -> float:
    return abs(position(pair.thermal) - position(pair.rgb[..., 1]))


@pytest.mark.parametrize(
    ("thermal_s", "rgb_s", "within_ms"),
    [
        (times_at(9), times_at(30), 100),  # an older thermal frame serves until the next one is near
        (times_at(25), times_at(30), 40),
        (times_at(30), times_at(60), 20),
        (times_at(60), times_at(30), 1),
        (times_at(30), PAUSING, 1),
        (PAUSING, PAUSING, 1),
        (times_at(5), times_at(5), 1),
    ],
)
def test_each_rgb_frame_goes_with_the_thermal_frame_of_its_time(tmp_path: Path, thermal_s, rgb_s, within_ms) -> None:
    thermal, rgb = write_both(tmp_path, thermal_s, rgb_s)
    pairs = list(ClipPairs([PairedFiles("clip", thermal, rgb)]))
    assert max(distance(pair) for pair in pairs) <= SPEED * within_ms / 1000 + 1  # a pixel for rounding
    begins_s = np.cumsum([0.0, *(pair.period_s for pair in pairs)])
    assert begins_s[:-1] == pytest.approx(rgb_s, abs=1e-3)
    assert [position(pair.rgb[..., 1]) for pair in pairs] == pytest.approx(
        [14.5 + round(SPEED * seconds) for seconds in rgb_s], abs=1
    )


@pytest.mark.parametrize("offset_ms", [300, -300])
def test_a_thermal_video_that_begins_at_another_moment_is_paired_by_the_offset(tmp_path: Path, offset_ms: int) -> None:
    thermal, rgb = write_both(tmp_path, times_at(30), times_at(30))
    clip = PairedFiles("clip", thermal, rgb)
    pairs = list(pairs_of(clip, probe_clip(clip, offset_ms)))
    # Both squares stand at one place at one time of their own file: pairs are so far apart as the files are shifted.
    assert {round(distance(pair) / SPEED * 1000, -1) for pair in pairs} == {300}
    assert len(pairs) == 60 - 9


def test_cameras_of_one_rate_are_paired_frame_by_frame_whatever_the_jitter(tmp_path: Path) -> None:
    jittered = [k / 10 + 0.03 * (k % 2) for k in range(15)]
    thermal, rgb = write_both(tmp_path, times_at(10, 1.5), jittered)
    pairs = list(ClipPairs([PairedFiles("clip", thermal, rgb)]))
    assert [pair.thermal_reused for pair in pairs] == [False] * 15
    assert [round(position(pair.thermal)) for pair in pairs] == pytest.approx([14.5 + 6 * k for k in range(15)], abs=1)


@pytest.mark.parametrize("rgb_s", [times_at(30), PAUSING])
def test_the_fused_video_keeps_the_rgb_videos_times(tmp_path: Path, rgb_s: list[float]) -> None:
    files = write_both(tmp_path, times_at(9), rgb_s)
    result = fuse_files(*files, tmp_path / "fused.mp4", EngineRequest(), quiet=True)
    assert (result.fused, result.skipped) == (len(rgb_s), [])
    fused = VideoReader(tmp_path / "fused.mp4")
    assert fused.frame_count / fused.rate_hz == pytest.approx(2.0, abs=1e-3)
    assert [seconds for seconds, _ in fused.timed()] == pytest.approx(rgb_s, abs=1e-3)


def test_a_video_is_demuxed_once_for_its_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_both(tmp_path, times_at(10, 0.3), times_at(10, 0.3))
    demuxed: list[Path] = []
    monkeypatch.setattr(clips, "frame_times", lambda path: demuxed.append(path) or frame_times(path))
    fuse_files(*files, tmp_path / "fused.mp4", EngineRequest(), quiet=True)
    assert sorted(demuxed) == sorted(files)
    demuxed.clear()
    source = open_pairs(*files)  # which looks at the first pair
    assert len(list(source)) == len(list(source)) == 3
    assert sorted(demuxed) == sorted(files)


def test_rgb_frames_in_a_long_thermal_gap_are_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    gap = [seconds for seconds in times_at(30) if not 0.5 < seconds < 1.5]
    result = fuse_files(*write_both(tmp_path, gap, times_at(30)), tmp_path / "fused.mp4", EngineRequest(), quiet=True)
    assert result.fused == len(gap)
    (sentence,) = result.skipped
    assert "rgb.mp4 has 29 frame(s) for which there is no thermal one near in time" in sentence
    assert [round(30 * seconds) for seconds, _ in VideoReader(tmp_path / "fused.mp4").timed()] == [
        round(30 * seconds) for seconds in gap
    ]


def test_a_slower_thermal_video_is_recorded_as_a_slower_camera(tmp_path: Path) -> None:
    source = open_pairs(*write_both(tmp_path, times_at(9), times_at(30)))
    written = write_bag(source, tmp_path / "bag")
    assert (written.thermal_frames, written.rgb_frames, written.seconds) == (18, 60, pytest.approx(2.0, abs=1e-3))
