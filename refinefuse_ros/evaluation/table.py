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

"""The verdict in the terminal: a table of the metrics, and how the recording's cameras met."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from refinefuse_ros.evaluation.detection.scoring import Detection
from refinefuse_ros.evaluation.metric_texts import METRIC_TEXTS, SOURCES_ALONE, MetricText
from refinefuse_ros.evaluation.recording import Recording
from refinefuse_ros.evaluation.verdict import Method, Verdict


def print_verdict(verdict: Verdict) -> None:
    """Print the metrics to stdout: with their spread and worst pair, or of several methods side by side."""
    count, seconds = max(len(method.pairs) for method in verdict.methods), verdict.seconds
    table = Table(
        title=_title(verdict),
        title_justify="left",
        caption=f"{seconds:.1f} s, {count / seconds:.1f} pairs a second",
        caption_justify="left",
    )
    table.add_column("metric")
    table.add_column("better")
    if len(verdict.methods) == 1:
        _add_spread(table, verdict.methods[0])
    else:
        _add_means(table, verdict.comparable())
    Console().print(table)
    if verdict.alignment.fault:
        print(verdict.alignment.fault)
    if verdict.detection:
        _print_detection(verdict.detection)
    if verdict.recording:
        _print_recording(verdict.recording)


def _title(verdict: Verdict) -> str:
    if len(verdict.methods) > 1:
        return f"means over the {len(verdict.comparable()[0].pairs)} pairs that all have, * the best"
    (method,) = verdict.methods
    if method.engine is None:
        return f"{len(method.pairs)} pairs, fused images from {method.label}"
    engine = method.engine
    return f"{len(method.pairs)} pairs fused by {engine['model']}, {engine['precision']} by {engine['backend']}"


def _add_spread(table: Table, method: Method) -> None:
    for heading in ("mean", "std", "worst"):
        table.add_column(heading, justify="right")
    table.add_column("worst pair")
    summaries = method.summary()
    for name, number in method.numbers().items():
        if name in summaries:
            summary = summaries[name]
            values = (f"{value:.4f}" for value in (summary.mean, summary.std, summary.worst_value))
            table.add_row(*_names(METRIC_TEXTS[name]), *values, summary.worst_pair)
        elif number is not None:
            table.add_row(*_names(METRIC_TEXTS[name]), f"{number:.4f}", "", "", "")


def _add_means(table: Table, methods: list[Method]) -> None:
    for method in methods:
        table.add_column(method.label, justify="right")
    numbers = [method.numbers() for method in methods]
    for name in numbers[0]:
        of_methods = [of_method[name] for of_method in numbers]
        known = [number for number in of_methods if number is not None]
        if known:
            text = METRIC_TEXTS[name]
            best = text.better.best(known)
            table.add_row(*_names(text), *(_cell(number, number == best) for number in of_methods))


def _print_detection(detection: Detection) -> None:
    table = Table(
        title=f"AP50 (AP) of {detection.detector} ({detection.family}) on {detection.pictures} labelled pairs",
        title_justify="left",
    )
    table.add_column("class")
    table.add_column("objects", justify="right")
    for label in detection.scores:
        table.add_column(SOURCES_ALONE.get(label, label), justify="right")
    for name, objects, scores in detection.rows():
        best = max(ap50 for ap50, _ in scores)
        table.add_row(name, str(objects), *(f"{_cell(ap50, ap50 == best)} ({ap:.4f})" for ap50, ap in scores))
    Console().print(table)


def _names(text: MetricText) -> tuple[str, str]:
    return text.title, text.better.word


def _cell(number: float | None, best: bool) -> str:
    if number is None:
        return "-"
    return f"[bold]* {number:.4f}[/bold]" if best else f"{number:.4f}"


def _print_recording(recording: Recording) -> None:
    print(
        f"{recording.pairs} pairs, {recording.failed} failed; RGB minus thermal stamp"
        f" {recording.offset_ms_median:+.2f} ms median, at most {recording.offset_ms_max:.2f} ms apart;"
        f" {recording.resets} jump(s) back"
    )
    for name, camera in (("thermal", recording.thermal), ("rgb", recording.rgb)):
        rate = f"{camera.rate_hz:.1f} Hz" if camera.rate_hz else "one frame"
        gap = f", longest {camera.longest_gap_ms:.0f} ms" if camera.gaps else ""
        print(
            f"{name:<8} {camera.topic}: {camera.messages} frames at {rate}, {camera.paired} paired,"
            f" {camera.unpaired} unpaired, {camera.superseded} superseded, {sum(camera.refused.values())} refused,"
            f" {sum(camera.unreadable.values())} unreadable; {len(camera.gaps)} gap(s){gap}"
        )
