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

"""The charts of the page. Their ink (text, axes, grid) is left to the style sheet, which knows light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go

from refinefuse_ros.evaluation.metric_texts import METRIC_TEXTS
from refinefuse_ros.evaluation.recording import CameraSummary, LiveLatency, Recording
from refinefuse_ros.evaluation.report.numbers import counted, number
from refinefuse_ros.evaluation.scorecard import METRIC_NAMES
from refinefuse_ros.evaluation.verdict import Method, Verdict

# Mid-tones that stand out from white and from near-black alike, and from each other for colour-blind eyes too.
METHOD_COLOURS: Final = ("#12946f", "#8a63d2", "#c2477f", "#8c7a1e", "#5b7083")
THERMAL_COLOUR: Final = "#d9772b"
RGB_COLOUR: Final = "#3f83c9"
DROPPED_COLOUR: Final = "#d64545"
OFFSET_COLOUR: Final = "#76879a"
STAGE_COLOURS: Final = ("#7aa6c2", "#4f86b0", "#2f6690", "#9a8fc0", "#7566a6", "#b9a66b", "#8d7f45")

# More points than pixels are shown as so many stretches: their means, with their lowest and highest values.
_MOST_POINTS: Final = 400
_MOST_GAPS: Final = 500
_SIGNIFICANT_DIGITS: Final = 5


@dataclass(frozen=True)
class Chart:
    """One chart: `figure` as plotly.js takes it, `summary` for those who cannot see it, `height` in CSS pixels."""

    name: str
    title: str
    note: str
    summary: str
    height: int
    figure: dict[str, Any]


@dataclass(frozen=True)
class TimeAxis:
    """Where each method's pairs lie: seconds since the first pair of all, or the number of the frame."""

    title: str
    positions: list[np.ndarray]


def colour_of(index: int) -> str:
    """The colour of a method by its place in the verdict."""
    return METHOD_COLOURS[index % len(METHOD_COLOURS)]


def time_axis(methods: Sequence[Method]) -> TimeAxis:
    """Pairs that are all named by ever later stamps in seconds lie in time, others one after the other."""
    try:
        stamps = [np.array([float(pair.name) for pair in method.pairs]) for method in methods]
    except ValueError:
        stamps = []
    if stamps and all(np.isfinite(times).all() and (np.diff(times) > 0).all() for times in stamps):
        start = min(times[0] for times in stamps)
        return TimeAxis("s", [times - start for times in stamps])
    return TimeAxis("frame", [np.arange(len(method.pairs), dtype=float) for method in methods])


def spread_charts(verdict: Verdict, in_sequence: bool) -> list[Chart]:
    """For each metric how the pairs spread and, where they come one after the other, when."""
    axis = time_axis(verdict.methods) if in_sequence else None
    return [_spread(name, verdict.methods, axis) for name in METRIC_TEXTS if name in METRIC_NAMES]


def _spread(name: str, methods: list[Method], axis: TimeAxis | None) -> Chart:
    text = METRIC_TEXTS[name]
    figure = go.Figure()
    for index, method in enumerate(methods):
        values = np.array([getattr(pair.metrics, name) for pair in method.pairs])
        if axis is None:
            _add_strip(figure, method, colour_of(index), values)
        else:
            _add_over_time(figure, method, colour_of(index), values, axis.positions[index], axis.title)
    height = 56 + 44 * len(methods) if axis is None else 210
    layout = _strip_layout() if axis is None else _time_layout(len(methods), axis.title)
    summary = "; ".join(_in_words(method, name) for method in methods)
    note = f"{text.says}; {text.better.word} is better"
    return Chart(f"spread-{name}", text.title, note, summary, height, _finished(figure, height, **layout))


def _strip_layout() -> dict[str, Any]:
    return {
        "xaxis": {"nticks": 6, "zeroline": False},
        "yaxis": _ordinate(showticklabels=False, showgrid=False, zeroline=False, autorange="reversed"),
    }


def _time_layout(methods: int, unit: str) -> dict[str, Any]:
    """The courses side by side with a narrow place for each method's box, on the same ordinate."""
    boxes = 1 - min(0.06 * methods, 0.3)
    hidden = {"showticklabels": False, "showgrid": False, "zeroline": False}
    return {
        "xaxis": {"domain": [0, boxes - 0.02], "nticks": 7, "zeroline": False, **_in_unit(unit)},
        "xaxis2": {"domain": [boxes, 1], "anchor": "y", **hidden},
        "yaxis": _ordinate(nticks=5, zeroline=False),
    }


def _in_words(method: Method, name: str) -> str:
    values = [getattr(pair.metrics, name) for pair in method.pairs]
    low, median, high = np.quantile(values, [0, 0.5, 1])
    return f"{method.label}: median {number(median)}, {number(low)} to {number(high)}"


def _add_over_time(
    figure: go.Figure, method: Method, colour: str, values: np.ndarray, times: np.ndarray, unit: str
) -> None:
    stretches = _stretches(len(values))
    x = _taken(times, stretches, np.mean)
    if len(values) > len(stretches):
        band = {"x": x, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
        figure.add_scatter(y=_taken(values, stretches, np.min), **band)
        figure.add_scatter(y=_taken(values, stretches, np.max), fill="tonexty", fillcolor=_faint(colour), **band)
    figure.add_scatter(
        x=x,
        y=_taken(values, stretches, np.mean),
        mode="lines" if len(values) > 1 else "markers",
        line={"color": colour, "width": 1.5},
        marker={"color": colour},
        hovertemplate=f"%{{x}} {unit}: %{{y:.3f}}<extra>{escape(method.label)}</extra>",
    )
    figure.add_box(x=[escape(method.label)], xaxis="x2", **_box(colour, values, "y"))


def _add_strip(figure: go.Figure, method: Method, colour: str, values: np.ndarray) -> None:
    label = escape(method.label)
    if len(values) > _MOST_POINTS:
        figure.add_box(y=[label], **_box(colour, values, "x"))
        return
    figure.add_box(
        x=_rounded(values),
        y=[label] * len(values),
        orientation="h",
        boxpoints="all",
        jitter=0.5,
        pointpos=0,
        marker={"color": colour, "size": 4, "opacity": 0.75},
        line={"color": colour, "width": 1},
        fillcolor=_faint(colour),
        hoveron="points",
        text=[escape(pair.name) for pair in method.pairs],
        hovertemplate=f"%{{text}}: %{{x:.3f}}<extra>{label}</extra>",
    )


def _box(colour: str, values: np.ndarray, along: str) -> dict[str, Any]:
    """A box of quartiles whose whiskers are the lowest and the highest value."""
    low, first, median, third, high = _rounded(np.quantile(values, [0, 0.25, 0.5, 0.75, 1]))
    return {
        "q1": [first],
        "median": [median],
        "q3": [third],
        "lowerfence": [low],
        "upperfence": [high],
        "orientation": "v" if along == "y" else "h",
        "line": {"color": colour, "width": 1.2},
        "fillcolor": _faint(colour),
        "hoverinfo": along,
    }


def offset_chart(recording: Recording) -> Chart:
    """The distances of the stamps of a pair."""
    edges = np.array(recording.offset_bins_ms)
    figure = go.Figure()
    figure.add_bar(
        x=_rounded((edges[:-1] + edges[1:]) / 2),
        y=recording.offset_counts,
        width=_rounded(np.diff(edges)),
        marker={"color": OFFSET_COLOUR, "line": {"width": 0}},
        customdata=list(pairwise(_rounded(edges))),
        hovertemplate="%{customdata[0]} to %{customdata[1]} ms: %{y} pairs<extra></extra>",
    )
    layout = {"bargap": 0, "xaxis": {"title": _axis_title("RGB minus thermal stamp, ms")}, "yaxis": _ordinate(nticks=5)}
    summary = f"median {recording.offset_ms_median:+.2f} ms, at most {recording.offset_ms_max:.2f} ms apart"
    return Chart("offsets", "Stamps of a pair", summary, summary, 220, _finished(figure, 220, **layout))


def camera_chart(recording: Recording) -> Chart:
    """The frames of both cameras over time, those in no pair, and the gaps."""
    figure = go.Figure()
    cameras = (("thermal", recording.thermal, THERMAL_COLOUR, ""), ("RGB", recording.rgb, RGB_COLOUR, "2"))
    for name, camera, colour, axis in cameras:
        _add_camera(figure, recording.bin_s, name, camera, colour, axis)
    end_s = recording.bin_s * max(len(recording.thermal.received), len(recording.rgb.received), 1)
    layout = {
        "bargap": 0,
        "xaxis": {"anchor": "y2", "zeroline": False, "range": [0, end_s], **_in_unit("s")},
        "yaxis": _ordinate(domain=[0.55, 1], nticks=4, title=_axis_title("thermal, Hz"), rangemode="tozero"),
        "yaxis2": _ordinate(domain=[0, 0.45], nticks=4, title=_axis_title("RGB, Hz"), rangemode="tozero"),
    }
    summary = "; ".join(
        f"{name}: {counted(sum(camera.received), 'frame')}, {sum(camera.dropped)} in no pair,"
        f" {counted(len(camera.gaps), 'gap')}"
        for name, camera, _, _ in cameras
    )
    note = f"frames a second in steps of {recording.bin_s:g} s; red: in no pair; triangles: gaps"
    return Chart("cameras", "Frames over time", note, summary, 300, _finished(figure, 300, **layout))


def _add_camera(figure: go.Figure, bin_s: float, name: str, camera: CameraSummary, colour: str, axis: str) -> None:
    edges = bin_s * np.arange(len(camera.received) + 1)
    received, dropped = np.array(camera.received) / bin_s, np.array(camera.dropped) / bin_s
    figure.add_scatter(
        x=_rounded(edges),
        y=_rounded(np.append(received, received[-1:])),
        yaxis=f"y{axis}",
        mode="lines",
        line={"shape": "hv", "color": colour, "width": 1.5},
        fill="tozeroy",
        fillcolor=_faint(colour),
        hovertemplate=f"%{{x}} s: %{{y:.1f}} Hz<extra>{name}</extra>",
    )
    if dropped.any():
        figure.add_bar(
            x=_rounded(edges[:-1] + bin_s / 2),
            y=_rounded(dropped),
            width=bin_s,
            yaxis=f"y{axis}",
            marker={"color": DROPPED_COLOUR, "line": {"width": 0}},
            hovertemplate=f"%{{x}} s: %{{y:.1f}} Hz<extra>{name}, in no pair</extra>",
        )
    longest = sorted(camera.gaps, key=lambda gap: -gap.length_ms)[:_MOST_GAPS]
    if longest:
        top = 1.12 * float(received.max(initial=1.0))
        figure.add_scatter(
            x=_rounded(np.array([gap.start_s + gap.length_ms / 2000 for gap in longest])),
            y=[top] * len(longest),
            yaxis=f"y{axis}",
            mode="markers",
            marker={"symbol": "triangle-down", "size": 8, "color": DROPPED_COLOUR},
            customdata=_rounded(np.array([gap.length_ms for gap in longest])),
            hovertemplate=f"%{{x}} s: no frame for %{{customdata}} ms<extra>{name}</extra>",
        )


def latency_chart(latency: LiveLatency) -> Chart:
    """The live node's latency and its stages over time, of at least one diagnostics message."""
    figure = go.Figure()
    stretches = _stretches(len(latency.seconds))
    seconds = _taken(latency.seconds, stretches, np.mean)
    for index, (stage, times) in enumerate(latency.stages_ms_p50.items()):
        figure.add_scatter(
            x=seconds,
            y=_taken(times, stretches, np.mean),
            name=escape(stage),
            stackgroup="stages",
            mode="lines",
            line={"width": 0.5, "color": STAGE_COLOURS[index % len(STAGE_COLOURS)]},
            hovertemplate="%{y:.2f} ms",
        )
    for title, times, take, dash in (("p50", latency.p50_ms, np.mean, "solid"), ("p99", latency.p99_ms, np.max, "dot")):
        figure.add_scatter(
            x=seconds,
            y=_taken(times, stretches, take),
            name=title,
            mode="lines",
            line={"color": METHOD_COLOURS[0], "width": 2, "dash": dash},
            hovertemplate="%{y:.2f} ms",
        )
    layout = {
        "showlegend": True,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        "hovermode": "x unified",
        "xaxis": {"zeroline": False, **_in_unit("s")},
        "yaxis": _ordinate(title=_axis_title("ms"), rangemode="tozero"),
    }
    highest = max((value for value in latency.p99_ms if math.isfinite(value)), default=math.nan)
    note = "lines: from the stamp to the published image; areas: the medians of its stages"
    summary = f"p99 at most {number(highest)} ms; stages: {', '.join(latency.stages_ms_p50) or 'none'}"
    return Chart("latency", "Live latency", note, summary, 280, _finished(figure, 280, top=30, **layout))


def _finished(figure: go.Figure, height: int, top: int = 8, **layout: Any) -> dict[str, Any]:
    """The figure with its layout and what all charts share, as plain JSON data."""
    shared = {
        "template": "none",
        "height": height,
        "margin": {"l": 46, "r": 10, "t": top, "b": 36},
        "font": {"family": "system-ui, sans-serif", "size": 12},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {"bgcolor": "#22272e", "bordercolor": "#22272e", "font": {"color": "#ffffff", "size": 12}},
        "showlegend": False,
    }
    figure.update_layout({**shared, **layout})
    return figure.to_plotly_json()


def _stretches(count: int) -> list[np.ndarray]:
    """Indices of what is shown as one point each: every single one, or as many equal stretches as fit."""
    return np.array_split(np.arange(count), min(count, _MOST_POINTS))


def _taken(values: Sequence[float], stretches: list[np.ndarray], take: Callable[..., Any]) -> list[float | None]:
    every = np.asarray(values, float)
    return _rounded(np.array([take(every[stretch]) for stretch in stretches]))


def _ordinate(**settings: Any) -> dict[str, Any]:
    """Zooming is along the abscissa only."""
    return {"fixedrange": True, **settings}


def _in_unit(unit: str) -> dict[str, Any]:
    return {"ticksuffix": " s"} if unit == "s" else {"title": _axis_title(unit)}


def _axis_title(text: str) -> dict[str, Any]:
    return {"text": text, "standoff": 6, "font": {"size": 11}}


def _rounded(values: np.ndarray) -> list[float | None]:
    """Digits that no eye can tell would be most of the page; JSON has no NaN."""
    return [float(f"{value:.{_SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else None for value in values]


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"
