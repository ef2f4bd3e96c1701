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

"""The verdict's JSON: the first method as before there were several, whole or not at all; and its table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from refinefuse_ros.errors import UserError
from refinefuse_ros.evaluation.metrics import PairMetrics
from refinefuse_ros.evaluation.motion import MotionNumbers
from refinefuse_ros.evaluation.scorecard import METRIC_NAMES, PairScore
from refinefuse_ros.evaluation.table import print_verdict
from refinefuse_ros.evaluation.verdict import Method, Provenance, SourceNumbers, Verdict
from refinefuse_ros.evaluation.warm_objects import WarmScore

ENGINE = {"model": "nano", "precision": "fp32", "backend": "openvino", "artifact_sha256": "abc"}
WARM = WarmScore(kept=(0.2, 0.5, 0.8), near=-50, near_pixels=10, far=20, far_pixels=20)


def method(label: str, *levels: float, flicker: float | None = None, engine: dict[str, str] | None = None) -> Method:
    """A method whose metrics are all `level`, one pair named a, b, c ... per level."""
    pairs = [PairScore(chr(ord("a") + i), PairMetrics(*[level] * len(METRIC_NAMES))) for i, level in enumerate(levels)]
    return Method(label, pairs, flicker, engine)


def verdict_of(*methods: Method) -> Verdict:
    source = SourceNumbers(1.0, 2.0, 3.0, None, 0.4, 61.0, 0.0)
    provenance = Provenance("1.2.3", None, {"numpy": "2"}, "refinefuse evaluate", "thermal", "rgb", None)
    skipped = ["x.png is not a readable image."]
    return Verdict(list(methods), source, source, None, skipped, provenance, 2.0, "host", "2026-01-01T00:00:00+00:00")


def test_the_json_holds_everything_with_the_first_method_at_the_top(tmp_path: Path) -> None:
    nano = method("nano", 1.0, 2.0, flicker=0.5, engine=ENGINE)
    nano.pairs[0] = replace(nano.pairs[0], warm=WARM)
    verdict = verdict_of(nano, method("/fused", 3.0))
    verdict.write_json(tmp_path / "new" / "verdict.json")
    read = json.loads((tmp_path / "new" / "verdict.json").read_text())
    assert read == json.loads(verdict.to_json()) == verdict.to_dict()
    assert (read["label"], read["count"], read["flicker"], read["seconds"]) == ("nano", 2, 0.5, 2.0)
    assert read["metrics"]["en"] == {"mean": 1.5, "std": 0.5, "worst_pair": "a", "worst_value": 1.0}
    assert read["warm_objects"] == {"objects": 3, "kept": 0.5, "lost": pytest.approx(100 / 3), "ring": -6.0}
    nothing = {"objects": 0, "kept": None, "lost": None, "ring": None}
    assert read["pairs"][1] == {"name": "b", **dict.fromkeys(METRIC_NAMES, 2.0), "warm_objects": nothing}
    assert read["pairs"][0]["warm_objects"] == read["warm_objects"]
    assert read["engine"]["artifact_sha256"] == "abc"
    assert read["motion"] is None
    (other,) = read["compared"]
    assert other.keys() == read.keys() & other.keys()
    assert (other["label"], other["count"], other["engine"]) == ("/fused", 1, None)
    alone = {"en": 1.0, "sf": 2.0, "ag": 3.0, "flicker": None, "kept": 0.4, "lost": 61.0, "ring": 0.0}
    assert read["sources"]["rgb"] == {**alone, **dict.fromkeys(("biswe", "flowd", "ms2r"))}
    assert (read["bag"], read["skipped"]) == (None, ["x.png is not a readable image."])
    assert (read["provenance"]["version"], read["provenance"]["command"]) == ("1.2.3", "refinefuse evaluate")


def test_how_a_video_moves_is_in_the_json_and_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    verdict = verdict_of(replace(method("nano", 1.0), motion=MotionNumbers(2.5, 3.5, None)))
    assert verdict.to_dict()["motion"] == {"biswe": 2.5, "flowd": 3.5, "ms2r": None}
    print_verdict(verdict)
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("BiSWE (DIS) │ lower  │ 2.5000", "flowD (DIS) │ lower  │ 3.5000"))
    assert "MS2R" not in shown


def test_a_json_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "verdict.json").mkdir()
    with pytest.raises(UserError, match=r"verdict\.json cannot be written: Is a directory"):
        verdict_of(method("nano", 1.0)).write_json(tmp_path / "verdict.json")
    assert [path.name for path in tmp_path.iterdir()] == ["verdict.json"]


def test_the_table_of_one_method_shows_spread_and_worst_pair(capsys: pytest.CaptureFixture[str]) -> None:
    print_verdict(verdict_of(method("nano", 1.25, 2.25, flicker=0.5, engine=ENGINE)))
    shown = capsys.readouterr().out
    assert "2 pairs fused by nano, fp32 by openvino" in shown
    assert all(label in shown for label in ("VIF", "AG", "SCD", "Qabf", "SF", "EN", "SSIM", "ECG", "1.7500", "0.5000"))
    assert "flicker" in shown
    print_verdict(verdict_of(method("fused", 1.0)))
    shown = capsys.readouterr().out
    assert "1 pairs, fused images from fused" in shown
    assert "flicker" not in shown


def test_methods_are_compared_over_the_pairs_that_all_have() -> None:
    verdict = verdict_of(method("nano", 1.0, 2.0, 3.0), method("live", 4.0, 5.0))
    assert [[pair.name for pair in method.pairs] for method in verdict.comparable()] == [["a", "b"]] * 2
    alone = Method("other", [PairScore("z", PairMetrics(*[1.0] * len(METRIC_NAMES)))], None, None)
    assert verdict_of(method("nano", 1.0), alone).comparable() == [method("nano", 1.0), alone]


def test_the_table_of_several_methods_marks_the_best_of_each_metric(capsys: pytest.CaptureFixture[str]) -> None:
    print_verdict(verdict_of(method("nano", 1.5, 9.0, flicker=0.5), method("base", 3.0, flicker=0.25)))
    rows = {line.split()[1]: line for line in capsys.readouterr().out.splitlines() if line.count("│") == 5}
    assert " 1.5000 │ * 3.0000" in rows["VIF"]
    assert "* 1.5000 │   3.0000" in rows["ECG"]
    assert " 0.5000 │ * 0.2500" in rows["flicker"]
    assert "KEPT" not in rows


def test_the_table_has_what_is_left_of_warm_objects_where_there_are_any(capsys: pytest.CaptureFixture[str]) -> None:
    methods = [method("nano", 1.5), method("base", 3.0)]
    for scored, kept, near in zip(methods, (0.5, 0.1), (-50, 70), strict=True):
        scored.pairs[0] = replace(scored.pairs[0], warm=replace(WARM, kept=(kept,), near=near))
    print_verdict(verdict_of(methods[0]))
    print_verdict(verdict_of(*methods))
    shown = capsys.readouterr().out
    rows = {line.split()[1]: line for line in shown.splitlines() if line.count("│") == 5}
    assert "│ KEPT     │ higher │  0.5000 │" in shown
    assert "* 0.5000 │   0.1000" in rows["KEPT"]
    assert "* 0.0000 │ 100.0000" in rows["LOST"]
    assert "near 0 │ * -6.0000 │   6.0000 │" in rows["RING"]
