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

"""The verdict in words: what was fused, how it compares, and how well the cameras went together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import PurePath

from refinefuse_ros.evaluation.recording import CameraSummary, Recording
from refinefuse_ros.evaluation.report.numbers import Row, counted, listed, most_pairs, number
from refinefuse_ros.evaluation.verdict import Verdict


def source_name(verdict: Verdict) -> str:
    """The shortest name that tells the sources from others: the bag's, or the folder that holds both."""
    if verdict.recording is not None:
        return PurePath(verdict.recording.path).name or verdict.recording.path
    thermal, rgb = PurePath(verdict.provenance.thermal), PurePath(verdict.provenance.rgb)
    if thermal.parent == rgb.parent and thermal.parent.name:
        return thermal.parent.name
    return f"{thermal.name} and {rgb.name}"


def verdict_sentences(verdict: Verdict, rows: list[Row]) -> list[str]:
    """One sentence on the fusion, for a recording one on the cameras, and one on their alignment where it is wrong."""
    sentences = [_on_methods(verdict, rows) if len(verdict.methods) > 1 else _on_sources(verdict, rows)]
    if verdict.recording is not None:
        sentences.append(_on_pairing(verdict.recording))
    if verdict.alignment.fault:
        sentences.append(verdict.alignment.fault)
    return sentences


def _on_methods(verdict: Verdict, rows: list[Row]) -> str:
    labels = [method.label for method in verdict.methods]
    wins = Counter(labels[index] for row in rows for index in row.best)
    first, *others = sorted(labels, key=lambda label: -wins[label])
    ranking = listed(
        [
            f"{first} is best in {wins[first]} of {len(rows)} numbers",
            *(f"{label} in {wins[label] or 'none'}" for label in others),
        ]
    )
    pairs = counted(most_pairs(verdict), "pair")
    return f"{pairs}, fused by {listed(labels)}: {ranking}."


def _on_sources(verdict: Verdict, rows: list[Row]) -> str:
    (method,) = verdict.methods
    where: dict[str, list[str]] = {"more than either source": [], "between them": [], "less than either": []}
    more, between, less = where.values()
    for row in rows:
        if row.name in ("en", "sf", "ag"):
            value, sources = row.values[0].mean, row.sources
            (more if value > max(sources) else less if value < min(sources) else between).append(row.title)
    found = [f"{phrase} in {listed(titles)}" for phrase, titles in where.items() if titles]
    pairs = counted(len(method.pairs), "pair")
    sentence = f"{pairs}, fused by {method.label}: {', '.join(found)}."
    if method.flicker is None:
        return sentence
    return f"{sentence} Where both sources stand still it flickers by {number(method.flicker)} grey levels."


def _on_pairing(recording: Recording) -> str:
    sentence = (
        f"In pairs are {_paired('thermal', recording.thermal)} and {_paired('RGB', recording.rgb)}, their stamps at"
        f" most {recording.offset_ms_max:.1f} ms apart"
    )
    gaps = [
        f"{counted(len(camera.gaps), 'gap')} in {name}{longest}"
        for name, camera in _cameras(recording)
        if camera.gaps
        for longest in [f" (longest {camera.longest_gap_ms:.0f} ms)" if camera.longest_gap_ms is not None else ""]
    ]
    return f"{sentence}; {listed(gaps) if gaps else 'neither camera has a gap'}."


def _paired(name: str, camera: CameraSummary) -> str:
    if camera.paired == camera.messages:
        return f"all {camera.messages} {name} frames"
    return f"{camera.paired} of {camera.messages} {name} frames"


@dataclass(frozen=True)
class Fact:
    """A number that is read at a glance; `alarming` where something was lost."""

    label: str
    value: str
    alarming: bool = False


def facts(verdict: Verdict) -> list[Fact]:
    """What a reader looks for first, in a few words each."""
    shown = [Fact("pairs scored", str(most_pairs(verdict)))]
    recording = verdict.recording
    if recording is not None:
        gaps = len(recording.thermal.gaps) + len(recording.rgb.gaps)
        shown += [
            Fact("recorded", f"{recording.duration_s:.1f} s"),
            *(_share_paired(name, camera) for name, camera in _cameras(recording)),
            Fact("largest offset", f"{recording.offset_ms_max:.1f} ms"),
            Fact("gaps", str(gaps), gaps > 0),
        ]
    shown.append(Fact("left out", str(len(verdict.skipped)), bool(verdict.skipped)))
    return shown


@dataclass(frozen=True)
class AccountRow:
    """One line of the cameras' accounts: `indented` for a reason of the line above."""

    label: str
    thermal: str
    rgb: str
    indented: bool = False


def account_rows(recording: Recording) -> list[AccountRow]:
    """Every message of both cameras in its account, then what their stamps say."""
    cameras = (recording.thermal, recording.rgb)
    rows = [AccountRow("messages", *(str(camera.messages) for camera in cameras))]
    for name in ("paired", "unpaired", "superseded"):
        rows.append(AccountRow(name, *(_share(getattr(camera, name), camera) for camera in cameras)))
    for name in ("refused", "unreadable"):
        reasons: list[dict[str, int]] = [getattr(camera, name) for camera in cameras]
        totals = (_share(sum(counts.values()), camera) for counts, camera in zip(reasons, cameras, strict=True))
        rows.append(AccountRow(name, *totals))
        for reason in sorted({*reasons[0], *reasons[1]}):
            counts = (str(counts.get(reason, 0)) for counts in reasons)
            rows.append(AccountRow(reason.replace("_", " "), *counts, indented=True))
    rows.append(AccountRow("rate", *(_measure(camera.rate_hz, "Hz") for camera in cameras)))
    rows.append(AccountRow("gaps", *(str(len(camera.gaps)) for camera in cameras)))
    rows.append(AccountRow("longest between frames", *(_measure(camera.longest_gap_ms, "ms") for camera in cameras)))
    calibrated = (("yes" if camera.calibrated else "no") for camera in cameras)
    return [AccountRow("topic", *(camera.topic for camera in cameras)), *rows, AccountRow("calibrated", *calibrated)]


def _cameras(recording: Recording) -> tuple[tuple[str, CameraSummary], ...]:
    return (("thermal", recording.thermal), ("RGB", recording.rgb))


def _share_paired(name: str, camera: CameraSummary) -> Fact:
    paired = _percent(camera.paired, camera.messages)
    return Fact(f"{name} frames paired", paired, camera.paired < camera.messages)


def _share(count: int, camera: CameraSummary) -> str:
    return f"{count} ({_percent(count, camera.messages)})" if count else "0"


def _percent(count: int, of: int) -> str:
    """100 % is only said when nothing is missing."""
    return "100 %" if count == of else f"{min(100 * count / of, 99.9):.1f} %"


def _measure(value: float | None, unit: str) -> str:
    return "unknown" if value is None else f"{value:.1f} {unit}"
