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

"""Every number that is scored can be shown."""

from __future__ import annotations

from refinefuse_ros.evaluation.metric_texts import METRIC_TEXTS, Better
from refinefuse_ros.evaluation.metrics import PairMetrics
from refinefuse_ros.evaluation.scorecard import METRIC_NAMES, PairScore
from refinefuse_ros.evaluation.verdict import Method


def test_every_number_of_a_method_has_a_text_that_says_which_values_are_better() -> None:
    method = Method("nano", [PairScore("a", PairMetrics(*[1.0] * len(METRIC_NAMES)))], None, None)
    assert set(METRIC_TEXTS) == set(method.numbers())
    better = {better: {name for name, text in METRIC_TEXTS.items() if text.better is better} for better in Better}
    assert better[Better.LOWER] == {"ecg", "outlines", "lost", "flicker", "biswe", "flowd", "ms2r"}
    assert better[Better.NEAR_ZERO] == {"ring"}


def test_the_best_value_is_the_highest_the_lowest_or_the_nearest_to_zero() -> None:
    assert [better.best([-3.0, 2.0, 4.0]) for better in Better] == [4.0, -3.0, 2.0]
