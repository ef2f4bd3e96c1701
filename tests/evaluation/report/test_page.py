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

"""The page is whole, holds everything and loads nothing; names from a recording stay text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("jinja2", reason="the extra report is not installed")
pytest.importorskip("plotly", reason="the extra report is not installed")

from refinefuse_ros.errors import UserError
from refinefuse_ros.evaluation import report
from refinefuse_ros.evaluation.recording import LiveLatency, Recording
from refinefuse_ros.evaluation.report.page import render_page
from refinefuse_ros.evaluation.report.pictures import PictureStore
from refinefuse_ros.evaluation.scorecard import METRIC_NAMES, RANKED_NAMES
from refinefuse_ros.evaluation.verdict import Gallery, Verdict

HOSTILE = "/<script>window.attacked = 1</script>\"'&"
MakeVerdict = Callable[..., tuple[Verdict, Gallery]]


class Page(HTMLParser):
    """What a browser would find: elements with attributes, visible text by section, scripts by type."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._inside: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        self._inside.append(tag)

    def handle_data(self, data: str) -> None:
        if self._inside[-1:] == ["script"]:
            self.scripts.append((self.elements[-1][1], data))
        elif self._inside[-1:] != ["style"]:
            self.text += f" {data.strip()}"

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop() != tag:
            continue

    def data(self, name: str) -> object:
        return next(json.loads(text) for attributes, text in self.scripts if attributes.get("id") == name)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def compared(make_verdict: MakeVerdict) -> tuple[Verdict, Gallery, Page]:
    """A verdict on two methods, and its page."""
    verdict, gallery = make_verdict("nano", "base")
    return verdict, gallery, page_of(verdict, gallery)


def page_of(verdict: Verdict, gallery: Gallery) -> Page:
    return Page(render_page(verdict, gallery))


def test_the_page_loads_nothing_and_runs_only_its_two_scripts(compared: tuple[Verdict, Gallery, Page]) -> None:
    _, _, page = compared
    for _, attributes in page.elements:
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:")
        assert not [name for name in attributes if name.startswith("on")]
    (policy,) = [meta["content"] for meta in page.named("meta") if meta.get("http-equiv")]
    assert policy.startswith("default-src 'none';")
    run = [text for attributes, text in page.scripts if attributes.get("type") != "application/json"]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in run]
    assert len(run) == 2
    assert re.findall(r"sha256-([^']+)", policy) == hashes


def test_the_summary_has_every_number_and_marks_the_best(compared: tuple[Verdict, Gallery, Page]) -> None:
    verdict, _, page = compared
    for title in ("VIF ↑", "SCD ↑", "Qabf ↑", "SSIM ↑", "EN ↑", "SF ↑", "AG ↑", "ECG ↓", "flicker ↓"):
        assert title in page.text
    for title in ("OUTLINES ↓", "KEPT ↑", "LOST ↓", "RING →0"):
        assert title in page.text
    assert page.text.count("(best)") == 15  # of 13, in LOST and RING both
    assert f"{verdict.methods[0].summary()['vif'].mean:.3f}" in page.text
    assert "base is best in 9 of 13 numbers and nano in 6" in page.text
    assert "KEPT and LOST are over 48 warm objects." in page.text
    assert "61.50" in page.text  # what RGB alone loses


def test_every_metric_has_its_spread_and_its_worst_pairs(compared: tuple[Verdict, Gallery, Page]) -> None:
    _, _, page = compared
    plots = [div for div in page.named("div") if div.get("class") == "plot"]
    assert {plot["id"] for plot in plots} == {f"spread-{name}" for name in METRIC_NAMES} | {
        "cameras",
        "offsets",
        "latency",
    }
    assert set(page.data("figures")) == {plot["id"] for plot in plots}
    assert all(plot["role"] == "img" and ": " in plot["aria-label"] for plot in plots)
    assert len([button for button in page.named("button") if button.get("class") == "worst-pair"]) == 2 * 3 * len(
        RANKED_NAMES
    )


def test_each_picture_is_there_once_and_the_scrubber_knows_its_layers(compared: tuple[Verdict, Gallery, Page]) -> None:
    _, gallery, page = compared
    uris, moments = page.data("uris"), page.data("moments")
    assert len(uris) == len(set(uris)) == 4 * len(gallery.moments)
    assert base64.b64decode(uris[moments[1]["layers"][3]].partition(",")[2]) == gallery.moments[1].fused["base"]
    assert page.data("layer-names") == ["thermal", "RGB", "nano", "base"]
    assert all(img.get("alt") for img in page.named("img"))
    ids = {attributes["id"] for _, attributes in page.elements if attributes.get("id")}
    labelled = [control for control in page.named("input") if control["id"] != "split"]  # that one is inside its label
    assert all(control.get("aria-label") for control in labelled)
    assert {label["aria-labelledby"] for _, label in page.elements if label.get("aria-labelledby")} <= ids


def test_a_method_that_lacks_a_moment_has_no_picture_there(make_verdict: MakeVerdict) -> None:
    verdict, gallery = make_verdict("nano", "base")
    moment = replace(gallery.moments[0], fused={"nano": gallery.moments[0].fused["nano"]})
    assert PictureStore().add(moment, verdict.methods).layers == [0, 1, 2, None]
    page_of(verdict, Gallery([moment], {"base": {"vif": [moment]}}))


def test_names_are_shown_and_never_run(make_verdict: MakeVerdict) -> None:
    verdict, gallery = make_verdict("nano", HOSTILE)
    camera = replace(verdict.recording.thermal, topic=HOSTILE, refused={HOSTILE: 1})
    recording = replace(
        verdict.recording,
        path=f"bags{HOSTILE}",
        thermal=camera,
        latency=LiveLatency([1.0], [1], [2], {HOSTILE: [1]}, [1]),
    )
    page = page_of(replace(verdict, recording=recording, skipped=[HOSTILE]), gallery)
    assert len([text for attributes, text in page.scripts if attributes.get("type") != "application/json"]) == 2
    assert page.text.count(HOSTILE) > 5
    assert "<script>" not in json.dumps(page.data("figures"))  # plotly has a markup of its own


def test_stills_have_no_recording_and_no_time(make_verdict: MakeVerdict) -> None:
    page = page_of(*make_verdict("nano", of_recording=False))
    assert "(best)" not in page.text
    sections = {section["id"] for section in page.named("section")}
    assert sections == {"summary", "look", "spread", "worst", "skipped", "provenance"}
    assert "flicker" not in page.text
    assert "msrs" in page.text
    assert page.data("figures")["spread-vif"]["data"][0]["text"][3] == "still 3"


def test_without_pictures_or_diagnostics_the_page_says_so(make_verdict: MakeVerdict, recording: Recording) -> None:
    verdict, _ = make_verdict("nano")
    page = page_of(replace(verdict, recording=replace(recording, latency=None), skipped=[]), Gallery([], {}))
    assert "nothing is known of its live latency" in page.text
    assert "everything that was found was scored" in page.text
    assert not {"look", "worst"} & {section["id"] for section in page.named("section")}


def test_a_recording_of_one_pair_has_a_page(make_verdict: MakeVerdict, recording: Recording) -> None:
    verdict, gallery = make_verdict("nano", count=1)
    camera = replace(recording.rgb, rate_hz=None, longest_gap_ms=None, received=[], dropped=[])
    figures = page_of(replace(verdict, recording=replace(recording, rgb=camera)), gallery).data("figures")
    assert figures["spread-vif"]["data"][0]["mode"] == "markers"


def test_the_numbers_are_inside_for_machines(compared: tuple[Verdict, Gallery, Page]) -> None:
    verdict, _, page = compared
    assert page.data("verdict") == json.loads(verdict.to_json())


def test_a_long_recording_makes_no_long_page(make_verdict: MakeVerdict) -> None:
    short, long = (make_verdict("nano", count=count) for count in (800, 4000))
    pages = [page_of(verdict, Gallery([], {})) for verdict, _ in (short, long)]
    sizes = [sum(len(text) for attributes, text in page.scripts if attributes.get("type")) for page in pages]
    assert sizes[1] < 1.1 * sizes[0]
    figure = pages[1].data("figures")["spread-vif"]
    lowest = min(pair.metrics.vif for pair in long[0].methods[0].pairs)
    assert min(figure["data"][0]["y"]) == pytest.approx(lowest, rel=1e-4)  # no pair is lost by thinning
    assert "pairs" not in pages[1].data("verdict")


def test_a_missing_package_is_one_sentence(make_verdict: MakeVerdict, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(report, "find_spec", lambda name: None if name == "plotly" else object())
    with pytest.raises(UserError, match="needs plotly, which is not installed; install the extra report"):
        report.write_report(*make_verdict("nano"), tmp_path / "r.html")
    assert not any(tmp_path.iterdir())


def test_the_page_is_written_whole_or_not_at_all(make_verdict: MakeVerdict, tmp_path: Path) -> None:
    verdict, gallery = make_verdict("nano")
    report.write_report(verdict, gallery, tmp_path / "new" / "r.html")
    assert (tmp_path / "new" / "r.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
    (tmp_path / "taken.html").mkdir()
    with pytest.raises(UserError, match=r"taken\.html cannot be written"):
        report.write_report(verdict, gallery, tmp_path / "taken.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "taken.html"]
