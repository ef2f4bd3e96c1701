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

"""A gate passes only what keeps every rule; a rule that cannot be checked, or read, never passes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinefuse_ros.evaluation.gate import Bound, Gate, MethodRules, RecordingRules, load_gate
from refinefuse_ros.evaluation.metrics import PairMetrics
from refinefuse_ros.evaluation.motion import MotionNumbers
from refinefuse_ros.evaluation.recording import CameraSummary, Gap, LiveLatency, Recording
from refinefuse_ros.evaluation.scorecard import METRIC_NAMES, PairScore
from refinefuse_ros.evaluation.verdict import AlignmentNumbers, Method, Verdict
from refinefuse_ros.evaluation.warm_objects import WarmScore
from refinefuse_ros.settings import ConfigError
from refinefuse_ros.stream.synchronizer import SyncConfig

NO_OBJECTS = WarmScore()
SHIPPED = Path(__file__).parents[2] / "config" / "gate.yaml"


def method(label: str, level: float = 1.0, flicker: float | None = None, warm: WarmScore = NO_OBJECTS) -> Method:
    return Method(label, [PairScore("a", PairMetrics(*[level] * len(METRIC_NAMES)), warm)], flicker, None)


def verdict(*methods: Method, recording: Recording | None = None) -> Any:
    """Of a verdict a gate only looks at the methods, the recording and the alignment."""
    methods = list(methods or (method("nano"),))
    checked = SimpleNamespace(methods=methods, recording=recording, alignment=AlignmentNumbers(None, 0, 5))
    assert set(vars(checked)) <= set(Verdict.__dataclass_fields__)
    return checked


def recording(**changes: Any) -> Recording:
    camera = CameraSummary("/t", 200, 190, 6, 1, {"zero_stamp": 2}, {"bad_jpeg": 1}, 30.0, 99.0, True, [], [], [])
    whole = Recording("b", 6.0, 190, 10, 0, 0.0, 7.5, [0.0, 1.0], [1], 1.0, camera, camera, SyncConfig(), 0.0, "", None)
    return replace(whole, **changes)


def gate_file(folder: Path, text: str) -> Path:
    (folder / "gate.yaml").write_text(text)
    return folder / "gate.yaml"


def test_the_shipped_example_loads() -> None:
    gate = load_gate(SHIPPED)
    assert gate.metrics
    assert gate.flicker
    assert gate.recording


def test_every_kind_of_rule_is_read(tmp_path: Path) -> None:
    text = (
        "metrics: {vif: {min: 0.9}, ecg: {max: 1}}\nflicker: {max: 4e-1}\n"
        "methods: {base: {metrics: {en: {min: 6, max: 8}}}}\nrecording: {min_pairs: 5, max_offset_ms: 20}\n"
    )
    assert load_gate(gate_file(tmp_path, text)) == Gate(
        metrics={"vif": Bound(min=0.9), "ecg": Bound(max=1.0)},
        flicker=Bound(max=0.4),
        methods={"base": MethodRules(metrics={"en": Bound(6.0, 8.0)})},
        recording=RecordingRules(min_pairs=5, max_offset_ms=20.0),
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no settings; start from config/gate.yaml"),
        ("metrics: {}", "has no rule, so that everything would pass"),
        ("recording: {}", "has no rule"),
        ("methods: {base: {}}", "has no rule"),
        ("metric: {vif: {min: 1}}", "no setting metric; known there: metrics, flicker, methods, recording"),
        ("metrics: {vix: {min: 1}}", "no metric vix; known are vif, scd"),
        ("metrics: {flicker: {max: 1}}", "no metric flicker"),
        ("methods: {base: {metrics: {vix: {min: 1}}}}", "methods.base: there is no metric vix"),
        ("metrics: {vif: 0.9}", "metrics.vif is 0.9; give its settings as key: value"),
        ("metrics: {vif: {min: high}}", "metrics.vif.min is 'high'; give a number"),
        ("metrics: {vif: {}}", "metrics.vif: it bounds nothing"),
        ("metrics: {vif: {min: 2, max: 1}}", "min 2 lies above max 1"),
        ("metrics: {vif: {max: .nan}}", "give finite numbers"),
        ("metrics: {vif: {min: 1}, vif: {min: 0}}", "the key vif is there twice"),
        ("recording: {max_gap: 1}", "no setting recording.max_gap"),
        ("recording: {max_gaps: 0.5}", "recording.max_gaps is 0.5; give a whole number"),
        ("recording: {max_gaps: -1}", "recording: max_gaps is -1; give a number from 0 on"),
        ("recording: {max_offset_ms: .inf}", "max_offset_ms is inf"),
        ("recording: {max_unpaired_share: 2}", "max_unpaired_share is 2; give a share from 0 to 1"),
        ("metrics: [", "is not YAML"),
    ],
)
def test_what_is_no_gate_is_refused_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=r"gate\.yaml") as refusal:
        load_gate(gate_file(tmp_path, text))
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_gate_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml cannot be read"):
        load_gate(tmp_path / "absent.yaml")


def test_a_violation_names_method_number_and_bound() -> None:
    gate = Gate(metrics={"vif": Bound(min=1.5), "ecg": Bound(max=0.5), "en": Bound(min=1.0, max=1.0)})
    assert gate.violations(verdict(method("nano"), method("base", level=9.0))) == [
        "The mean VIF of nano is 1, below the 1.5 that is allowed.",
        "The mean ECG of nano is 1, above the 0.5 that is allowed.",
    ]


@given(value=st.floats(-10, 10), low=st.floats(-10, 10), width=st.floats(0, 10))
def test_a_bound_holds_exactly_within_its_ends(value: float, low: float, width: float) -> None:
    bound = Bound(low, low + width)
    assert (list(bound.violations("x", value)) == []) == (low <= value <= low + width)
    assert len(list(bound.violations("x", math.nan))) == 2


def test_further_methods_have_their_own_rules() -> None:
    gate = Gate(methods={"base": MethodRules({"vif": Bound(min=3)}), "giant": MethodRules({"vif": Bound(min=3)})})
    assert gate.violations(verdict(method("nano"), method("base", level=2.0))) == [
        "The mean VIF of base is 2, below the 3 that is allowed.",
        "The gate has rules for giant, but what was scored is nano, base.",
    ]


def test_what_is_left_of_warm_objects_is_bounded_and_must_be_there() -> None:
    gate = Gate(metrics={"kept": Bound(min=0.6), "lost": Bound(max=30), "ring": Bound(min=-3)})
    assert gate.violations(verdict(method("nano", warm=WarmScore((0.2, 1.0, 1.0, 1.0), -40, 10, 10, 10)))) == [
        "The RING of nano is -5, below the -3 that is allowed."
    ]
    assert gate.violations(verdict(method("nano", warm=WarmScore((0.2, 1.0), 10, 10, 10, 10)))) == [
        "The LOST of nano is 50, above the 30 that is allowed."
    ]
    assert gate.violations(verdict(method("nano"))) == [
        f"The gate bounds {name}, but nano has none: that takes pairs with warm objects."
        for name in ("KEPT", "LOST", "RING")
    ]


def test_how_a_video_moves_is_bounded_and_must_have_been_measured() -> None:
    gate = Gate(metrics={"biswe": Bound(max=2), "ms2r": Bound(max=2)})
    moving = replace(method("nano"), motion=MotionNumbers(biswe=2.5, flowd=9.0, ms2r=2.0))
    assert gate.violations(verdict(moving)) == ["The BiSWE (DIS) of nano is 2.5, above the 2 that is allowed."]
    assert gate.violations(verdict(method("nano"))) == [
        f"The gate bounds {name} (DIS), but nano has none: that takes a video or a recording, and --motion."
        for name in ("BiSWE", "MS2R")
    ]


def test_the_alignment_is_bounded_and_must_have_been_told() -> None:
    gate = Gate(alignment_error_px=Bound(max=6))
    checked = verdict()
    (sentence,) = gate.violations(checked)
    assert "no pair that was looked at tells it" in sentence
    checked.alignment = AlignmentNumbers(6.0, 5, 5)
    assert gate.violations(checked) == []
    checked.alignment = AlignmentNumbers(40.0, 5, 5)
    assert gate.violations(checked) == ["The alignment's error in px is 40, above the 6 that is allowed."]


def test_flicker_is_bounded_and_must_be_there() -> None:
    gate = Gate(flicker=Bound(max=0.4))
    assert gate.violations(verdict(method("nano", flicker=0.4))) == []
    (sentence,) = gate.violations(verdict(method("nano", flicker=0.5)))
    assert sentence == "The flicker of nano in grey levels is 0.5, above the 0.4 that is allowed."
    (sentence,) = gate.violations(verdict(method("nano")))
    assert "nano has none" in sentence


@pytest.mark.parametrize(
    ("rules", "kept", "sentence"),
    [
        (RecordingRules(min_pairs=180), RecordingRules(min_pairs=180), None),
        (RecordingRules(min_pairs=181), RecordingRules(min_pairs=180), "scored pairs is 180, below the 181"),
        (RecordingRules(max_offset_ms=7.4), RecordingRules(max_offset_ms=7.5), "in ms is 7.5, above the 7.4"),
        (
            RecordingRules(max_unpaired_share=0.049),
            RecordingRules(max_unpaired_share=0.051),
            "thermal frames in no pair is 0.05, above the 0.049",
        ),
    ],
)
def test_a_recording_is_bounded(rules: RecordingRules, kept: RecordingRules, sentence: str | None) -> None:
    checked = verdict(recording=recording())
    assert Gate(recording=kept).violations(checked) == []
    found = Gate(recording=rules).violations(checked)
    assert sentence is None or sentence in found[0]


def test_each_camera_is_bounded() -> None:
    rgb = replace(recording().rgb, gaps=[Gap(1.0, 99.0)], paired=100)
    found = Gate(recording=RecordingRules(max_gaps=0, max_unpaired_share=0.1)).violations(
        verdict(recording=recording(rgb=rgb))
    )
    assert found == [
        "The share of RGB frames in no pair is 0.5, above the 0.1 that is allowed.",
        "The number of RGB gaps is 1, above the 0 that is allowed.",
    ]


@pytest.mark.parametrize(
    ("p99_ms", "sentence"),
    [
        ([10.0, 50.0], None),
        ([51.0, 10.0], "highest p99 in ms is 51, above the 50"),
        ([10.0, math.nan, 20.0], "highest p99 in ms is nan"),
        ([], "holds no diagnostics"),
        (None, "holds no diagnostics"),
    ],
)
def test_live_latency_is_bounded_and_must_be_there(p99_ms: list[float] | None, sentence: str | None) -> None:
    latency = None if p99_ms is None else LiveLatency([0.0] * len(p99_ms), p99_ms, p99_ms, {}, [])
    found = Gate(recording=RecordingRules(max_latency_p99_ms=50)).violations(
        verdict(recording=recording(latency=latency))
    )
    assert (found == []) if sentence is None else sentence in found[0]


def test_rules_for_a_recording_do_not_pass_files() -> None:
    (sentence,) = Gate(recording=RecordingRules(max_gaps=9)).violations(verdict())
    assert "files were scored" in sentence
