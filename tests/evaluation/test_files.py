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

"""Scoring files: the same numbers whether the fused images are read or made, and one bad file costs only itself."""

from __future__ import annotations

import shutil
from dataclasses import astuple
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from refinefuse_ros.engine.artifacts import find_model
from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.errors import UserError
from refinefuse_ros.evaluation.files import evaluate_files
from refinefuse_ros.evaluation.metrics import entropy, evaluate_pair, to_grey
from refinefuse_ros.evaluation.scorecard import METRIC_NAMES
from refinefuse_ros.evaluation.table import print_verdict
from refinefuse_ros.evaluation.verdict import Verdict
from refinefuse_ros.image.files import SourceError
from refinefuse_ros.image.normalization import ThermalNormalizer
from refinefuse_ros.image.video import Mp4Writer
from refinefuse_ros.offline import fuse_files

MSRS_VAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "msrs_val"
NANO = EngineRequest("nano")


def smooth(seed: int, shape: tuple[int, ...] = (48, 64)) -> np.ndarray:
    """Blobs over the whole range, uint8, so that no metric is degenerate."""
    noise = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)


def evaluate(*sources: Path, **options: object) -> Verdict:
    return evaluate_files(*sources, quiet=True, **options)[0]


def without_time(verdict: Verdict) -> dict:
    return verdict.to_dict() | {"seconds": 0, "made_at": ""}


def write(folder: Path, name: str, pixels: np.ndarray) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    assert cv2.imwrite(str(folder / name), pixels)


def write_triples(root: Path, *names: str) -> None:
    for seed, name in enumerate(names):
        write(root / "thermal", name, smooth(3 * seed))
        write(root / "rgb", name, smooth(3 * seed + 1, (48, 64, 3)))
        write(root / "fused", name, smooth(3 * seed + 2, (48, 64, 3)))


def write_video(path: Path, frames: int, shape: tuple[int, int, int] = (48, 64, 3)) -> None:
    """A clip whose picture stands still, but for a square that moves."""
    with Mp4Writer(path, 25.0, quality_crf=1) as writer:
        for index in range(frames):
            pixels = smooth(len(path.stem), shape)
            pixels[10:20, 3 * index : 3 * index + 10] = 255
            writer.write(pixels)


def test_given_images_are_scored_by_name_with_the_pinned_metrics(tmp_path: Path) -> None:
    write_triples(tmp_path, "b.png", "a.png")
    (tmp_path / "fused/a.png").rename(tmp_path / "fused/a.bmp")
    verdict = evaluate(tmp_path / "thermal", tmp_path / "rgb", fused=tmp_path / "fused")
    (method,) = verdict.methods
    assert [pair.name for pair in method.pairs] == ["a", "b"]
    assert method.pairs[1].metrics == evaluate_pair(
        smooth(0), to_grey(smooth(1, (48, 64, 3))), to_grey(smooth(2, (48, 64, 3)))
    )
    assert (method.label, method.flicker, method.engine) == (str(tmp_path / "fused"), None, None)
    assert (verdict.skipped, verdict.recording, verdict.provenance.source_sha256) == ([], None, None)
    assert verdict.thermal.flicker is None
    assert verdict.rgb.en == pytest.approx(np.mean([entropy(to_grey(smooth(seed, (48, 64, 3)))) for seed in (1, 4)]))


def test_what_is_left_of_warm_objects_is_scored_over_all_of_them(tmp_path: Path) -> None:
    """Two people who are seen and one who is lost; RGB sees none of them. In the last pair there is nobody."""
    people = {"a": [(30, 30), (30, 80)], "b": [(30, 50)], "c": []}
    shown = {"a": 60, "b": 6, "c": 0}  # of 150 levels
    for name, places in people.items():
        thermal, rgb = np.full((90, 120), 50, np.uint8), np.full((90, 120, 3), 90, np.uint8)
        fused = rgb.copy()
        for top, left in places:
            thermal[top : top + 20, left : left + 10] = 200
            fused[top : top + 20, left : left + 10] += np.uint8(shown[name])
        for folder, image in (("thermal", thermal), ("rgb", rgb), ("fused", fused)):
            write(tmp_path / folder, f"{name}.png", image)

    verdict, gallery = evaluate_files(tmp_path / "thermal", tmp_path / "rgb", fused=tmp_path / "fused", quiet=True)

    (method,) = verdict.methods
    warm = method.warm_objects()
    assert (warm.objects, warm.kept, warm.lost) == (3, pytest.approx((2 * 0.4 + 0.04) / 3), pytest.approx(100 / 3))
    assert warm.ring == 0.0
    assert [pair.value("kept") for pair in method.pairs] == [pytest.approx(0.4), pytest.approx(0.04), None]
    assert (verdict.thermal.kept, verdict.thermal.lost) == (1.0, 0.0)
    assert (verdict.rgb.kept, verdict.rgb.lost, verdict.rgb.ring) == (0.0, 100.0, 0.0)
    assert [picture.name for picture in gallery.worst[method.label]["kept"]] == ["b", "a"]


@pytest.mark.parametrize("off_px", [0, 24])
def test_cameras_that_lie_beside_each_other_are_said(
    tmp_path: Path, off_px: int, capsys: pytest.CaptureFixture[str]
) -> None:
    grey = smooth(7, (240, 320 + off_px))
    write(tmp_path / "thermal", "a.png", 255 - grey[:, off_px:])
    for folder in ("rgb", "fused"):
        write(tmp_path / folder, "a.png", np.dstack([grey[:, :320]] * 3))
    verdict = evaluate(tmp_path / "thermal", tmp_path / "rgb", fused=tmp_path / "fused")
    assert verdict.to_dict()["alignment"] == {
        "alignment_error_px": pytest.approx(off_px, abs=1.0),
        "told": 1,
        "looked_at": 1,
    }
    print_verdict(verdict)
    assert ("run refinefuse calibrate" in capsys.readouterr().out) == bool(off_px)


def test_a_model_scores_as_its_fused_files_do_and_twice_the_same(tmp_path: Path) -> None:
    write_triples(tmp_path, "a.png", "b.png")
    write(tmp_path / "thermal", "c.png", smooth(9).astype(np.uint16) * 20 + 3000)
    write(tmp_path / "rgb", "c.png", smooth(10, (50, 70, 3)))
    sources = tmp_path / "thermal", tmp_path / "rgb"
    fuse_files(*sources, tmp_path / "ours", NANO, quiet=True)
    made, again = (evaluate(*sources, requests=[NANO]) for _ in range(2))
    read = evaluate(*sources, fused=tmp_path / "ours")
    assert made.methods[0].pairs == read.methods[0].pairs
    assert without_time(made) == without_time(again)
    assert len(made.methods[0].pairs) == 3
    assert len(made.methods[0].engine["artifact_sha256"]) == 64


def test_a_model_is_compared_with_images_that_are_there(tmp_path: Path) -> None:
    write_triples(tmp_path, "a.png", "b.png")
    sources = tmp_path / "thermal", tmp_path / "rgb"
    verdict, gallery = evaluate_files(*sources, fused=tmp_path / "fused", requests=[NANO], quiet=True)
    labels = ["nano", str(tmp_path / "fused")]
    assert [method.label for method in verdict.methods] == labels
    alone = [evaluate(*sources, requests=[NANO]), evaluate(*sources, fused=tmp_path / "fused")]
    assert verdict.methods == [other.methods[0] for other in alone]
    assert [picture.name for picture in gallery.moments] == ["a", "b"]
    assert list(gallery.moments[0].fused) == labels
    worst = gallery.worst["nano"]["vif"]
    assert worst[0].name == verdict.methods[0].summary()["vif"].worst_pair
    decoded = cv2.imdecode(np.frombuffer(worst[0].rgb, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded.shape == (48, 64, 3)


def test_two_models_of_one_name_are_told_apart_and_one_twice_is_refused(tmp_path: Path) -> None:
    write_triples(tmp_path, "a.png")
    sources = tmp_path / "thermal", tmp_path / "rgb"
    shipped = find_model("nano").required_graph()
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        shutil.copy(shipped, tmp_path / folder / "mine.onnx")
    paths = [str(tmp_path / folder / "mine.onnx") for folder in ("x", "y")]
    verdict = evaluate(*sources, requests=[EngineRequest(path) for path in paths])
    assert [method.label for method in verdict.methods] == paths
    with pytest.raises(UserError, match="The model nano is given 2 times"):
        evaluate(*sources, requests=[NANO, NANO])


def test_a_deep_thermal_image_is_scored_as_the_plane_that_was_fused(tmp_path: Path) -> None:
    write_triples(tmp_path, "a.png")
    counts = smooth(9).astype(np.uint16) * 20 + 3000
    write(tmp_path / "thermal", "a.png", counts)
    score = evaluate(tmp_path / "thermal", tmp_path / "rgb", fused=tmp_path / "fused").methods[0].pairs[0]
    vis, fused = (to_grey(smooth(seed, (48, 64, 3))) for seed in (1, 2))
    assert score.metrics == evaluate_pair(ThermalNormalizer().normalize(counts, 0), vis, fused)


def test_a_deep_thermal_video_is_scored_as_the_planes_of_a_stream(tmp_path: Path) -> None:
    counts = [28_800 + 12 * smooth(1).astype(np.uint16) for _ in range(3)]
    for shown in counts[1:]:
        shown[10:20, 10:30] = 32_000  # enters, and takes the range slowly
    with av.open(str(tmp_path / "thermal.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray16le"
        for shown in counts:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, "gray16le")))
        container.mux(stream.encode())
    write_video(tmp_path / "rgb.mp4", 3)
    normalizer = ThermalNormalizer()
    planes = [normalizer.normalize(shown, index * 40_000_000) for index, shown in enumerate(counts)]
    verdict = evaluate(tmp_path / "thermal.mkv", tmp_path / "rgb.mp4", requests=[NANO])
    assert verdict.thermal.en == pytest.approx(np.mean([entropy(plane) for plane in planes]))
    alone = [ThermalNormalizer().normalize(shown, 0) for shown in counts]
    assert verdict.thermal.en != pytest.approx(np.mean([entropy(plane) for plane in alone]))


def test_three_single_images_are_scored_whatever_their_names(tmp_path: Path) -> None:
    write_triples(tmp_path, "a.png")
    (tmp_path / "fused/a.png").rename(tmp_path / "result.png")
    paths = tmp_path / "thermal/a.png", tmp_path / "rgb/a.png"
    assert len(evaluate(*paths, fused=tmp_path / "result.png").methods[0].pairs) == 1


def test_what_cannot_be_scored_is_left_out_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_triples(tmp_path, "broken.png", "good.png", "lonely.png", "no_fused.png", "other_size.png", "tiny.png")
    (tmp_path / "thermal/lonely.png").unlink()
    (tmp_path / "fused/no_fused.png").unlink()
    (tmp_path / "fused/broken.png").write_bytes(b"no image")
    write(tmp_path / "fused", "other_size.png", smooth(0, (50, 64)))
    for folder in ("thermal", "rgb", "fused"):
        write(tmp_path / folder, "tiny.png", smooth(0, (40, 64)))
    verdict = evaluate(tmp_path / "thermal", tmp_path / "rgb", fused=tmp_path / "fused")
    assert [pair.name for pair in verdict.methods[0].pairs] == ["good"]
    for sentence, fragment in zip(
        verdict.skipped,
        (
            "thermal holds 1 image(s) whose name is not in the other folders (no_fused.png)",
            "rgb holds 2 image(s) whose name is not in the other folders (lonely.png, no_fused.png)",
            "fused holds 1 image(s) whose name is not in the other folders (lonely.png)",
            "broken.png is not a readable image",
            "other_size: the fused image is 64x50 pixels but the RGB image is 64x48",
            "tiny: 64x40 pixels are too few to score; use images of at least 41 a side",
        ),
        strict=True,
    ):
        assert fragment in sentence
    printed = capsys.readouterr()
    assert printed.err.count("skipped: ") == 6
    assert printed.out == ""


@pytest.mark.parametrize("mode", ["read", "fuse"])
def test_videos_are_scored_frame_by_frame_with_flicker(tmp_path: Path, mode: str) -> None:
    for name, frames in (("thermal", 9), ("rgb", 7), ("fused", 7)):
        write_video(tmp_path / f"{name}.mp4", frames)
    sources = tmp_path / "thermal.mp4", tmp_path / "rgb.mp4"
    how = {"fused": tmp_path / "fused.mp4"} if mode == "read" else {"requests": [NANO]}
    verdict = evaluate(*sources, **how)
    (method,) = verdict.methods
    assert [pair.name for pair in method.pairs] == [f"rgb frame {index}" for index in range(7)]
    assert method.flicker is not None
    assert 0 <= method.flicker < 2
    assert verdict.thermal.flicker is not None
    (sentence,) = verdict.skipped
    assert "thermal.mp4 says it has 9 frames but only the first 7 were used" in sentence


def write_clips(root: Path, **noise_seeds: int) -> None:
    """Clips of 5 frames, `a` of 7, that all show the same but for their noise; fused, each has its own grey level."""
    for name, seed in noise_seeds.items():
        for camera in ("thermal", "rgb", "fused"):
            (root / camera).mkdir(exist_ok=True)
            with Mp4Writer(root / camera / f"{name}.mp4", 25.0, quality_crf=1) as writer:
                for index in range(5 + 2 * (name == "a")):
                    noise = np.random.default_rng(seed + index).integers(0, 3, (48, 64, 3), np.uint8)
                    writer.write(noise + (np.uint8(seed) if camera == "fused" else smooth(3, (48, 64, 3)) // 2))


def test_a_folder_of_videos_is_scored_clip_by_clip(tmp_path: Path) -> None:
    """In two chunks, the second of which begins before the second clip."""
    write_clips(tmp_path, a=20, b=200)
    sources = tmp_path / "thermal", tmp_path / "rgb"
    nano, fused = evaluate(*sources, fused=tmp_path / "fused", requests=[NANO], steady=True, motion=True).methods
    assert [pair.name for pair in fused.pairs] == [
        *(f"a frame {index}" for index in range(7)),
        *(f"b frame {index}" for index in range(5)),
    ]
    assert fused.flicker < 3  # the fused images of the two differ by 180 levels
    assert fused.motion.flowd < 3 * 3**0.5
    for name, pairs in (("a", nano.pairs[:7]), ("b", nano.pairs[7:])):
        alone = evaluate(*(source / f"{name}.mp4" for source in sources), requests=[NANO], steady=True)
        assert [pair.metrics for pair in alone.methods[0].pairs] == [pair.metrics for pair in pairs]


def test_only_videos_move(tmp_path: Path) -> None:
    write_triples(tmp_path, "a.png")
    with pytest.raises(SourceError, match=r"rgb is no video; only videos move: leave --motion out\."):
        evaluate(tmp_path / "thermal", tmp_path / "rgb", fused=tmp_path / "fused", motion=True)


def test_images_beside_videos_are_scored_too_and_what_cannot_be_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_triples(tmp_path, "a.png")
    write_clips(tmp_path, a=20, broken=40, no_fused=60)
    (tmp_path / "rgb/broken.mp4").write_bytes(b"no video")
    (tmp_path / "fused/no_fused.mp4").unlink()
    verdict = evaluate(tmp_path / "thermal", tmp_path / "rgb", fused=tmp_path / "fused")
    assert [pair.name for pair in verdict.methods[0].pairs] == ["a", *(f"a frame {index}" for index in range(7))]
    for sentence, fragment in zip(
        verdict.skipped,
        (
            "thermal holds 1 video(s) whose name is not in the other folders (no_fused.mp4)",
            "rgb holds 1 video(s) whose name is not in the other folders (no_fused.mp4)",
            "broken.mp4 is not a readable video",
        ),
        strict=True,
    ):
        assert fragment in sentence


@pytest.mark.parametrize(
    ("thermal", "rgb", "fused", "sentence"),
    [
        ("nowhere", "rgb", "fused", "nowhere does not exist"),
        ("thermal", "rgb", "nowhere", "nowhere does not exist"),
        ("thermal", "rgb", "empty", r"No file name is in both .*empty \(0 files\)"),
        ("empty", "rgb", "fused", r"No file name is in both .*empty \(0 files\)"),
        ("thermal", "rgb", "b_only", "No file name is in all of"),
        ("thermal", "rgb", "small", "a: the fused image is 32x24 pixels but the RGB image is 64x48"),
        ("thermal", "rgb", "fused/a.png", "a file and a folder"),
        ("clip.mp4", "clip.mp4", "small.mp4", "clip frame 0: the fused image is 48x46 pixels but the RGB image is 64x"),
        ("small.mp4", "tiny.mp4", "tiny.mp4", "tiny frame 0: 40x40 pixels are too few to score"),
        ("clip.mp4", "clip.mp4", "fused", "fused and .*clip.mp4 are a file and a folder"),
        ("clip.mp4", "broken.mp4", "clip.mp4", "broken.mp4 is not a readable video"),
    ],
)
def test_what_cannot_be_scored_at_all_is_one_sentence(tmp_path, thermal, rgb, fused, sentence) -> None:
    write_triples(tmp_path, "a.png")
    write(tmp_path / "rgb", "b.png", smooth(0))
    write(tmp_path / "b_only", "b.png", smooth(0))
    write(tmp_path / "small", "a.png", smooth(0, (24, 32)))
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    write_video(tmp_path / "clip.mp4", 2)
    write_video(tmp_path / "small.mp4", 2, (46, 48, 3))
    write_video(tmp_path / "tiny.mp4", 2, (40, 40, 3))
    with pytest.raises(SourceError, match=sentence):
        evaluate(tmp_path / thermal, tmp_path / rgb, fused=tmp_path / fused)


def test_without_fused_images_and_models_there_is_nothing_to_score(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fused images, models that make them, or both"):
        evaluate(tmp_path, tmp_path)


@pytest.mark.skipif(not MSRS_VAL.is_dir(), reason="the msrs_val pairs are not beside the repository")
def test_published_fused_images_score_high(tmp_path: Path) -> None:
    for name in ("00004N.png", "00427D.png", "01222N.png"):
        for folder in ("thermal", "rgb", "seafusion_fused"):
            (tmp_path / folder).mkdir(exist_ok=True)
            shutil.copy(MSRS_VAL / folder / name, tmp_path / folder / name)
    (method,) = evaluate(tmp_path / "thermal", tmp_path / "rgb", fused=tmp_path / "seafusion_fused").methods
    summary = method.summary()
    assert summary["vif"].worst_pair == "00427D"
    assert summary["ag"].worst_pair == "01222N"
    visible = evaluate(tmp_path / "thermal", tmp_path / "rgb", fused=tmp_path / "rgb").methods[0].summary()
    assert summary["scd"].mean > visible["scd"].mean + 0.5
    assert len(astuple(method.pairs[0].metrics)) == len(METRIC_NAMES)
