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

"""Means, spread and worst pairs of one method's scores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from refinefuse_ros.evaluation.metrics import PairMetrics
from refinefuse_ros.evaluation.scorecard import METRIC_NAMES, MetricSummary, PairScore, badness, summarize
from refinefuse_ros.evaluation.warm_objects import WarmScore


def scores(*levels: float) -> list[PairScore]:
    """Pairs a, b, c ... whose metrics are all that level."""
    return [PairScore(chr(ord("a") + i), PairMetrics(*[level] * len(METRIC_NAMES))) for i, level in enumerate(levels)]


def test_each_metric_has_its_mean_population_deviation_and_worst_pair() -> None:
    summary = summarize(scores(2.0, 6.0, 1.0))
    assert tuple(summary) == METRIC_NAMES
    assert summary["vif"] == MetricSummary(3.0, pytest.approx((14 / 3) ** 0.5), "c", 1.0)
    assert (summary["ecg"].worst_pair, summary["ecg"].worst_value) == ("b", 6.0)


def test_of_equally_bad_pairs_the_first_is_named_and_one_pair_has_no_spread() -> None:
    assert summarize(scores(1.0, 1.0))["ecg"].worst_pair == "a"
    assert summarize(scores(1.0))["scd"].std == 0.0


def test_more_badness_is_a_lower_metric_but_a_higher_coarse_gradient() -> None:
    assert badness("vif", 1.0) > badness("vif", 2.0)
    assert badness("ecg", 1.0) < badness("ecg", 2.0)


def test_a_pair_is_ranked_by_its_metrics_and_by_what_it_keeps_of_its_objects() -> None:
    (pair,) = scores(2.0)
    assert (pair.value("vif"), pair.value("kept")) == (2.0, None)
    assert replace(pair, warm=WarmScore(kept=(0.5, 0.25))).value("kept") == 0.375
