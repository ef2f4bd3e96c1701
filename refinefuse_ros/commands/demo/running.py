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

"""A demonstration: cameras, fusion node and recorder as separate processes over real DDS.

The recorder conducts: it sees when the player has finished and everything has arrived, writes the report, and ends;
then the others are ended. They live on a ROS domain of their own.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from refinefuse_ros.commands.demo.cast import Cast
from refinefuse_ros.commands.processes import (
    choose_domain,
    engine_parameters,
    environment_of,
    interrupt_on_termination,
    last_line,
    node_command,
    stop,
)
from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.errors import UserError
from refinefuse_ros.machine import has_screen
from refinefuse_ros.nodes.live_report import REPORT, fusion_values, playback_values, summary
from refinefuse_ros.nodes.rerun_viewer import require_rerun

# For engine, discovery and the first frame on a slow machine, and for any later standstill.
STALL_S = 90.0


class DemoError(UserError):
    """The demonstration did not work; the message says which part failed."""


def run_demo(cast: Cast, *, output: Path, request: EngineRequest, view: bool, quiet: bool) -> dict[str, Any]:
    """Stream to the end; leave fused.mp4, contact_sheet.png and report.json in `output`; return the report.

    With `view` a viewer shows it until then.

    Raises:
        DemoError: a process failed, or nothing was fused.
    """
    interrupt_on_termination()
    output.mkdir(parents=True, exist_ok=True)
    commands = {
        "recorder": node_command("recorder", {"output": str(output), "json": True, **cast.recording}),
        "fusion_node": node_command("fusion_node", {**engine_parameters(request), **cast.fusing}),
        cast.player: node_command(cast.player, {"wait_for_subscribers": 2, **cast.playing}),
    }
    if view:
        require_rerun()
        sim_time = {"use_sim_time": True} if cast.recording.get("use_sim_time") else {}
        commands["viewer"] = node_command("viewer", {"show": "window" if has_screen() else "page", **sim_time})
    environment = environment_of(choose_domain())
    processes: dict[str, subprocess.Popen[str]] = {}
    with ExitStack() as stack:
        stack.callback(lambda: stop(*processes.values()))
        for name, command in commands.items():
            log = stack.enter_context((output / f"{name}.log").open("w"))
            processes[name] = subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.PIPE if name == "recorder" else log,
                stderr=None if name == "viewer" and not quiet else log,  # it says where its page is
                text=True,
                start_new_session=True,  # Ctrl-C reaches this process only; it ends the others
            )
        report = _watch(processes, output, quiet)
    if not quiet:
        print(summary(report))
    if not report["ledger"]["balanced"]:
        raise DemoError(f"The frame ledger does not balance; see {output / REPORT}.")
    return report


def _watch(processes: dict[str, subprocess.Popen[str]], output: Path, quiet: bool) -> dict[str, Any]:
    """Show a live line until the recorder has everything; returns its report."""
    progress = _Progress(processes["recorder"])
    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        while not progress.ended.wait(0.25):
            for name, process in processes.items():
                if process.poll():
                    raise DemoError(
                        f"The {name} ended with status {process.returncode}: {last_line(output / f'{name}.log')}"
                    )
            if time.monotonic() - progress.moved_at > STALL_S:
                raise DemoError(f"Nothing has moved for {STALL_S:.0f} s; see the logs in {output}.")
            if not quiet:
                live.update(_live_line(progress.latest), refresh=True)
    if not progress.latest.get("final"):
        raise DemoError(f"The recorder ended early: {last_line(output / 'recorder.log')}")
    if progress.latest["report"] is None:
        raise DemoError(f"No fused image arrived; see {output / 'fusion_node.log'}.")
    if progress.latest["error"]:
        raise DemoError(progress.latest["error"])
    return progress.latest["report"]


class _Progress:
    """The recorder's lines, read as they come.

    Attributes:
        latest: the newest one, empty before the first.
        moved_at: when the player or the fused stream last got on, by the monotonic clock, s.
        ended: set when the recorder has closed its output.
    """

    def __init__(self, recorder: subprocess.Popen[str]) -> None:
        self.latest: dict[str, Any] = {}
        self.moved_at = time.monotonic()
        self.ended = threading.Event()
        self._stdout = recorder.stdout
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        position = None
        try:
            for line in self._stdout:
                try:
                    self.latest = json.loads(line)
                except ValueError:  # a library's word, not the recorder's
                    continue
                moved_to = self.latest.get("fused_frames"), playback_values(self.latest.get("statuses", {}))
                if moved_to != position:
                    position, self.moved_at = moved_to, time.monotonic()
        finally:
            self.ended.set()


def _live_line(progress: dict[str, Any]) -> str:
    if not progress.get("fused_frames"):
        return "waiting for the cameras and the engine ..."
    frames = fusion_values(progress["statuses"], "frames")
    latency = ""
    if progress["viewer_latency_ms_p50"] is not None:
        latency = (
            f"stamp to viewer {progress['viewer_latency_ms_p50']:5.1f} ms p50"
            f" {progress['viewer_latency_ms_p99']:5.1f} ms p99   "
        )
    return (
        f"{progress['recent_rate_hz']:5.1f} Hz   {latency}{progress['fused_frames']} fused"
        f"   superseded {frames.get('pairs_superseded', 0)}   unpaired {frames.get('rgb_unpaired', 0)}"
        f"   rejected {frames.get('rgb_rejected', 0)}"
    )
