# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""`refinefuse demo`: cameras, fusion node and recorder as separate processes over real DDS.

The recorder conducts: it sees when the player has finished and everything has arrived, writes the report, and ends;
then the others are ended. They live on a ROS domain of their own.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.errors import UserError
from refinefuse_ros.image.sources import SYNTHETIC_RATE_HZ, open_folder
from refinefuse_ros.nodes.live_report import REPORT, fusion_values, playback_values, summary

# Processes get this long to end after SIGINT, then they are killed.
STOP_S = 3.0
# For engine, discovery and the first frame on a slow machine, and for any later standstill.
STALL_S = 90.0
# 1 to 101 are the domains whose ports lie below Linux's ephemeral range.
DOMAINS = range(1, 102)
SENT_TIMES = "sent_times.json"


class DemoError(UserError):
    """The demonstration did not work; the message says which part failed."""


@dataclass(frozen=True)
class Cast:
    """Who plays in a demonstration: the player and what each of the three processes is told beside the common part.

    Attributes:
        player: the player's executable, camera_player or bag_player.
        playing, fusing, recording: parameters of the player, the fusion node and the recorder.
    """

    player: str
    playing: Mapping[str, object]
    fusing: Mapping[str, object]
    recording: Mapping[str, object]


def cast_of_source(source: str, seconds: float, rate_hz: float | None) -> Cast:
    """Two cameras from files or the synthetic street, for `seconds`.

    Args:
        source: "synthetic", or a folder with thermal/ and rgb/.
        rate_hz: pairs per second; None takes the source's own.

    Raises:
        SourceError: the source cannot be played.
    """
    source_rate_hz = SYNTHETIC_RATE_HZ
    if source != "synthetic":
        first = next(iter(open_folder(Path(source).expanduser())))
        source_rate_hz = 1 / first.period_s
    rate = rate_hz or source_rate_hz
    return Cast(
        "camera_player",
        playing={"source": source, "rate_hz": float(rate_hz or 0), "pairs": max(1, round(seconds * rate))},
        fusing={},
        recording={"source": source, "rate_hz": float(rate), "duration_s": float(seconds)},
    )


def cast_of_bag(
    path: Path,
    output: Path,
    *,
    thermal_topic: str | None = None,
    rgb_topic: str | None = None,
    seconds: float | None = None,
    runs: int = 1,
) -> Cast:
    """A recording's two cameras, in the recording's time.

    Args:
        path: the bag.
        output: where the times of publication go.
        thermal_topic, rgb_topic: its image topics; None guesses by name.
        seconds: how much of it to play; None plays all.
        runs: how often; more than once from memory.

    Raises:
        BagError: the bag or its cameras cannot be used.
    """
    from refinefuse_ros.recordings.replaying import replay_of

    replay = replay_of(path, thermal_topic, rgb_topic)
    sent_times = str(output / SENT_TIMES)
    return Cast(
        "bag_player",
        playing={
            "bag": str(path),
            **replay.topics,
            "duration_s": float(seconds or 0),
            "rounds": runs,
            "preload": runs > 1,
            "clock": True,
            "exit_at_end": True,
            "sent_times": sent_times,
        },
        fusing={**replay.transports, "use_sim_time": True},
        recording={
            "source": str(path),
            "replay": True,
            "sent_times": sent_times,
            "duration_s": seconds or replay.seconds,
            "use_sim_time": True,
        },
    )


def run_demo(cast: Cast, *, output: Path, request: EngineRequest, quiet: bool) -> dict[str, Any]:
    """Stream to the end; leave fused.mp4, contact_sheet.png and report.json in `output`; return the report.

    Raises:
        DemoError: a process failed, or nothing was fused.
    """
    _interrupt_on_termination()
    output.mkdir(parents=True, exist_ok=True)
    engine = {
        "model": request.model,
        "engine.backend": request.backend,
        "engine.precision": request.precision,
        "engine.device": request.device,
    }
    commands = {
        "recorder": node_command("recorder", {"output": str(output), "json": True, **cast.recording}),
        "fusion_node": node_command("fusion_node", {**engine, **cast.fusing}),
        cast.player: node_command(cast.player, {"wait_for_subscribers": 2, **cast.playing}),
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
        report = _watch(processes, output, quiet)
    if not quiet:
        print(summary(report))
    if not report["ledger"]["balanced"]:
        raise DemoError(f"The frame ledger does not balance; see {output / REPORT}.")
    return report


def node_command(executable: str, parameters: Mapping[str, object]) -> list[str]:
    """The command line that runs one of the package's nodes with this Python."""
    command = [sys.executable, "-m", f"refinefuse_ros.nodes.{executable}", "--ros-args"]
    for name, value in parameters.items():
        # JSON is YAML: quotes strings, spells booleans in lower case. Its \u pairs, as for an emoji, are not.
        command += ["-p", f"{name}:={json.dumps(value, ensure_ascii=False)}"]
    return command


def run_foreground(command: list[str], *, interruptible: bool = True) -> None:
    """Run a node until it ends or Ctrl-C.

    Args:
        interruptible: False for a node that Ctrl-C ends as it should: it gets the time it needs, and that is success.

    Raises:
        SystemExit: it ended with an error, which it has printed; the status is its own.
        DemoError: it was killed.
    """
    _interrupt_on_termination()
    # In a session of its own a node does not get the terminal's Ctrl-C: a second one, at its end, would kill it.
    process = subprocess.Popen(command, start_new_session=True)
    try:
        process.wait()
    except KeyboardInterrupt:
        if interruptible:
            _stop(process)
            raise
        process.send_signal(signal.SIGINT)
        process.wait()
    if process.returncode < 0:
        raise DemoError(f"{command[2]} was ended by signal {-process.returncode}; start it again.")
    if process.returncode:
        sys.exit(process.returncode)


def _watch(processes: dict[str, subprocess.Popen[str]], output: Path, quiet: bool) -> dict[str, Any]:
    """Show a live line until the recorder has everything; returns its report."""
    progress = _Progress(processes["recorder"])
    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        while not progress.ended.wait(0.25):
            for name, process in processes.items():
                if process.poll():
                    raise DemoError(f"The {name} ended with status {process.returncode}: {_last_line(output / name)}")
            if time.monotonic() - progress.moved_at > STALL_S:
                raise DemoError(f"Nothing has moved for {STALL_S:.0f} s; see the logs in {output}.")
            if not quiet:
                live.update(_live_line(progress.latest), refresh=True)
    if not progress.latest.get("final"):
        raise DemoError(f"The recorder ended early: {_last_line(output / 'recorder')}")
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
        for line in self._stdout:
            self.latest = json.loads(line)
            moved_to = self.latest.get("fused_frames"), playback_values(self.latest.get("statuses", {}))
            if moved_to != position:
                position, self.moved_at = moved_to, time.monotonic()
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


def _interrupt_on_termination() -> None:
    """Make SIGTERM and a closed terminal end the children as Ctrl-C does: they have sessions of their own."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # under nohup it is ignored, and shall be
            signal.signal(number, signal.default_int_handler)


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
