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

"""The verdict on a live run, of a demonstration or a replay: what the recorder saw and the nodes said, as numbers."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from refinefuse_ros import __version__
from refinefuse_ros.stream.delivery import Delivery, counted, mean

VIDEO = "fused.mp4"
CONTACT_SHEET = "contact_sheet.png"
REPORT = "report.json"
# How the statuses of the players, and the one of the fusion node that counts frames, end; a node's name comes before.
PLAYBACK = ": playback"
FRAMES = ": frames"


class LatencyFrom(Enum):
    """Where the measured latency begins; the value completes the sentence "latency from ..."."""

    STAMP = "stamp to viewer"
    PUBLICATION = "publication to viewer"
    NOWHERE = "not measured"


@dataclass(frozen=True)
class LiveRun:
    """What the recorder of a run saw.

    Attributes:
        source: what was played, by name.
        statuses: the newest of each diagnostic status by its name: level, message, and values as text.
        rounds: each round's numbers; one, where the source was played once.
        latency_from: where their latencies begin.
        seconds: of the stream's own time, from the first to the last fused stamp.
        fused_frames: fused images that arrived, frames passed through included.
        video_frames: of those, how many are in the video.
        output: the folder with the video and the contact sheet.
    """

    source: str
    statuses: dict[str, dict[str, Any]]
    rounds: list[Delivery]
    latency_from: LatencyFrom
    seconds: float
    fused_frames: int
    video_frames: int
    output: Path


def playback_values(statuses: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What the player says of itself; empty where none of ours plays."""
    return next((_values(status) for name, status in statuses.items() if name.endswith(PLAYBACK)), {})


def sent_values(statuses: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What the player says of itself once it has finished; while it plays, its counts and the others' do not match."""
    values = playback_values(statuses)
    return values if values.get("finished") else {}


def fusion_values(statuses: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """The values of one of the fusion node's statuses, such as "frames"; empty before the first."""
    return next((_values(status) for full_name, status in statuses.items() if full_name.endswith(f": {name}")), {})


def live_report(run: LiveRun) -> dict[str, Any]:
    """The run as one object of numbers, fit for JSON. With three or more rounds the best and the worst do not count."""
    counts = counted(run.rounds)
    total = mean([one for one, counts_too in zip(run.rounds, counts, strict=True) if counts_too])
    playback = playback_values(run.statuses)
    sent = sent_values(run.statuses)
    latency, frames = fusion_values(run.statuses, "latency"), fusion_values(run.statuses, "frames")
    return {
        "fused_rate_hz": total.rate_hz,
        "latency_from": run.latency_from.value,
        "viewer_latency_ms_p50": total.latency_ms_p50,
        "viewer_latency_ms_p90": total.latency_ms_p90,
        "viewer_latency_ms_p99": total.latency_ms_p99,
        "viewer_latency_ms_max": total.latency_ms_max,
        "viewer_jitter_ms": total.jitter_ms,
        "frames": {name: getattr(total, name) for name in ("sent", "fused", "unpaired", "missed")},
        "rounds": [
            {**one.to_dict(), "counted": counts_too} for one, counts_too in zip(run.rounds, counts, strict=True)
        ],
        **_node_latency(latency, run.latency_from),
        "stages": {key: value for key, value in latency.items() if key.startswith("stage_")},
        "ledger": frames,
        "transport": {
            "thermal_sent": sent.get("thermal_published"),
            "rgb_sent": sent.get("rgb_published"),
            "thermal_lost": _difference(sent.get("thermal_published"), frames.get("thermal_received")),
            "rgb_lost": _difference(sent.get("rgb_published"), frames.get("rgb_received")),
            "fused_lost": _difference(_published(frames), run.fused_frames),
        },
        "engine": fusion_values(run.statuses, "engine"),
        "output": {
            "video": str(run.output / VIDEO),
            "contact_sheet": str(run.output / CONTACT_SHEET),
            "frames": run.video_frames,
        },
        "source": {
            "description": playback.get("source") or run.source,
            "name": run.source,
            "seconds": run.seconds,
            "losses": playback.get("losses", ""),
        },
        "machine": {
            "cpus": os.cpu_count(),
            "platform": platform.platform(),
            "python": platform.python_version(),
        },
        "version": __version__,
    }


def summary(report: dict[str, Any]) -> str:
    """The report in a few lines, for people."""
    ledger, engine, frames = report["ledger"], report["engine"], report["frames"]
    rounds, stages = report["rounds"], report["stages"]
    precision = f"{engine.get('precision')} by {engine.get('backend')}"
    lines = [
        f"source   {report['source']['description']}",
        f"engine   {engine.get('model')} {precision} on {engine.get('device')}",
        f"rate     {_number(report['fused_rate_hz'])} Hz, {_frames(frames)}",
        f"latency  {_latency(report)}; engine {_number(stages.get('stage_engine_ms_p50'))} ms p50,"
        f" rest of the node {_number(report['outside_engine_ms_p50'])} ms p50",
    ]
    if len(rounds) > 1:
        lines += [_round_line(number, one) for number, one in enumerate(rounds, 1)]
    if ledger:
        lines.append(_ledger_line(ledger, report["transport"]))
    if report["source"]["losses"]:
        lines.append(f"losses   {report['source']['losses']}")
    return "\n".join([*lines, f"video    {report['output']['video']}", f"picture  {report['output']['contact_sheet']}"])


def _values(status: dict[str, Any]) -> dict[str, Any]:
    return {key: _parsed(value) for key, value in status.get("values", {}).items()}


def _parsed(text: str) -> bool | int | float | str:
    """A diagnostic value as what it says: they travel as text."""
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _node_latency(latency: dict[str, Any], latency_from: LatencyFrom) -> dict[str, Any]:
    """What the fusion node measured itself. What begins at the stamp is left out where /clock, a coarse one, ran."""
    names = ["outside_engine_ms_p50", "outside_engine_ms_p99"]
    if latency_from is LatencyFrom.STAMP:
        names += ["latency_ms_p50", "latency_ms_p99", "latency_beside_engine_ms_p50", "latency_beside_engine_ms_p99"]
    return {name: latency.get(name) for name in names}


def _published(frames: dict[str, Any]) -> int | None:
    return frames["pairs_published"] + frames["passed_through"] if frames else None


def _difference(sent: int | None, arrived: int | None) -> int | None:
    return None if sent is None or arrived is None else sent - arrived


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _frames(frames: dict[str, float | None]) -> str:
    fused = f"{frames['fused']:g}"
    if frames["sent"] is None:
        return f"{fused} fused images"
    return (
        f"{fused} of {frames['sent']:g} RGB frames fused, {frames['unpaired']:g} without a thermal frame,"
        f" {frames['missed']:g} missed"
    )


def _latency(report: dict[str, Any]) -> str:
    if report["viewer_latency_ms_p50"] is None:
        return "not measured (that takes refinefuse's own player, to its end)"
    p50, p90, p99, largest = (report[f"viewer_latency_ms_{name}"] for name in ("p50", "p90", "p99", "max"))
    return (
        f"{p50:.1f} ms p50, {p90:.1f} p90, {p99:.1f} p99, {largest:.1f} max,"
        f" jitter {_number(report['viewer_jitter_ms'])} from {report['latency_from']}"
    )


def _round_line(number: int, one: dict[str, Any]) -> str:
    return (
        f"round {number}  {_number(one['rate_hz'])} Hz, {one['fused']:g} fused, {one['missed']:g} missed;"
        f" {_number(one['latency_ms_p50'])} ms p50, {_number(one['latency_ms_p99'])} p99,"
        f" {_number(one['latency_ms_max'])} max{'' if one['counted'] else ' (not counted)'}"
    )


def _ledger_line(ledger: dict[str, Any], lost: dict[str, Any]) -> str:
    line = (
        f"ledger   {ledger['pairs_formed']} pairs: {ledger['pairs_published']} published,"
        f" {ledger['pairs_superseded']} superseded, {ledger['pairs_failed']} failed;"
        f" {'balanced' if ledger['balanced'] else 'NOT BALANCED'}"
    )
    if lost["rgb_lost"] is None:
        return line
    return (
        f"{line}; lost in transport: {lost['thermal_lost']} thermal, {lost['rgb_lost']} rgb, {lost['fused_lost']} fused"
    )
