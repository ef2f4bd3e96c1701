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

"""What the viewer shows, in Rerun's terms: pictures side by side, and what the fusion node says of itself."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import rerun as rr
import rerun.blueprint as rrb

from refinefuse_ros.image.frame import Frame
from refinefuse_ros.nodes.statuses import Status
from refinefuse_ros.stream.health import Level
from refinefuse_ros.stream.timing import NS_PER_S

APPLICATION: Final = "refinefuse"
# Of a message; beside it Rerun keeps the time at which it was logged.
STAMP: Final = "stamp"
PICTURES: Final = {"thermal": "Thermal", "rgb": "RGB", "fused": "Fused"}
_JPEG_QUALITY: Final = 80
_FILE_S, _VIEWER_S = 60.0, 1.0
# Once a second a viewer is asked whether it has taken what was sent, and given so long to answer.
_ASKED_EVERY_S, _ANSWER_S = 1.0, 0.02
_LEVELS: Final = {Level.OK: "INFO", Level.WARN: "WARN", Level.ERROR: "ERROR", Level.STALE: "DEBUG"}


class Plotted(NamedTuple):
    """A line of a plot: where it stands, and which value of which status it is.

    Attributes:
        place: the entity's path; its first part is the plot.
        status, key: of the value.
        counts: whether the value is a sum since the start; its increase is plotted.
    """

    place: str
    status: str
    key: str
    counts: bool = False


PLOTTED: Final = (
    *(Plotted(f"latency/{name}", "latency", f"latency_ms_{name}") for name in ("p50", "p99")),
    *(
        Plotted(f"stages/{stage}", "latency", f"stage_{stage}_ms_p50")
        for stage in ("decode", "wait", "normalize", "align", "split", "engine", "join", "publish")
    ),
    Plotted("rate/fused", "rate", "fused_rate_hz"),
    *(Plotted(f"rate/{camera}", f"{camera} camera", "rate_hz") for camera in ("thermal", "rgb")),
    *(
        Plotted(f"ledger/{name}", "frames", name, counts=True)
        for name in (
            "pairs_published",
            "pairs_superseded",
            "pairs_failed",
            "rgb_unpaired",
            "thermal_rejected",
            "rgb_rejected",
            "passed_through",
        )
    ),
    *(
        Plotted(f"clocks/{name}", "frames", f"{name}_ms")
        for name in ("thermal_lag", "thermal_delay", "rgb_delay", "sync_max_wait", "sync_thermal_hold")
    ),
    Plotted("alignment/error", "alignment", "alignment_error_px"),
)
# Told apart on Rerun's light and dark grounds, whatever the lines are called.
_COLOURS: Final = (
    (31, 119, 180),
    (255, 127, 14),
    (44, 160, 44),
    (214, 39, 40),
    (148, 103, 189),
    (140, 86, 75),
    (227, 119, 194),
    (23, 190, 207),
)
_TITLES: Final = {
    "latency": "Latency, stamp to publish [ms]",
    "stages": "Stages, p50 [ms]",
    "rate": "Rates [Hz]",
    "ledger": "Frames and pairs, per second",
    "clocks": "Clocks [ms]",
    "alignment": "Thermal beside RGB [px]",
}


def blueprint() -> rrb.Blueprint:
    """Pictures above, what is measured below, what is said at the foot."""
    pictures = rrb.Horizontal(*(rrb.Spatial2DView(origin=place, name=name) for place, name in PICTURES.items()))
    legend = rrb.PlotLegend("LeftTop")
    plots = rrb.Grid(
        *(
            rrb.TimeSeriesView(origin=place, name=name, plot_legend=legend, overrides=_coloured(place))
            for place, name in _TITLES.items()
        ),
        grid_columns=3,
    )
    said = rrb.TextLogView(origin="said", name="What the node says")
    return rrb.Blueprint(
        rrb.Vertical(pictures, plots, said, row_shares=[9, 9, 4]),
        rrb.TimePanel(expanded=False, timeline="log_time"),
        rrb.BlueprintPanel(expanded=False),
        rrb.SelectionPanel(expanded=False),
    )


class RerunLog:
    """Logs pictures and statuses to one stream. Not thread-safe.

    What a viewer does not take is not kept for it: Rerun's queue has no bound. It gets the next ones once it has
    caught up.

    Args:
        width: pictures are made smaller to this longer side, pixels.
    """

    def __init__(self, width: int) -> None:
        self._stream = rr.RecordingStream(APPLICATION)
        self._width = width
        self._is_file = False
        self._counts: dict[str, float] = {}
        self._said: dict[str, str] = {}
        self._keeps_up = True
        self._asked_s = 0.0

    def connect(self, url: str) -> None:
        """Send what is logged from now on to a viewer's gRPC address."""
        self._stream.connect_grpc(url, default_blueprint=blueprint())

    def save(self, path: Path) -> None:
        """Write it to a file instead.

        Raises:
            RuntimeError: it cannot be written.
        """
        self._stream.save(path, default_blueprint=blueprint())
        self._is_file = True

    def picture(self, place: str, frame: Frame) -> None:
        """A picture, uint8, (H, W) grey or (H, W, 3) in BGR, as a JPEG."""
        if not self._is_taken():
            return
        self._stream.set_time(STAMP, timestamp=frame.stamp_ns / NS_PER_S)
        pixels = frame.pixels
        shrink = self._width / max(pixels.shape[:2])
        if shrink < 1:
            pixels = cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        _, jpeg = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY))
        self._stream.log(place, rr.EncodedImage(contents=jpeg.tobytes(), media_type="image/jpeg"))

    def statuses(self, stamp_ns: int, statuses: Mapping[str, Status]) -> None:
        """What the node measures, and each sentence that is new, by the status's last name."""
        if not self._is_taken():
            return
        self._stream.set_time(STAMP, timestamp=stamp_ns / NS_PER_S)
        for line in PLOTTED:
            value = _number(statuses, line)
            if value is None:
                continue
            if line.counts:
                before = self._counts.get(line.place, value)
                self._counts[line.place] = value
                value = max(value - before, 0.0)
            self._stream.log(line.place, rr.Scalars(value))
        for name, status in statuses.items():
            # A sentence whose numbers alone change is the same one.
            gist = "".join(letter for letter in status.message if not letter.isdigit())
            if self._said.get(name) != gist:
                self._said[name] = gist
                said = rr.TextLog(f"{name}: {status.message}", level=_LEVELS[Level(status.level)])
                self._stream.log(f"said/{name.replace(' ', '_')}", said)

    def _is_taken(self) -> bool:
        """Whether what is logged goes where it should, instead of piling up here."""
        now_s = time.monotonic()
        if not self._is_file and now_s - self._asked_s >= _ASKED_EVERY_S:
            self._asked_s = now_s
            try:
                self._stream.flush(timeout_sec=_ANSWER_S)
                self._keeps_up = True
            except RuntimeError:
                self._keeps_up = False
        return self._keeps_up

    def close(self) -> None:
        """Write what is left; it is of no use to a viewer that has ended."""
        with suppress(RuntimeError):
            self._stream.flush(timeout_sec=_FILE_S if self._is_file else _VIEWER_S)
        self._stream.disconnect()


def _coloured(plot: str) -> dict[str, rr.SeriesLines]:
    """The lines of a plot by their paths, each in a colour of its own."""
    lines = [line.place for line in PLOTTED if line.place.partition("/")[0] == plot]
    return {line: rr.SeriesLines(colors=[colour]) for line, colour in zip(lines, _COLOURS, strict=False)}


def _number(statuses: Mapping[str, Status], line: Plotted) -> float | None:
    """The value to plot; None where the node does not give it, or it is no finite number."""
    status: Any = statuses.get(line.status)
    try:
        value = float(status.values[line.key])
    except (AttributeError, KeyError, ValueError):
        return None
    return value if math.isfinite(value) else None
