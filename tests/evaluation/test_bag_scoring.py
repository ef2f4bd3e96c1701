# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The verdict on a bag: every pair once, every frame accounted for, the same each time, in every kind of bag."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.evaluation.bag_files import BagError
from refinefuse_ros.evaluation.bag_scoring import BagScorecard, CameraSummary, evaluate_bag
from refinefuse_ros.evaluation.bag_writing import write_bag
from refinefuse_ros.image.sources import ImagePair
from refinefuse_ros.image.video import VideoReader
from refinefuse_ros.stream.synchronizer import SyncConfig

NANO = EngineRequest("nano")


def check_balance(camera: CameraSummary) -> None:
    accounts = camera.paired + camera.unpaired + camera.superseded
    assert camera.messages == accounts + sum(camera.refused.values()) + sum(camera.unreadable.values())


def without_time(card: BagScorecard) -> dict:
    return card.to_dict() | {"seconds": 0}


def test_every_pair_is_fused_and_scored_the_same_each_time(tmp_path: Path, few_pairs) -> None:
    write_bag(few_pairs(10), tmp_path / "bag")
    card = evaluate_bag(tmp_path / "bag", request=NANO, quiet=True)
    assert [pair.name for pair in card.pairs][:2] == ["1700000000.000000000", "1700000000.050000000"]
    assert (len(card.pairs), card.bag.pairs, card.bag.failed, card.skipped) == (10, 10, 0, [])
    assert (card.bag.offset_ms_median, card.bag.offset_ms_max, card.bag.resets) == (0, 0, 0)
    for camera in (card.bag.thermal, card.bag.rgb):
        check_balance(camera)
        assert (camera.messages, camera.paired, camera.gaps) == (10, 10, 0)
        assert camera.rate_hz == pytest.approx(20)
        assert camera.longest_gap_ms == pytest.approx(50)
        assert camera.calibrated
    assert card.flicker is not None
    assert card.provenance.engine["model"] == "nano"
    assert card.provenance.rgb.endswith("bag:/rgb/image_raw")
    again = evaluate_bag(tmp_path / "bag", request=NANO, quiet=True)
    assert without_time(again) == without_time(card)
    card.write_json(tmp_path / "card.json")
    assert json.loads((tmp_path / "card.json").read_text())["bag"]["thermal"]["topic"] == "/thermal/image_raw"


def test_storage_and_lossless_encoding_change_no_number(tmp_path: Path, few_pairs) -> None:
    metrics = []
    for storage in ("mcap", "sqlite3"):
        write_bag(few_pairs(4), tmp_path / storage, storage=storage)
        metrics.append(evaluate_bag(tmp_path / storage, request=NANO, quiet=True).to_dict()["metrics"])
    assert metrics[0] == metrics[1]


def test_a_slow_thermal_camera_is_paired_by_nearest_stamp(tmp_path: Path, few_pairs) -> None:
    write_bag(few_pairs(40), tmp_path / "bag", thermal_rate_hz=9, thermal_offset_ms=5)
    card = evaluate_bag(tmp_path / "bag", request=NANO, sync=SyncConfig(slop_ms=30), quiet=True)
    assert card.bag.pairs == len(card.pairs) == card.bag.thermal.messages == 18
    assert card.bag.rgb.unpaired == 22
    assert card.bag.offset_ms_max <= 30
    check_balance(card.bag.rgb)
    held = evaluate_bag(tmp_path / "bag", request=NANO, sync=SyncConfig(thermal_hold_ms=150), quiet=True)
    assert held.bag.pairs == 40
    assert held.bag.thermal.paired <= 18
    check_balance(held.bag.thermal)


def test_gaps_are_counted(tmp_path: Path, few_pairs) -> None:
    class WithPause(few_pairs):
        def __iter__(self):
            for index, pair in enumerate(super().__iter__()):
                yield ImagePair(pair.thermal, pair.thermal_encoding, pair.rgb, 0.3 if index == 4 else pair.period_s)

    write_bag(WithPause(10), tmp_path / "bag")
    card = evaluate_bag(tmp_path / "bag", request=NANO, quiet=True)
    assert card.bag.rgb.gaps == card.bag.thermal.gaps == 1
    assert card.bag.rgb.longest_gap_ms == pytest.approx(300)


def test_frames_that_the_synchroniser_refuses_are_counted_by_reason(tmp_path: Path, few_pairs) -> None:
    class WithDouble(few_pairs):
        def __iter__(self):
            for index, pair in enumerate(super().__iter__()):
                yield ImagePair(pair.thermal, pair.thermal_encoding, pair.rgb, 0.0 if index == 4 else pair.period_s)

    write_bag(WithDouble(10), tmp_path / "bag")
    card = evaluate_bag(tmp_path / "bag", request=NANO, quiet=True)
    assert card.bag.pairs == 9
    for camera in (card.bag.thermal, card.bag.rgb):
        assert camera.refused == {"duplicate_stamp": 1}
        check_balance(camera)


@pytest.mark.parametrize("rgb_encoding", ["bayer_rggb8", "jpeg"])
def test_the_fused_pairs_are_written_as_a_video(tmp_path: Path, few_pairs, rgb_encoding: str) -> None:
    write_bag(few_pairs(12), tmp_path / "bag", rgb_encoding=rgb_encoding)
    evaluate_bag(tmp_path / "bag", request=NANO, fused_video=tmp_path / "new" / "fused.mp4", quiet=True)
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
    card = evaluate_bag(tmp_path / "bag", request=NANO, quiet=True)
    assert (card.bag.pairs, card.bag.failed, len(card.pairs)) == (6, 1, 5)
    assert card.skipped == [
        "1 pair(s) could not be scored, the first: 1700000000.150000000: its RGB image is 64x96 where the first was"
        " 64x48; split the bag there."
    ]


def test_cameras_that_never_meet_are_one_sentence_and_leave_no_video(tmp_path: Path, few_pairs) -> None:
    write_bag(few_pairs(5), tmp_path / "bag", thermal_offset_ms=-10_000)
    with pytest.raises(BagError, match=r"No frame of /thermal/image_raw lies within 20 ms of one of /rgb/image_raw"):
        evaluate_bag(tmp_path / "bag", request=NANO, fused_video=tmp_path / "fused.mp4", quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]


def test_a_damaged_bag_is_scored_as_far_as_it_goes_and_says_so(tmp_path: Path, few_pairs) -> None:
    write_bag(few_pairs(20), tmp_path / "bag", seconds=6)
    file = tmp_path / "bag" / "bag.mcap"
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * 0.8)])
    card = evaluate_bag(tmp_path / "bag", request=NANO, quiet=True)
    assert 40 < len(card.pairs) < 120
    assert card.skipped[0].startswith("bag.mcap is damaged")
    assert card.skipped[-1] == f"{120 - card.bag.rgb.messages} of 120 messages of /rgb/image_raw could not be read."


def test_what_is_printed_says_how_the_cameras_met(tmp_path: Path, few_pairs, capsys) -> None:
    write_bag(few_pairs(5), tmp_path / "bag", thermal_offset_ms=-4)
    evaluate_bag(tmp_path / "bag", request=NANO)
    printed = capsys.readouterr().out
    assert "5 pairs, 0 failed; RGB minus thermal stamp +4.00 ms median, at most 4.00 ms apart" in printed
    assert "/rgb/image_raw: 5 frames at 20.0 Hz, 5 paired" in printed
