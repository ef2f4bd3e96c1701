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

"""Fusing files: the same kind comes out, under the same names, and one bad file costs only itself."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.image.files import SourceError
from refinefuse_ros.image.video import Mp4Writer, VideoReader
from refinefuse_ros.offline import fuse_files

MSRS = Path(__file__).resolve().parents[2] / "shared" / "data" / "msrs_val"


def write_pair(folder: Path, name: str, width: int = 64, height: int = 48, depth: type = np.uint8) -> None:
    generator = np.random.default_rng(len(name))
    for camera, shape, dtype in (("thermal", (height, width), depth), ("rgb", (height, width, 3), np.uint8)):
        (folder / camera).mkdir(exist_ok=True, parents=True)
        pixels = generator.integers(0, np.iinfo(dtype).max, shape).astype(dtype)
        cv2.imwrite(str(folder / camera / name), pixels)


def write_video(path: Path, frames: int, width: int = 64, height: int = 48) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    with Mp4Writer(path, 25.0, quality_crf=1) as writer:
        for index in range(frames):
            noise = np.random.default_rng(index).integers(0, 3, (height, width, 3), np.uint8)
            writer.write(noise + np.uint8(10 * index // 4))  # little enough to be steadied


def test_a_folder_becomes_a_folder_of_the_same_names(tmp_path: Path) -> None:
    write_pair(tmp_path, "a.png")
    write_pair(tmp_path, "b.jpg", width=70, height=50)
    write_pair(tmp_path, "c.png", depth=np.uint16)
    result = fuse_files(tmp_path / "thermal", tmp_path / "rgb", tmp_path / "out", EngineRequest(), quiet=True)
    assert (result.fused, result.skipped) == (3, [])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.jpg", "c.png"]
    assert cv2.imread(str(tmp_path / "out" / "b.jpg")).shape == (50, 70, 3)


@pytest.mark.parametrize("output", ["rgb", "thermal/../rgb", "thermal"])
def test_sources_are_not_overwritten(tmp_path: Path, output: str) -> None:
    write_pair(tmp_path, "a.png")
    before = (tmp_path / "rgb/a.png").read_bytes()
    with pytest.raises(SourceError, match="would be overwritten; give another output"):
        fuse_files(tmp_path / "thermal", tmp_path / "rgb", tmp_path / output, EngineRequest(), quiet=True)
    assert (tmp_path / "rgb/a.png").read_bytes() == before


def test_a_style_colours_what_is_fused(tmp_path: Path) -> None:
    write_pair(tmp_path, "a.png")
    sources = tmp_path / "thermal/a.png", tmp_path / "rgb/a.png"
    shown = {}
    for style in ("natural", "grey"):
        fuse_files(*sources, tmp_path / f"{style}.png", EngineRequest(), style=style, quiet=True)
        shown[style] = cv2.imread(str(tmp_path / f"{style}.png")).astype(int)
    assert np.ptp(shown["grey"], axis=2).max() == 0
    assert np.ptp(shown["natural"], axis=2).mean() > 10


def test_an_image_becomes_an_image(tmp_path: Path) -> None:
    write_pair(tmp_path, "a.png")
    fuse_files(tmp_path / "thermal/a.png", tmp_path / "rgb/a.png", tmp_path / "new/x.png", EngineRequest(), quiet=True)
    assert cv2.imread(str(tmp_path / "new/x.png")).shape == (48, 64, 3)


def test_a_video_becomes_a_video_at_its_rate(tmp_path: Path) -> None:
    write_video(tmp_path / "thermal.mp4", 9)
    write_video(tmp_path / "rgb.mp4", 7)
    output = tmp_path / "fused.mp4"
    result = fuse_files(tmp_path / "thermal.mp4", tmp_path / "rgb.mp4", output, EngineRequest(), quiet=True)
    video = VideoReader(output)
    assert (result.fused, len(list(video)), video.rate_hz, video.size) == (7, 7, 25.0, (64, 48))


def test_a_folder_of_videos_and_images_becomes_a_folder_of_the_same_names(tmp_path: Path) -> None:
    for name, frames, width in (("b.mp4", 5, 64), ("a.avi", 3, 96)):
        write_video(tmp_path / "thermal" / name.replace("avi", "mp4"), frames)
        write_video(tmp_path / "rgb" / name.replace("avi", "mp4"), frames, width)
        (tmp_path / "rgb" / name.replace("avi", "mp4")).rename(tmp_path / "rgb" / name)
    write_pair(tmp_path, "b.png")
    sources = tmp_path / "thermal", tmp_path / "rgb"
    result = fuse_files(*sources, tmp_path / "out", EngineRequest(), quiet=True)
    assert (result.fused, result.skipped) == (9, [])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mp4", "b.mp4", "b.png"]
    for name, frames, size in (("b", 5, (64, 48)), ("a", 3, (96, 48))):
        video = VideoReader(tmp_path / "out" / f"{name}.mp4")
        assert (len(list(video)), video.rate_hz, video.size) == (frames, 25.0, size)


def test_each_video_of_a_folder_is_fused_as_it_is_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, frames in (("a.mp4", 2), ("b.mp4", 4)):  # a ends near enough to where b begins to be steadied with it
        for camera in ("thermal", "rgb"):
            write_video(tmp_path / camera / name, frames)
    folders = tmp_path / "thermal", tmp_path / "rgb"
    written: list[tuple[float, np.ndarray]] = []  # x264's bytes differ now and then for the same ones
    write = Mp4Writer.write

    def note(writer: Mp4Writer, pixels: np.ndarray, shown_s: float) -> None:
        written.append((shown_s, pixels.copy()))
        write(writer, pixels, shown_s)

    monkeypatch.setattr(Mp4Writer, "write", note)
    for steady in (False, True):
        written.clear()
        fuse_files(*folders, tmp_path / f"out{steady}", EngineRequest(), steady=steady, quiet=True)
        alone = tmp_path / f"alone{steady}.mp4"
        fuse_files(*(folder / "b.mp4" for folder in folders), alone, EngineRequest(), steady=steady, quiet=True)
        assert len(written) == 2 + 4 + 4
        for (shown_s, pixels), (shown_alone_s, pixels_alone) in zip(written[2:6], written[6:], strict=True):
            assert shown_s == shown_alone_s
            assert np.array_equal(pixels, pixels_alone)
        assert [len(list(VideoReader(path))) for path in (tmp_path / f"out{steady}" / "b.mp4", alone)] == [4, 4]


def test_of_a_folder_of_videos_one_that_cannot_be_fused_costs_only_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for name, width in (("broken.mp4", 64), ("good.mp4", 64), ("tiny.mp4", 16), ("lonely.mp4", 64)):
        for camera in ("thermal", "rgb"):
            write_video(tmp_path / camera / name, 2, width)
    (tmp_path / "rgb/broken.mp4").write_bytes(b"no video")
    (tmp_path / "thermal/lonely.mp4").unlink()
    result = fuse_files(tmp_path / "thermal", tmp_path / "rgb", tmp_path / "out", EngineRequest(), quiet=True)
    assert (result.fused, [path.name for path in (tmp_path / "out").iterdir()]) == (2, ["good.mp4"])
    for sentence, fragment in zip(
        result.skipped,
        (
            "rgb holds 1 video(s) whose name is not in the other folders (lonely.mp4)",
            "broken.mp4 is not a readable video",
            "tiny.mp4: an RGB image of 16x48 is too small",
        ),
        strict=True,
    ):
        assert fragment in sentence


def test_what_is_left_out_is_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_pair(tmp_path, "a.png")
    cv2.imwrite(str(tmp_path / "rgb/b.png"), np.zeros((48, 64, 3), np.uint8))
    result = fuse_files(tmp_path / "thermal", tmp_path / "rgb", tmp_path / "out", EngineRequest(), quiet=True)
    assert result.fused == 1
    assert "rgb holds 1 image(s) whose name is not in the other folders (b.png)" in result.skipped[0]
    write_video(tmp_path / "v/thermal.mp4", 4)
    write_video(tmp_path / "v/rgb.mp4", 6)
    files = (tmp_path / "v" / name for name in ("thermal.mp4", "rgb.mp4", "fused.mp4"))
    result = fuse_files(*files, EngineRequest(), quiet=True)
    assert result.fused == 4
    assert "rgb.mp4 says it has 6 frames but only the first 4 were used" in result.skipped[0]


def test_unreadable_and_tiny_files_are_skipped_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("a.png", "broken.png", "good.png"):
        write_pair(tmp_path, name)
    write_pair(tmp_path, "tiny.png", width=20, height=20)
    (tmp_path / "thermal/a.png").write_bytes(b"")
    (tmp_path / "rgb/broken.png").write_bytes((tmp_path / "rgb/broken.png").read_bytes()[:40])
    result = fuse_files(tmp_path / "thermal", tmp_path / "rgb", tmp_path / "out", EngineRequest(), quiet=True)
    assert result.fused == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.png"]
    assert len(result.skipped) == 3
    assert "too small" in result.skipped[2]
    assert capsys.readouterr().err.count("skipped: ") == 3


@pytest.mark.parametrize(
    ("thermal", "rgb", "output", "sentence"),
    [
        ("nowhere", "rgb", "out", "nowhere does not exist"),
        ("thermal", "rgb/b.png", "out", "a file and a folder"),
        ("thermal", "rgb", "out", "No file name is in both"),
        ("thermal/a.png", "rgb/broken.png", "out.png", "is not a readable image"),
        ("clip.mp4", "clip.mp4", "out", "is not a name for a video"),
        ("broken.mp4", "broken.mp4", "out.mp4", "is not a readable video"),
        ("thermal/a.png", "rgb/b.png", "out.xyz", "a suffix that images cannot be written as"),
    ],
)
def test_what_cannot_be_fused_is_said_in_one_sentence(tmp_path, thermal, rgb, output, sentence) -> None:
    write_pair(tmp_path, "a.png")
    (tmp_path / "rgb/a.png").rename(tmp_path / "rgb/b.png")
    (tmp_path / "rgb/broken.png").write_bytes(b"no image")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    write_video(tmp_path / "clip.mp4", 2)
    with pytest.raises(SourceError, match=sentence):
        fuse_files(tmp_path / thermal, tmp_path / rgb, tmp_path / output, EngineRequest(), quiet=True)
    assert not list(tmp_path.glob("out*"))
    assert not list(tmp_path.glob("*.partial*"))


@pytest.mark.skipif(not MSRS.is_dir(), reason="the MSRS validation pairs are not here")
def test_real_pairs_gain_the_thermal_cameras_people(tmp_path: Path) -> None:
    name = "00726N.png" if (MSRS / "rgb/00726N.png").is_file() else sorted((MSRS / "rgb").iterdir())[0].name
    fuse_files(MSRS / "thermal" / name, MSRS / "rgb" / name, tmp_path / name, EngineRequest(), quiet=True)
    thermal, visible, fused = (
        cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(int)
        for path in (MSRS / "thermal" / name, MSRS / "rgb" / name, tmp_path / name)
    )
    hot = thermal > visible + 100
    assert hot.any()
    assert fused[hot].mean() > visible[hot].mean() + 60


def test_only_videos_can_be_steadied(tmp_path: Path) -> None:
    write_pair(tmp_path, "a.png")
    with pytest.raises(SourceError, match="only videos can be steadied"):
        fuse_files(tmp_path / "thermal", tmp_path / "rgb", tmp_path / "out", EngineRequest(), steady=True, quiet=True)
