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

"""The verdict in words, the marks of the summary table, and the accounts of the cameras."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from refinefuse_ros.evaluation.metrics import PairMetrics
from refinefuse_ros.evaluation.recording import Recording
from refinefuse_ros.evaluation.report.numbers import listed, number, summary_rows
from refinefuse_ros.evaluation.report.sentences import account_rows, facts, source_name, verdict_sentences
from refinefuse_ros.evaluation.scorecard import METRIC_NAMES, PairScore
from refinefuse_ros.evaluation.verdict import Gallery, Method, SourceNumbers, Verdict

MakeVerdict = Callable[..., tuple[Verdict, Gallery]]


def level(label: str, value: float, flicker: float | None = None) -> Method:
    return Method(label, [PairScore("a", PairMetrics(*[value] * len(METRIC_NAMES)))], flicker, None)


def sentences(verdict: Verdict) -> str:
    return " ".join(verdict_sentences(verdict, summary_rows(verdict)))


def test_one_method_is_compared_with_its_sources(make_verdict: MakeVerdict) -> None:
    verdict, _ = make_verdict("nano", of_recording=False)
    verdict = replace(
        verdict,
        methods=[level("nano", 1.0)],
        thermal=SourceNumbers(0.5, 2.0, 2.0, None),
        rgb=SourceNumbers(0.5, 0.5, 3.0, None),
    )
    assert sentences(verdict) == (
        "1 pair, fused by nano: more than either source in EN, between them in SF, less than either in AG."
    )
    flickers = replace(verdict, methods=[level("nano", 1.0, 0.25)])
    assert sentences(flickers).endswith("Where both sources stand still it flickers by 0.250 grey levels.")


def test_several_methods_are_ranked_and_equal_ones_share_the_place(make_verdict: MakeVerdict) -> None:
    verdict, _ = make_verdict("nano", of_recording=False)
    verdict = replace(verdict, methods=[level("a", 1.0, 0.5), level("b", 2.0), level("c", 2.0)])
    rows = {row.name: row for row in summary_rows(verdict)}
    assert (rows["vif"].best, rows["ecg"].best, rows["flicker"].best) == ({1, 2}, {0}, {0})
    assert rows["flicker"].values[1] is None
    assert sentences(verdict) == "1 pair, fused by a, b and c: b is best in 7 of 10 numbers, c in 7 and a in 3."


def test_the_cameras_have_a_sentence(make_verdict: MakeVerdict, recording: Recording) -> None:
    verdict, _ = make_verdict("nano")
    assert sentences(verdict).endswith(
        "In pairs are 290 of 304 thermal frames and 300 of 304 RGB frames, their stamps at most 4.2 ms apart; 1 gap in"
        " thermal (longest 140 ms)."
    )
    whole = replace(recording.rgb, messages=300, refused={}, unreadable={})
    perfect = replace(verdict, recording=replace(recording, thermal=whole, rgb=whole))
    assert "In pairs are all 300 thermal frames and all 300 RGB frames" in sentences(perfect)
    assert sentences(perfect).endswith("; neither camera has a gap.")


def test_only_what_was_lost_alarms(make_verdict: MakeVerdict) -> None:
    verdict, _ = make_verdict("nano")
    shown = {fact.label: (fact.value, fact.alarming) for fact in facts(verdict)}
    assert shown["thermal frames paired"] == ("95.4 %", True)
    assert shown["gaps"] == ("1", True)
    assert shown["left out"] == ("1", True)
    assert shown["pairs scored"] == ("24", False)


def test_nearly_all_is_not_100_percent(make_verdict: MakeVerdict, recording: Recording) -> None:
    verdict, _ = make_verdict("nano")
    nearly = replace(recording.rgb, messages=100_000, paired=99_999)
    shown = {fact.label: fact.value for fact in facts(replace(verdict, recording=replace(recording, rgb=nearly)))}
    assert shown["RGB frames paired"] == "99.9 %"


def test_every_message_is_in_the_accounts(recording: Recording) -> None:
    rows = account_rows(recording)
    counts = {row.label: row.thermal.split()[0] for row in rows if row.label in _ACCOUNTS}
    assert sum(map(int, counts.values())) == recording.thermal.messages
    assert [row.label for row in rows if row.indented] == ["zero stamp", "bad jpeg"]
    unknown = replace(recording.thermal, rate_hz=None, longest_gap_ms=None)
    shown = {row.label: row.thermal for row in account_rows(replace(recording, thermal=unknown))}
    assert shown["rate"] == shown["longest between frames"] == "unknown"


_ACCOUNTS = ("paired", "unpaired", "superseded", "refused", "unreadable")


@pytest.mark.parametrize(
    ("thermal", "rgb", "name"),
    [("data/msrs/thermal", "data/msrs/rgb", "msrs"), ("a/t.mp4", "b/v.mp4", "t.mp4 and v.mp4"), ("t", "v", "t and v")],
)
def test_files_are_named_by_the_folder_that_holds_both(
    make_verdict: MakeVerdict, thermal: str, rgb: str, name: str
) -> None:
    verdict, _ = make_verdict("nano", of_recording=False)
    origin = replace(verdict.provenance, thermal=thermal, rgb=rgb)
    assert source_name(replace(verdict, provenance=origin)) == name


def test_a_recording_is_named_by_its_path(make_verdict: MakeVerdict) -> None:
    assert source_name(make_verdict("nano")[0]) == "street"


def test_numbers_and_lists_read_well() -> None:
    assert [number(value) for value in (0.12345, -3.0, 12.345, 123.45)] == ["0.123", "-3.000", "12.35", "123.5"]
    assert [listed(items) for items in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
