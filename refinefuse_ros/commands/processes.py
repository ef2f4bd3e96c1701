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

"""The package's nodes as processes of a verb: their command lines, running one in the foreground, ending them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.errors import UserError

# Processes get this long to end after SIGINT, then they are killed.
STOP_S = 3.0
# 1 to 101 are the domains whose ports lie below Linux's ephemeral range.
_DOMAINS = range(1, 102)


class ProcessError(UserError):
    """A process of a verb did not do what it was started for; the message says which and what to do."""


def node_command(executable: str, parameters: Mapping[str, object], name: str = "") -> list[str]:
    """The command line that runs one of the package's nodes with this Python; `name` is another one than its own."""
    command = [sys.executable, "-m", f"refinefuse_ros.nodes.{executable}", "--ros-args"]
    if name:
        command += ["-r", f"__node:={name}"]
    for parameter, value in parameters.items():
        # JSON is YAML: quotes strings, spells booleans in lower case. Its \u pairs, as for an emoji, are not.
        command += ["-p", f"{parameter}:={json.dumps(value, ensure_ascii=False)}"]
    return command


def require_ros() -> None:
    """Raises ProcessError where this process cannot speak ROS 2 itself."""
    if find_spec("rclpy") is None:
        raise ProcessError("rclpy is missing: source a ROS 2 install, or install the extra ros (x86_64 only).")


def engine_parameters(request: EngineRequest) -> dict[str, object]:
    """What tells a fusion node to run what was asked for."""
    return {
        "model": request.model,
        "engine.backend": request.backend,
        "engine.precision": request.precision,
        "engine.device": request.device,
    }


def choose_domain() -> int:
    """A ROS domain for processes that are to be among themselves."""
    return random.choice([domain for domain in _DOMAINS if str(domain) != os.environ.get("ROS_DOMAIN_ID")])


def environment_of(domain: int) -> dict[str, str]:
    """This process's environment, for a node that is to see only those of a domain on this machine."""
    return os.environ | {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


def last_line(log: Path) -> str:
    """What a process said last."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing."


def run_foreground(command: list[str], *, interruptible: bool = True) -> None:
    """Run a node until it ends or Ctrl-C.

    Args:
        interruptible: False for a node that Ctrl-C ends as it should: it gets the time it needs, and that is success.

    Raises:
        SystemExit: it ended with an error, which it has printed; the status is its own.
        ProcessError: it was killed.
    """
    interrupt_on_termination()
    # In a session of its own a node does not get the terminal's Ctrl-C: a second one, at its end, would kill it.
    process = subprocess.Popen(command, start_new_session=True)
    try:
        process.wait()
    except KeyboardInterrupt:
        if interruptible:
            stop(process)
            raise
        process.send_signal(signal.SIGINT)
        process.wait()
    if process.returncode < 0:
        raise ProcessError(f"{command[2]} was ended by signal {-process.returncode}; start it again.")
    if process.returncode:
        sys.exit(process.returncode)


def interrupt_on_termination() -> None:
    """Make SIGTERM and a closed terminal end the children as Ctrl-C does: they have sessions of their own."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # under nohup it is ignored, and shall be
            signal.signal(number, signal.default_int_handler)


def stop(*processes: subprocess.Popen[Any]) -> None:
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
