# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Every number that is scored can be shown."""

from __future__ import annotations

from refinefuse_ros.evaluation.metric_texts import FLICKER, METRIC_TEXTS
from refinefuse_ros.evaluation.scorecard import METRIC_NAMES


def test_every_metric_has_a_text_and_only_ecg_and_flicker_are_better_low() -> None:
    assert set(METRIC_TEXTS) == {*METRIC_NAMES, FLICKER}
    assert {name for name, text in METRIC_TEXTS.items() if text.lower_is_better} == {"ecg", FLICKER}
