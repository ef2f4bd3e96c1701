# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""`refinefuse demo`: cameras, fusion node and recorder as separate processes over real DDS.

The recorder conducts: it sees when the player has finished and everything has arrived, and ends; then the
others are ended. They live on a ROS domain of their own.
"""

from __future__ import annotations

import json
import os
import platform
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from refinefuse_ros import __version__
from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.errors import UserError
from refinefuse_ros.image.sources import SYNTHETIC_RATE_HZ, open_folder

# Processes get this long to end after SIGINT, then they are killed.
STOP_S = 3.0
# For engine, discovery and the first frame on a slow machine.
START_S = 90.0
# 1 to 101 are the domains whose ports lie below Linux's ephemeral range.
DOMAINS = range(1, 102)


class DemoError(UserError):
    """The demonstration did not work; the message says which part failed."""


def node_command(executable: str, parameters: Mapping[str, object]) -> list[str]:
    """The command line that runs one of the package's nodes with this Python."""
    command = [sys.executable, "-m", f"refinefuse_ros.nodes.{executable}", "--ros-args"]
    for name, value in parameters.items():
        command += [
            "-p",
            f"{name}:={json.dumps(value)}",
        ]  # JSON is YAML: quotes strings, spells booleans in lower case
    return command


def run_foreground(command: list[str]) -> None:
    """Run a node until it ends or Ctrl-C.

    Raises:
        DemoError: it ended with an error (which it has printed).
    """
    process = subprocess.Popen(command)
    try:
        process.wait()
    except KeyboardInterrupt:
        _stop(process)  # it got the terminal's Ctrl-C too
        raise
    if process.returncode:
        raise DemoError(f"{command[2]} ended with status {process.returncode}.")


def run_demo(
    *, source: str, seconds: float, rate_hz: float | None, output: Path, request: EngineRequest, quiet: bool
) -> dict[str, Any]:
    """Stream for `seconds`; leave fused.mp4, contact_sheet.png and report.json in `output`; return the report.

    Raises:
        SourceError: the source cannot be played.
        DemoError: a process failed, or nothing was fused.
    """
    source_rate_hz = SYNTHETIC_RATE_HZ
    if source != "synthetic":
        first = next(iter(open_folder(Path(source).expanduser())))
        source_rate_hz = 1 / first.period_s
    rate = rate_hz or source_rate_hz
    pairs = max(1, round(seconds * rate))
    output.mkdir(parents=True, exist_ok=True)
    commands = {
        "recorder": node_command(
            "recorder", {"output": str(output), "rate_hz": float(rate), "duration_s": float(seconds)}
        ),
        "fusion_node": node_command(
            "fusion_node",
            {
                "model": request.model,
                "engine.backend": request.backend,
                "engine.precision": request.precision,
                "engine.device": request.device,
            },
        ),
        "camera_player": node_command(
            "camera_player",
            {"source": source, "rate_hz": float(rate_hz or 0), "pairs": pairs, "wait_for_subscribers": 2},
        ),
    }
    domain = random.choice([d for d in DOMAINS if str(d) != os.environ.get("ROS_DOMAIN_ID")])
    environment = os.environ | {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    processes: dict[str, subprocess.Popen[str]] = {}
    with ExitStack() as stack:
        stack.callback(lambda: _stop(*processes.values()))
        for name, command in commands.items():
            log = stack.enter_context((output / f"{name}.log").open("w"))
            processes[name] = subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.PIPE if name == "recorder" else log,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C reaches this process only; it ends the others
            )
        final = _watch(processes, seconds, output, quiet)
    report = _report(final, source, seconds, output)
    (output / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    if not quiet:
        _print_summary(report)
    if not report["ledger"]["balanced"]:
        raise DemoError(f"The frame ledger does not balance; see {output / 'report.json'}.")
    return report


def _watch(processes: dict[str, subprocess.Popen[str]], seconds: float, output: Path, quiet: bool) -> dict[str, Any]:
    """Show a live line until the recorder has everything; returns its last report."""
    reports = _Reports(processes["recorder"])
    deadline = time.monotonic() + START_S + 2 * seconds
    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        while not reports.ended.wait(0.25):
            for name, process in processes.items():
                if process.poll():
                    raise DemoError(f"The {name} ended with status {process.returncode}: {_last_line(output / name)}")
            if time.monotonic() > deadline:
                raise DemoError(f"The demonstration did not end in time; see the logs in {output}.")
            if not quiet:
                live.update(_live_line(reports.latest), refresh=True)
    if not reports.latest.get("final"):
        raise DemoError(f"The recorder ended early: {_last_line(output / 'recorder')}")
    if reports.latest["error"]:
        raise DemoError(reports.latest["error"])
    if reports.latest["fused_frames"] == 0:
        raise DemoError(f"No fused image arrived; see {output / 'fusion_node.log'}.")
    return reports.latest


class _Reports:
    """The recorder's reports, read as they come.

    Attributes:
        latest: the newest one, empty before the first.
        ended: set when the recorder has closed its output.
    """

    def __init__(self, recorder: subprocess.Popen[str]) -> None:
        self.latest: dict[str, Any] = {}
        self.ended = threading.Event()
        self._stdout = recorder.stdout
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._stdout:
            self.latest = json.loads(line)
        self.ended.set()


def _live_line(report: dict[str, Any]) -> str:
    frames = report.get("statuses", {}).get("fusion: frames", {}).get("values", {})
    if not report.get("fused_frames"):
        return "waiting for the cameras and the engine ..."
    return (
        f"{report['recent_rate_hz']:5.1f} Hz   stamp to viewer {report['viewer_latency_ms_p50']:5.1f} ms p50"
        f" {report['viewer_latency_ms_p99']:5.1f} ms p99   {report['fused_frames']} fused"
        f"   superseded {frames.get('pairs_superseded', '0')}   unpaired {frames.get('rgb_unpaired', '0')}"
        f"   rejected {frames.get('rgb_rejected', '0')}"
    )


def _report(final: dict[str, Any], source: str, seconds: float, output: Path) -> dict[str, Any]:
    """The recorder's last report and the nodes' last diagnostics as one object with numbers."""
    values = {
        name.partition(": ")[2]: {key: _number(value) for key, value in status["values"].items()}
        for name, status in final["statuses"].items()
    }
    latency, frames, playback = values["latency"], values["frames"], values["playback"]
    return {
        "fused_rate_hz": final["fused_rate_hz"],
        "latency_ms_p50": latency["latency_ms_p50"],
        "latency_ms_p99": latency["latency_ms_p99"],
        "viewer_latency_ms_p50": final["viewer_latency_ms_p50"],
        "viewer_latency_ms_p99": final["viewer_latency_ms_p99"],
        "viewer_latency_ms_max": final["viewer_latency_ms_max"],
        "outside_engine_ms_p50": latency["outside_engine_ms_p50"],
        "outside_engine_ms_p99": latency["outside_engine_ms_p99"],
        "latency_beside_engine_ms_p50": latency["latency_beside_engine_ms_p50"],
        "latency_beside_engine_ms_p99": latency["latency_beside_engine_ms_p99"],
        "stages": {key: value for key, value in latency.items() if key.startswith("stage_")},
        "ledger": frames,
        "transport": {
            "pairs_sent": playback["published_pairs"],
            "thermal_lost": playback["published_pairs"] - frames["thermal_received"],
            "rgb_lost": playback["published_pairs"] - frames["rgb_received"],
            "fused_lost": frames["pairs_published"] + frames["passed_through"] - final["fused_frames"],
        },
        "engine": values["engine"],
        "output": {
            "video": str(output / "fused.mp4"),
            "contact_sheet": str(output / "contact_sheet.png"),
            "frames": final["fused_frames"],
        },
        "source": {"description": playback["source"], "name": source, "seconds": seconds},
        "machine": {
            "cpus": os.cpu_count(),
            "platform": platform.platform(),
            "python": platform.python_version(),
        },
        "version": __version__,
    }


def _number(text: str) -> bool | int | float | str:
    """A diagnostic value as what it says: they travel as text."""
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _print_summary(report: dict[str, Any]) -> None:
    ledger, engine, lost = report["ledger"], report["engine"], report["transport"]
    print(f"source   {report['source']['description']}")
    print(f"engine   {engine['model']} {engine['precision']} by {engine['backend']} on {engine['device']}")
    print(f"rate     {report['fused_rate_hz']:.1f} Hz, {report['output']['frames']} fused images")
    print(
        f"latency  {report['viewer_latency_ms_p50']:.1f} ms p50, {report['viewer_latency_ms_p99']:.1f} ms p99 from"
        f" stamp to viewer; engine {report['stages']['stage_engine_ms_p50']:.1f} ms p50,"
        f" rest of the node {report['outside_engine_ms_p50']:.1f} ms p50"
    )
    print(
        f"ledger   {ledger['pairs_formed']} pairs: {ledger['pairs_published']} published,"
        f" {ledger['pairs_superseded']} superseded, {ledger['pairs_failed']} failed;"
        f" {'balanced' if ledger['balanced'] else 'NOT BALANCED'};"
        f" lost in transport: {lost['thermal_lost']} thermal, {lost['rgb_lost']} rgb, {lost['fused_lost']} fused"
    )
    print(f"video    {report['output']['video']}\npicture  {report['output']['contact_sheet']}")


def _last_line(log: Path) -> str:
    lines = [line for line in log.with_suffix(".log").read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing."


def _stop(*processes: subprocess.Popen[Any]) -> None:
    """End processes with SIGINT, all at once, and whatever is left after `STOP_S` by force."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + STOP_S
    for process in processes:
        try:
            process.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
