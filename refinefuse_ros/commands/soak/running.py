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

"""A soak: the node and two cameras as processes over real DDS, one fault after the other, and what becomes of it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack
from itertools import takewhile
from pathlib import Path

from refinefuse_ros.commands.processes import (
    choose_domain,
    engine_parameters,
    environment_of,
    interrupt_on_termination,
    last_line,
    node_command,
    stop,
)
from refinefuse_ros.commands.soak.script import Act, script
from refinefuse_ros.commands.soak.verdict import (
    CALM_S,
    RATE_WINDOW_S,
    RECOVERY_S,
    Faced,
    Soaked,
    longest_silence,
    recovered_after,
)
from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.errors import UserError
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.machine import resident_mib
from refinefuse_ros.nodes.soak_observer import NoAnswerError, Report, SoakObserver
from refinefuse_ros.stream.health import Level
from refinefuse_ros.stream.outcome import Stream

NODE = "/fusion"
# Until engine, cameras and discovery are there on a slow machine.
START_S = 90.0
FIRST_PAIRS = 5
# Before the first fault the node's own rate is measured for so long.
MEASURED_S = 3.0
# A node that fuses later than this after a fault is taken for one that does not.
GIVEN_UP_S = 15.0
POLL_S = 0.02
# The statuses that tell whether a fault is over. That of the latency remembers for longer.
CALM = ("frames", "engine", "thermal camera", "rgb camera")


class SoakError(UserError):
    """The soak could not be done; the message says which part failed."""


def soak(
    minutes: float,
    seed: int,
    *,
    request: EngineRequest,
    size: ImageSize,
    rate_hz: float,
    output: Path,
    only: Collection[str] = (),
    tell: Callable[[str], None] = lambda line: None,
) -> Soaked:
    """Play the script for so many minutes, the last fault to its end.

    Args:
        minutes: how long; at least one fault is played.
        seed: of the script.
        request: what the node runs.
        size: of the cameras' images.
        rate_hz: of both cameras.
        output: folder for the processes' logs.
        only: the faults to play, by name; empty for all.
        tell: takes a line as soon as a fault is over.

    Raises:
        SoakError: the processes did not start.
    """
    interrupt_on_termination()
    output.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        rig = _Rig(choose_domain(), output, request, size, rate_hz)
        stack.callback(rig.close)
        soaked = Soaked(rate_hz=rig.start())
        tell(f"{soaked.rate_hz:.1f} pairs fused a second; the logs are in {output}")
        end_s = time.monotonic() + 60 * minutes
        acts = takewhile(lambda act: not soaked.faced or time.monotonic() < end_s, script(seed, only))
        try:
            for act in acts:
                faced = rig.face(act, soaked.rate_hz)
                soaked.faced.append(faced)
                tell(str(faced))
        except (NoAnswerError, SoakError) as error:
            soaked.broken = str(error)
        reports = rig.observer.reports
        soaked.reports = len(reports)
        soaked.unbalanced = sum(report.statuses["frames"].values["balanced"] != "True" for report in reports)
        soaked.furthest_ms = max((_furthest_ms(report) for report in reports), default=0.0)
        return soaked


class _Rig:
    """The processes and who watches them.

    Raises:
        SoakError: from any method: a process has ended.
    """

    def __init__(self, domain: int, output: Path, request: EngineRequest, size: ImageSize, rate_hz: float) -> None:
        self._environment = environment_of(domain)
        self._output = output
        self._rate_hz = rate_hz
        fusing = {**engine_parameters(request), "engine.width": size.width, "engine.height": size.height}
        self._commands = {"fusion_node": node_command("fusion_node", fusing)}
        for stream in Stream:
            parameters = {"camera": str(stream), "width": size.width, "height": size.height, "rate_hz": rate_hz}
            self._commands[_camera(stream)] = node_command("faulty_camera", parameters, name=_camera(stream))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.observer = SoakObserver(domain)

    def start(self) -> float:
        """Start all; the rate at which pairs are fused once it is steady, Hz."""
        for name in self._commands:
            self._start(name)
        if not self._wait(lambda: len(self._fused_s()) >= FIRST_PAIRS, START_S):
            raise SoakError(f"Nothing was fused within {START_S:.0f} s; see the logs in {self._output}.")
        self._wait(self._is_calm, START_S)
        began_s = time.monotonic()
        self._wait(lambda: False, MEASURED_S)
        return sum(at >= began_s for at in self._fused_s()) / (time.monotonic() - began_s)

    def close(self) -> None:
        self.observer.close()
        stop(*self._processes.values())

    def face(self, act: Act, rate_hz: float) -> Faced:
        """Let it happen, and see how the node stands it."""
        began_s = time.monotonic()
        ended_s = self._perform(act)
        faced = Faced(str(act), ended_s - began_s, within_s=RECOVERY_S + act.longer_s)
        self._wait(lambda: recovered_after(self._fused_s(), ended_s, rate_hz) is not None, GIVEN_UP_S)
        faced.recovered_s = recovered_after(self._fused_s(), ended_s, rate_hz)
        if not act.may_pause:
            until_s = time.monotonic() if faced.recovered_s is None else ended_s + faced.recovered_s + RATE_WINDOW_S
            faced.silence_s = longest_silence([seen.at_s for seen in self.observer.fused], began_s, until_s)
        if self._wait(lambda: self._is_calm(since_s=ended_s), CALM_S):
            faced.calm_s = time.monotonic() - ended_s
        if act.says is not None:
            while_it_lasted = [report for report in self.observer.reports if began_s <= report.at_s <= ended_s + 1.5]
            faced.said, faced.expected = _judge_words(act, while_it_lasted)
        faced.memory_mb = resident_mib(self._processes["fusion_node"].pid) or 0.0
        return faced

    def _perform(self, act: Act) -> float:
        """Do what the act says and undo it; when the fault ended, by the monotonic clock, s."""
        for stream, fault in act.cameras.items():
            self._tell_camera(stream, fault)
        for stream in act.killed:
            process = self._processes.pop(_camera(stream))
            process.kill()
            process.wait()
        for name, value, _ in act.changes:
            self._set(name, value)
        for name, value in act.refused:
            if self.observer.set_parameter(NODE, name, value):
                raise SoakError(f"The node took {value!r} for {name}.")
        half = len(act.transitions) // 2
        for transition in act.transitions[:half]:
            self.observer.change_state(NODE, transition)
        self._wait(lambda: False, act.lasts_s)
        for transition in act.transitions[half:]:
            self.observer.change_state(NODE, transition)
        for name, _, value in act.changes:
            self._set(name, value)
        for stream in act.cameras:
            self._tell_camera(stream, "none")
        ended_s = time.monotonic()
        for stream in act.killed:  # over once the new process sends
            self._start(_camera(stream))
            if not self._wait(lambda: self.observer.frames[stream] > ended_s, START_S):  # noqa: B023
                raise SoakError(f"The {stream} camera did not come back; see the logs in {self._output}.")
            ended_s = self.observer.frames[stream]
        return ended_s

    def _tell_camera(self, stream: Stream, fault: str) -> None:
        if not self.observer.set_parameter(f"/{_camera(stream)}", "fault", fault):
            raise SoakError(f"The {stream} camera knows no fault '{fault}'.")

    def _set(self, name: str, value: object) -> None:
        if not self.observer.set_parameter(NODE, name, value):
            raise SoakError(f"The node refused {value!r} for {name}.")

    def _start(self, name: str) -> None:
        with (self._output / f"{name}.log").open("a") as log:
            self._processes[name] = subprocess.Popen(
                self._commands[name], env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    def _wait(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for something; whether it came in time."""
        deadline_s = time.monotonic() + timeout_s
        while not done():
            if self.observer.failure is not None:
                raise SoakError(f"Nothing is seen any more: {self.observer.failure}")
            for name, process in self._processes.items():
                if process.poll() is not None:
                    log = self._output / f"{name}.log"
                    raise SoakError(f"The {name} ended with status {process.returncode}: {last_line(log)}")
            if time.monotonic() > deadline_s:
                return False
            time.sleep(POLL_S)
        return True

    def _fused_s(self) -> list[float]:
        """When each fused pair of the last minute came."""
        return [seen.at_s for seen in self.observer.fused[-round(60 * self._rate_hz) :] if seen.both]

    def _is_calm(self, since_s: float = 0.0) -> bool:
        """Whether the newest diagnostics are of later and complain of nothing that faults make them complain of."""
        reports = self.observer.reports
        if not reports or reports[-1].at_s <= since_s:
            return False
        return all(reports[-1].statuses[name].level == Level.OK for name in CALM)


def _camera(stream: Stream) -> str:
    return f"{stream}_camera"


def _judge_words(act: Act, reports: list[Report]) -> tuple[bool, str]:
    """Whether what was said fits, and if not, what was expected and said."""
    for report in reports:
        for name, status in report.statuses.items():
            if act.says.fits(name, status.level, status.message):
                return True, ""
    heard = list(dict.fromkeys(report.statuses[act.says.status].message for report in reports))
    return False, f"{act.says.status} should have said '{act.says.pattern}', and said {' | '.join(heard) or 'nothing'}"


def _furthest_ms(report: Report) -> float:
    """How far apart the furthest of the pairs of late lay."""
    return float(report.statuses["latency"].values.get("sync_offset_ms_max", 0.0))
