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

"""The page itself: everything that the template shows, its scripts and its pictures, in one HTML text.

Names in a recording are anybody's: the template escapes them, chart labels are escaped for plotly's own markup, and
the page's content security policy runs its two scripts by their hashes only and loads nothing from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from refinefuse_ros.evaluation.detection.drawing import LEAST_SHOWN_SCORE
from refinefuse_ros.evaluation.metric_texts import METRIC_TEXTS, SOURCES_ALONE, Better
from refinefuse_ros.evaluation.recording import Recording
from refinefuse_ros.evaluation.report.charts import (
    Chart,
    camera_chart,
    colour_of,
    latency_chart,
    offset_chart,
    spread_charts,
)
from refinefuse_ros.evaluation.report.numbers import most_pairs, number, summary_rows
from refinefuse_ros.evaluation.report.pictures import PictureStore, ShownPicture, aspect_ratio, layer_names
from refinefuse_ros.evaluation.report.sentences import account_rows, facts, source_name, verdict_sentences
from refinefuse_ros.evaluation.scorecard import RANKED_NAMES
from refinefuse_ros.evaluation.verdict import Gallery, Method, Verdict

_PACKAGE: Final = "refinefuse_ros.evaluation.report"
_TEMPLATES: Final = "templates"
# Above this the numbers of every pair stay in the JSON file, and the page has those of the summary.
_MOST_NUMBERS: Final = 5000


@dataclass(frozen=True)
class WorstPair:
    """One of a metric's worst pairs: its value and its pictures."""

    value: float
    picture: ShownPicture


@dataclass(frozen=True)
class WorstOfMetric:
    """The worst pairs of one method by one metric, the worst first."""

    title: str
    better: Better
    pairs: list[WorstPair]


def render_page(verdict: Verdict, gallery: Gallery) -> str:
    """The HTML text of the page."""
    rows = summary_rows(verdict)
    store = PictureStore()
    moments = [store.add(picture, verdict.methods) for picture in gallery.moments]
    worst = [_worst_of(method, gallery, store, verdict.methods) for method in verdict.methods]
    in_sequence = verdict.recording is not None or any(moment.seconds is not None for moment in moments)
    spread = spread_charts(verdict, in_sequence)
    recorded = _recording_charts(verdict.recording) if verdict.recording else {}
    plotly, script = Markup(get_plotlyjs()), Markup(_text("report.js"))
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            verdict=verdict,
            source=source_name(verdict),
            sentences=verdict_sentences(verdict, rows),
            facts=facts(verdict),
            most_pairs=most_pairs(verdict),
            rows=rows,
            colours=[colour_of(index) for index in range(len(verdict.methods))],
            layers=layer_names(verdict.methods),
            moments=[asdict(moment) for moment in moments],
            worst=worst,
            alone=SOURCES_ALONE,
            boxes=[store.add(picture, verdict.methods) for picture in gallery.boxes],
            least_score=LEAST_SHOWN_SCORE,
            aspect=aspect_ratio(gallery.moments),
            in_sequence=in_sequence,
            spread=spread,
            recorded=recorded,
            accounts=account_rows(verdict.recording) if verdict.recording else [],
            figures={chart.name: chart.figure for chart in (*spread, *recorded.values())},
            uris=store.uris,
            numbers=_numbers(verdict),
            style=Markup(_text("report.css")),
            plotly=plotly,
            script=script,
            script_hashes=[_csp_hash(plotly), _csp_hash(script)],
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_PACKAGE, _TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}
    return environment


def _worst_of(method: Method, gallery: Gallery, store: PictureStore, methods: list[Method]) -> list[WorstOfMetric]:
    pairs = {pair.name: pair for pair in method.pairs}
    by_metric = gallery.worst.get(method.label, {})
    return [
        WorstOfMetric(
            text.title,
            text.better,
            [WorstPair(pairs[picture.name].value(name), store.add(picture, methods)) for picture in by_metric[name]],
        )
        for name, text in METRIC_TEXTS.items()
        if by_metric.get(name)
    ]


def _recording_charts(recording: Recording) -> dict[str, Chart]:
    charts = [camera_chart(recording), offset_chart(recording)]
    if recording.latency is not None and recording.latency.seconds:
        charts.append(latency_chart(recording.latency))
    return {chart.name: chart for chart in charts}


def _numbers(verdict: Verdict) -> dict[str, Any]:
    """The verdict as JSON data; without the single pairs where they are many."""
    numbers = verdict.to_dict()
    if sum(len(method.pairs) for method in verdict.methods) * len(RANKED_NAMES) > _MOST_NUMBERS:
        for method in (numbers, *numbers["compared"]):
            del method["pairs"]
    return numbers


def _text(name: str) -> str:
    return (files(_PACKAGE) / _TEMPLATES / name).read_text(encoding="utf-8")


def _csp_hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
