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

"""The page in a real browser: headless Chromium opens it from disk without a network, uses it and photographs it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("jinja2", reason="the extra report is not installed")
pytest.importorskip("plotly", reason="the extra report is not installed")
pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.sync_api import Browser, Page, expect, sync_playwright

from refinefuse_ros.evaluation.recording import LiveLatency
from refinefuse_ros.evaluation.report import write_report
from refinefuse_ros.evaluation.scorecard import METRIC_NAMES, RANKED_NAMES
from refinefuse_ros.evaluation.verdict import Gallery, Verdict

TIMEOUT_MS = 30_000
HOSTILE = "<img src=x onerror='window.attacked = 1'><script>window.attacked = 1</script>"
MakeVerdict = Callable[..., tuple[Verdict, Gallery]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    executable = next(filter(None, map(shutil.which, names)), None)
    if executable is None:
        pytest.skip("no Chromium is installed")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=executable, args=sandbox, timeout=TIMEOUT_MS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def report(make_verdict: MakeVerdict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    verdict, gallery = make_verdict("nano", "base")
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(verdict, gallery, path)
    return path


@contextmanager
def opened(browser: Browser, report: Path, width: int = 1280, scheme: str = "light") -> Iterator[Page]:
    """The page with its charts drawn; at the end nothing may have been asked of a network or complained about."""
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url))
    try:
        page.goto(report.as_uri())
        page.wait_for_selector("html[data-charts=drawn]")
        yield page
    finally:
        context.close()
    # The page itself and what it carries are the only requests.
    assert [text for text in complaints if not text.startswith((report.as_uri(), "data:"))] == []


def pixels_of(photograph: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(photograph, np.uint8), cv2.IMREAD_COLOR)


def test_every_chart_is_drawn(browser: Browser, report: Path) -> None:
    with opened(browser, report) as page:
        charts = page.eval_on_selector_all(
            ".plot",
            """plots => plots.map(plot => [
                plot.id, plot.querySelectorAll('svg.main-svg').length, plot.querySelectorAll('.trace').length,
                plot.scrollWidth <= plot.clientWidth, plot.querySelector('.main-svg').getBoundingClientRect().height,
            ])""",
        )
        assert len(charts) == len(METRIC_NAMES) + 3
        for name, drawings, traces, fits, height in charts:
            assert drawings, name
            assert traces, name
            assert fits, name
            assert height > 80, name


def test_the_keyboard_moves_plays_and_blinks(browser: Browser, report: Path) -> None:
    with opened(browser, report) as page:
        page.locator("#look").scroll_into_view_if_needed()
        first = page.get_attribute("#side-fused", "src")
        page.keyboard.press("ArrowRight")
        assert page.input_value("#scrubber") == "1"
        assert page.inner_text("#moment-name") == "0.13 s"
        assert page.get_attribute("#side-fused", "src") != first
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        assert page.input_value("#scrubber") == "5"  # around to the last moment

        scrolled = page.evaluate("window.scrollY")
        page.keyboard.press(" ")
        expect(page.locator("#scrubber")).to_have_value("2", timeout=TIMEOUT_MS)
        page.keyboard.press(" ")
        assert page.inner_text("#play") == "play"
        assert page.evaluate("window.scrollY") == scrolled

        page.keyboard.press("b")
        assert page.get_attribute("[data-mode=blink][aria-pressed]", "aria-pressed") == "true"
        for shown, visibility in (("a", "hidden"), ("b", "visible")):
            page.wait_for_selector(f"#frame[data-shown={shown}]")
            assert page.evaluate("getComputedStyle(document.getElementById('compare-b')).visibility") == visibility
        page.keyboard.press("b")
        assert page.is_visible(".triple")
        assert not page.is_visible(".compare")


def test_methods_and_layers_are_chosen_and_the_split_moves(browser: Browser, report: Path) -> None:
    with opened(browser, report) as page:
        page.select_option("#look-method", label="base")
        assert page.inner_text("#side-fused-name") == "fused by base"
        page.click("#look button[data-mode=split]")
        page.select_option("#layer-a", label="RGB")
        assert page.inner_text("#badge-a") == "RGB"
        page.fill("#split", "25")
        box = page.locator("#frame").bounding_box()
        assert page.locator(".divider").bounding_box()["x"] == pytest.approx(box["x"] + box["width"] / 4, abs=2)
        page.click("#frame", position={"x": 0.75 * box["width"], "y": 10})
        assert page.input_value("#split") == "75"


def test_worst_pairs_are_chosen_by_method_and_enlarged(browser: Browser, report: Path) -> None:
    with opened(browser, report) as page:
        assert page.locator(".worst-pair:visible").count() == 3 * len(RANKED_NAMES)
        page.select_option("#worst-method", label="base")
        page.locator(".worst-pair:visible").first.click()
        assert page.inner_text("#enlarged-title").startswith("VIF ")
        assert page.locator("#enlarged-layers figcaption").all_inner_texts() == ["thermal", "RGB", "nano", "base"]
        before = page.input_value("#scrubber")
        page.keyboard.press("ArrowRight")
        assert page.input_value("#scrubber") == before  # the keys are the dialog's while it is open
        page.keyboard.press("Escape")
        assert not page.is_visible("#enlarged")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_photograph_of_the_page_shows_it(browser: Browser, report: Path, width: int, scheme: str) -> None:
    with opened(browser, report, width, scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.evaluate("Promise.all([...document.images].filter(i => i.src).map(i => i.decode()))")
        photograph = pixels_of(page.screenshot())
        paper = photograph[2, 2].mean()
        assert (paper > 240) == (scheme == "light")
        assert photograph.std() > 5
        picture = pixels_of(page.locator("#side-thermal").screenshot())
        assert picture.mean() == pytest.approx(20, abs=15)  # dark grey, with its white number
        axis = page.locator("#spread-vif .ytick text").first
        ink = axis.evaluate("text => getComputedStyle(text).fill")
        assert ink == page.evaluate("getComputedStyle(document.querySelector('.note')).color")


def test_on_paper_it_is_light_and_the_charts_fit(browser: Browser, report: Path) -> None:
    with opened(browser, report, scheme="dark") as page:
        drawing = page.locator("#spread-scd svg.main-svg").first
        on_screen = drawing.get_attribute("width")
        page.emulate_media(media="print")
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        expect(drawing).not_to_have_attribute("width", on_screen, timeout=10_000)
        page.set_viewport_size({"width": 718, "height": 1000})
        box = drawing.bounding_box()
        assert box["x"] + box["width"] <= 718
        assert pixels_of(page.screenshot())[2, 2].mean() > 240
        assert not page.is_visible("#play")


def test_names_from_a_recording_are_text(browser: Browser, make_verdict: MakeVerdict, tmp_path: Path) -> None:
    verdict, gallery = make_verdict(HOSTILE)
    recording = replace(
        verdict.recording,
        path=f"bags/{HOSTILE}",
        thermal=replace(verdict.recording.thermal, topic=HOSTILE),
        latency=LiveLatency([1.0, 2.0], [1.0, 1.0], [2.0, 2.0], {HOSTILE: [1.0, 1.0]}, [30.0] * 2),
    )
    write_report(replace(verdict, recording=recording, skipped=[HOSTILE]), gallery, tmp_path / "report.html")
    with opened(browser, tmp_path / "report.html") as page:
        assert page.inner_text("#skipped li") == HOSTILE
        assert HOSTILE in page.inner_text(".accounts")
        assert page.locator("#latency .legendtext").first.text_content() == HOSTILE
        page.locator(".worst-pair").first.click()
        assert page.evaluate("window.attacked") is None
