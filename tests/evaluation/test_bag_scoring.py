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

"""The verdict on a bag: every pair once, every frame accounted for, the same each time, in every kind of bag."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from refinefuse_ros.engine.factory import EngineRequest, create_engine
from refinefuse_ros.evaluation.bag_scoring import evaluate_bag
from refinefuse_ros.evaluation.fused_outputs import FusedFiles
from refinefuse_ros.evaluation.recording import CameraSummary, Gap
from refinefuse_ros.evaluation.table import print_verdict
from refinefuse_ros.evaluation.verdict import Verdict
from refinefuse_ros.evaluation.work.workers import Parallelism
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.normalization import ThermalNormalizer
from refinefuse_ros.image.sources import ImagePair
from refinefuse_ros.image.steadying import Steadier
from refinefuse_ros.image.video import VideoReader
from refinefuse_ros.pipeline import FusionPipeline
from refinefuse_ros.recordings.making import write_bag
from refinefuse_ros.recordings.reading import IMAGE, open_bag, ros_types
from refinefuse_ros.recordings.storage import BagError
from refinefuse_ros.stream.outcome import Stream
from refinefuse_ros.stream.pairing import SyncSettings

NANO = EngineRequest("nano")


def evaluate(bag: Path, **options: object) -> Verdict:
    return evaluate_bag(bag, quiet=True, **options)[0]


def check_balance(camera: CameraSummary) -> None:
    accounts = camera.paired + camera.unpaired + camera.superseded
    assert camera.messages == accounts + sum(camera.refused.values()) + sum(camera.unreadable.values())


def without_time(verdict: Verdict) -> dict:
    return verdict.to_dict() | {"seconds": 0, "made_at": ""}


def test_every_pair_is_fused_and_scored_the_same_each_time(tmp_path: Path, few_pairs) -> None:
    write_bag(few_pairs(10), tmp_path / "bag")
    verdict = evaluate(tmp_path / "bag")
    assert [pair.name for pair in verdict.methods[0].pairs][:2] == ["1700000000.000000000", "1700000000.050000000"]
    assert len(verdict.methods[0].pairs) == verdict.recording.pairs == 10
    assert (verdict.recording.failed, verdict.skipped) == (0, [])
    assert (verdict.recording.offset_ms_median, verdict.recording.offset_ms_max, verdict.recording.resets) == (0, 0, 0)
    for camera in (verdict.recording.thermal, verdict.recording.rgb):
        check_balance(camera)
        assert (camera.messages, camera.paired, camera.gaps) == (10, 10, [])
        assert camera.rate_hz == pytest.approx(20)
        assert camera.longest_gap_ms == pytest.approx(50)
        assert camera.calibrated
        assert (camera.received, camera.dropped) == ([10], [0])
    (method,) = verdict.methods
    assert (method.label, method.engine["model"]) == ("nano", "nano")
    assert None not in (method.flicker, verdict.thermal.flicker, verdict.rgb.flicker)
    bag_bytes = b"".join(file.read_bytes() for file in sorted((tmp_path / "bag").iterdir()))
    assert verdict.provenance.source_sha256 == hashlib.sha256(bag_bytes).hexdigest()
    assert verdict.provenance.rgb.endswith("bag:/rgb/image_raw")
    again = evaluate(tmp_path / "bag")
    assert without_time(again) == without_time(verdict)
    verdict.write_json(tmp_path / "verdict.json")
    assert json.loads((tmp_path / "verdict.json").read_text())["bag"]["thermal"]["topic"] == "/thermal/image_raw"


def test_storage_and_lossless_encoding_change_no_number(tmp_path: Path, few_pairs) -> None:
    metrics = []
    for storage in ("mcap", "sqlite3"):
        write_bag(few_pairs(4), tmp_path / storage, storage=storage)
        metrics.append(evaluate(tmp_path / storage).to_dict()["metrics"])
    assert metrics[0] == metrics[1]


def test_a_slow_thermal_camera_is_paired_by_nearest_stamp(tmp_path: Path, few_pairs) -> None:
    write_bag(few_pairs(40), tmp_path / "bag", thermal_rate_hz=9, thermal_offset_ms=5)
    verdict = evaluate(tmp_path / "bag", sync=SyncSettings(slop_ms=30, thermal_hold_ms=0))
    assert verdict.recording.pairs == len(verdict.methods[0].pairs) == verdict.recording.thermal.messages == 18
    assert verdict.recording.rgb.unpaired == 22
    assert verdict.recording.offset_ms_max <= 30
    check_balance(verdict.recording.rgb)
    held = evaluate(tmp_path / "bag", sync=SyncSettings(thermal_hold_ms=150))
    assert held.recording.pairs == 40
    assert held.recording.thermal.paired <= 18
    check_balance(held.recording.thermal)


def test_gaps_are_counted(tmp_path: Path, few_pairs) -> None:
    class WithPause(few_pairs):
        def __iter__(self):
            for index, pair in enumerate(super().__iter__()):
                yield ImagePair(pair.thermal, pair.thermal_encoding, pair.rgb, 0.3 if index == 4 else pair.period_s)

    write_bag(WithPause(10), tmp_path / "bag")
    verdict = evaluate(tmp_path / "bag")
    assert verdict.recording.rgb.gaps == verdict.recording.thermal.gaps == [Gap(0.2, 300.0)]
    assert verdict.recording.rgb.longest_gap_ms == pytest.approx(300)


def test_frames_that_the_synchroniser_refuses_are_counted_by_reason(tmp_path: Path, few_pairs) -> None:
    class WithDouble(few_pairs):
        def __iter__(self):
            for index, pair in enumerate(super().__iter__()):
                yield ImagePair(pair.thermal, pair.thermal_encoding, pair.rgb, 0.0 if index == 4 else pair.period_s)

    write_bag(WithDouble(10), tmp_path / "bag")
    verdict = evaluate(tmp_path / "bag")
    assert verdict.recording.pairs == 9
    for camera in (verdict.recording.thermal, verdict.recording.rgb):
        assert camera.refused == {"duplicate_stamp": 1}
        check_balance(camera)


@pytest.mark.parametrize("rgb_encoding", ["bayer_rggb8", "jpeg"])
def test_the_fused_pairs_are_written_as_a_video(tmp_path: Path, few_pairs, rgb_encoding: str) -> None:
    write_bag(few_pairs(12), tmp_path / "bag", rgb_encoding=rgb_encoding)
    evaluate(tmp_path / "bag", fused_files=FusedFiles(video=tmp_path / "new" / "fused.mp4"))
    video = VideoReader(tmp_path / "new" / "fused.mp4")
    assert len(list(video)) == 12
    assert video.rate_hz == pytest.approx(20)


def test_a_change_of_size_costs_only_those_pairs(tmp_path: Path, few_pairs) -> None:
    class Growing(few_pairs):
        def __iter__(self):
            for index, pair in enumerate(super().__iter__()):
                rgb = np.repeat(pair.rgb, 2, axis=0) if index == 3 else pair.rgb
                yield ImagePair(pair.thermal, pair.thermal_encoding, rgb, pair.period_s)

    write_bag(Growing(6), tmp_path / "bag")
    verdict = evaluate(tmp_path / "bag")
    assert (verdict.recording.pairs, verdict.recording.failed, len(verdict.methods[0].pairs)) == (6, 1, 5)
    assert verdict.skipped == [
        "1 pair(s) could not be scored, the first: 1700000000.150000000: its RGB image is 64x96 where the first was"
        " 64x48; split the bag there."
    ]


def test_cameras_that_never_meet_are_one_sentence_and_leave_no_file(tmp_path: Path, few_pairs) -> None:
    write_bag(few_pairs(5), tmp_path / "bag", thermal_offset_ms=-10_000)
    with pytest.raises(BagError, match=r"No frame of /thermal/image_raw pairs with .*; set --stamps arrival"):
        evaluate(tmp_path / "bag", fused_files=FusedFiles(tmp_path / "fused.mp4", tmp_path / "fused"))
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]


def test_an_offset_is_cured_by_the_option_that_the_sentence_names(tmp_path: Path, few_pairs) -> None:
    write_bag(few_pairs(12), tmp_path / "bag", thermal_offset_ms=-900)
    with pytest.raises(BagError, match="if the stamps are wrong, --thermal-offset-ms 900"):
        evaluate(tmp_path / "bag")
    cured = evaluate(tmp_path / "bag", sync=SyncSettings(thermal_offset_ms=900)).recording
    assert (cured.pairs, cured.offset_ms_max, cured.advice) == (12, 0.0, "")
    by_arrival = evaluate(tmp_path / "bag", sync=SyncSettings(stamps="arrival")).recording
    assert by_arrival.pairs == 12


def test_a_lag_that_was_waited_for_is_said_in_the_verdict(tmp_path: Path, few_pairs) -> None:
    write_bag(few_pairs(40), tmp_path / "bag", thermal_offset_ms=-150)
    recording = evaluate(tmp_path / "bag").recording
    assert recording.lag_ms == pytest.approx(150)
    assert "--thermal-offset-ms 150 if they are wrong" in recording.advice


def test_cameras_without_stamps_are_pointed_to_arrival(tmp_path: Path, few_pairs) -> None:
    write_bag(few_pairs(1), tmp_path / "bag", start_ns=0)
    with pytest.raises(BagError, match=r"has the stamp zero, .*; give --stamps arrival"):
        evaluate(tmp_path / "bag")


def test_a_damaged_bag_is_scored_as_far_as_it_goes_and_says_so(tmp_path: Path, few_pairs) -> None:
    write_bag(few_pairs(20), tmp_path / "bag", seconds=6)
    file = tmp_path / "bag" / "bag.mcap"
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * 0.8)])
    verdict = evaluate(tmp_path / "bag")
    assert 40 < len(verdict.methods[0].pairs) < 120
    assert verdict.skipped[0].startswith("bag.mcap is damaged")
    assert (
        verdict.skipped[-1]
        == f"{120 - verdict.recording.rgb.messages} of 120 messages of /rgb/image_raw could not be read."
    )


def play_live(bag: Path, fused: Path, live: Path, *, lost: int, stray: int) -> None:
    """Writes a bag as if a node had run while `bag` was recorded and had published `fused` 40 ms after each stamp.

    The image with the number `lost` is missing, and the one with the number `stray` has a stamp of its own.
    """
    with (
        Writer(live, version=9, storage_plugin=StoragePlugin.MCAP) as writer,
        Reader(bag) as cameras,
        Reader(fused) as images,
    ):
        messages = [(recorded, c.topic, c.msgtype, data) for c, recorded, data in cameras.messages()]
        for number, (c, stamp, data) in enumerate(images.messages(c for c in images.connections if "image" in c.topic)):
            if number == stray:
                image = ros_types().deserialize_cdr(data, IMAGE)
                image.header.stamp.nanosec += 1
                data = ros_types().serialize_cdr(image, IMAGE)
            if number != lost:
                messages.append((stamp + 40_000_000, c.topic, c.msgtype, data))
        topics = {
            topic: writer.add_connection(topic, kind, typestore=ros_types())
            for topic, kind in {(m[1], m[2]) for m in messages}
        }
        for recorded, topic, _, data in sorted(messages, key=lambda message: message[0]):
            writer.write(topics[topic], recorded, data)


def test_what_was_fused_live_is_compared_with_the_model(tmp_path: Path, few_pairs) -> None:
    bag, fused, live = (tmp_path / name for name in ("bag", "new/fused", "live"))
    write_bag(few_pairs(12), bag)
    evaluate(bag, fused_files=FusedFiles(bag=fused))
    play_live(bag, fused, live, lost=3, stray=5)
    verdict, gallery = evaluate_bag(live, requests=[NANO], quiet=True)
    model, topic = verdict.methods
    assert (topic.label, topic.engine) == ("/fused/image_raw", None)
    # The node that fused it was this one, so its images have the model's scores.
    assert topic.pairs == [pair for number, pair in enumerate(model.pairs) if number not in (3, 5)]
    assert len(model.pairs) == 12
    assert verdict.skipped == [
        "1 of 11 images on /fused/image_raw fit no pair: none has their stamp on its RGB frame.",
        "2 of 12 pairs have no image on /fused/image_raw, whose scores are those of the other 10.",
    ]
    assert [len(moment.fused) for moment in gallery.moments] == [1 + (number not in (3, 5)) for number in range(12)]


def test_the_fused_bag_has_the_rgb_stamps_and_camera_info(tmp_path: Path, few_pairs) -> None:
    write_bag(few_pairs(5), tmp_path / "bag")
    evaluate(tmp_path / "bag", fused_files=FusedFiles(bag=tmp_path / "fused"))
    with Reader(tmp_path / "fused") as reader:
        found = [
            (c.topic, recorded, ros_types().deserialize_cdr(data, c.msgtype)) for c, recorded, data in reader.messages()
        ]
    stamps = [1_700_000_000_000_000_000 + number * 50_000_000 for number in range(5)]
    for topic in ("/fused/image_raw", "/fused/camera_info"):
        messages = [(recorded, message.header) for name, recorded, message in found if name == topic]
        assert [recorded for recorded, _ in messages] == stamps
        assert [h.stamp.sec * 10**9 + h.stamp.nanosec for _, h in messages] == stamps
        assert {header.frame_id for _, header in messages} == {"rgb_optical_frame"}
    assert {(m.encoding, m.width, m.height) for name, _, m in found if name == "/fused/image_raw"} == {("bgr8", 64, 48)}
    with pytest.raises(BagError, match="fused exists already"):
        evaluate(tmp_path / "bag", fused_files=FusedFiles(bag=tmp_path / "fused"))


@pytest.mark.parametrize("steady", [False, True])
def test_the_images_are_those_of_the_live_pipeline_whatever_the_chunks(tmp_path: Path, few_pairs, steady: bool) -> None:
    class Noisy(few_pairs):
        def __iter__(self):
            random = np.random.default_rng(7)
            for pair in super().__iter__():
                noise = random.integers(0, 2, pair.rgb.shape, dtype=np.uint8)
                yield ImagePair(pair.thermal // 2 + noise[..., 0], "mono8", pair.rgb // 2 + noise, pair.period_s)

    write_bag(Noisy(21), tmp_path / "bag")
    evaluate(tmp_path / "bag", steady=steady, fused_files=FusedFiles(bag=tmp_path / "fused"))
    frames = {(item.stream, item.frame.stamp_ns): item.frame for item in open_bag(tmp_path / "bag").frames()}
    engine = create_engine(NANO, ImageSize(64, 48))
    pipeline = FusionPipeline(engine, ThermalNormalizer(), steadier=Steadier() if steady else None)
    with Reader(tmp_path / "fused") as reader:
        for c, stamp, data in reader.messages(c for c in reader.connections if "image" in c.topic):
            image = ros_types().deserialize_cdr(data, c.msgtype)
            live = pipeline.fuse(frames.pop((Stream.THERMAL, stamp)), frames.pop((Stream.RGB, stamp)))
            assert bytes(image.data) == live.pixels.tobytes()
    assert frames == {}
    engine.close()


def test_the_verdict_is_the_same_by_one_process_and_by_two(tmp_path: Path, few_pairs) -> None:
    write_bag(few_pairs(30), tmp_path / "bag")
    results = [
        evaluate_bag(
            tmp_path / "bag",
            fused_files=FusedFiles(tmp_path / f"{workers}/fused.mp4", tmp_path / f"{workers}/fused"),
            where=Parallelism(workers),
            quiet=True,
        )
        for workers in (1, 2)
    ]
    assert without_time(results[0][0]) == without_time(results[1][0])
    assert results[0][1] == results[1][1]
    for name in ("fused.mp4", "fused/fused.mcap"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_what_is_printed_says_how_the_cameras_met(tmp_path: Path, few_pairs, capsys) -> None:
    write_bag(few_pairs(5), tmp_path / "bag", thermal_offset_ms=-4)
    print_verdict(evaluate(tmp_path / "bag"))
    printed = capsys.readouterr().out
    assert "5 pairs, 0 failed; RGB minus thermal stamp +4.00 ms median, at most 4.00 ms apart" in printed
    assert "/rgb/image_raw: 5 frames at 20.0 Hz, 5 paired" in printed
