# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The scorecard's means, spread and worst pairs, and its JSON: whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from refinefuse_ros.evaluation.metrics import PairMetrics
from refinefuse_ros.evaluation.scorecard import METRIC_NAMES, MetricSummary, PairScore, Provenance, Scorecard
from refinefuse_ros.evaluation.table import print_table

ENGINE = {"model": "nano", "precision": "fp32", "backend": "openvino", "artifact_sha256": "abc"}


def card_of(*levels: float, flicker: float | None = None, engine: dict[str, str] | None = None) -> Scorecard:
    """A card whose metrics are all `level`, one pair named a, b, c ... per level."""
    pairs = [PairScore(chr(ord("a") + i), PairMetrics(*[level] * 8)) for i, level in enumerate(levels)]
    source = Provenance("1.2.3", "thermal", "rgb", None if engine else "fused", engine)
    return Scorecard(pairs, flicker, ["x.png is not a readable image."], source, seconds=2.0)


def test_each_metric_has_its_mean_population_deviation_and_worst_pair() -> None:
    summary = card_of(2.0, 6.0, 1.0).summary()
    assert tuple(summary) == METRIC_NAMES
    assert summary["vif"] == MetricSummary(3.0, pytest.approx((14 / 3) ** 0.5), "c", 1.0)
    assert (summary["ecg"].worst_pair, summary["ecg"].worst_value) == ("b", 6.0)


def test_of_equally_bad_pairs_the_first_is_named_and_one_pair_has_no_spread() -> None:
    assert card_of(1.0, 1.0).summary()["ecg"].worst_pair == "a"
    assert card_of(1.0).summary()["scd"].std == 0.0


def test_the_json_holds_everything(tmp_path: Path) -> None:
    card = card_of(1.0, 2.0, flicker=0.5, engine=ENGINE)
    card.write_json(tmp_path / "new" / "card.json")
    read = json.loads((tmp_path / "new" / "card.json").read_text())
    assert read == card.to_dict()
    assert (read["count"], read["flicker"], read["seconds"]) == (2, 0.5, 2.0)
    assert read["metrics"]["en"] == {"mean": 1.5, "std": 0.5, "worst_pair": "a", "worst_value": 1.0}
    assert read["pairs"][1] == {"name": "b", **dict.fromkeys(METRIC_NAMES, 2.0)}
    assert read["skipped"] == ["x.png is not a readable image."]
    assert read["provenance"]["engine"]["artifact_sha256"] == "abc"
    assert read["provenance"]["version"] == "1.2.3"


def test_a_json_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "card.json").mkdir()
    with pytest.raises(OSError, match=r"card\.json"):
        card_of(1.0).write_json(tmp_path / "card.json")
    assert [path.name for path in tmp_path.iterdir()] == ["card.json"]


def test_the_table_shows_every_metric_and_what_fused(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(card_of(1.25, 2.25, flicker=0.5, engine=ENGINE))
    shown = capsys.readouterr().out
    assert "2 pairs fused by nano, fp32 by openvino" in shown
    assert all(label in shown for label in ("VIF", "AG", "SCD", "Qabf", "SF", "EN", "SSIM", "ECG", "1.7500", "0.5000"))
    assert "flicker" in shown
    print_table(card_of(1.0))
    shown = capsys.readouterr().out
    assert "1 pairs, fused images from fused" in shown
    assert "flicker" not in shown
