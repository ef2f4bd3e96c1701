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

"""`refinefuse view`: cameras, fused images and diagnostics in Rerun, of the running system or of a recording."""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from refinefuse_ros.commands.options import add_bag_topics, add_engine, engine_request, positive, refuse

SUMMARY = "show the live streams, latencies and the ledger in a Rerun viewer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--web", action="store_true", help="a page for a browser instead of a window")
    shown.add_argument("--save", type=Path, metavar="FILE.rrd", help="write it to a file instead")
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1; 0.0.0.0 lets other machines look)")
    parser.add_argument("--port", type=int, help="port that takes what is shown (default: 9876)")
    parser.add_argument("--web-port", type=int, help="port of the page (default: 9090)")
    parser.add_argument("--rate", type=positive, help="pictures a second of each topic (default: 5)")
    parser.add_argument("--bag", type=Path, help="fuse and show a recording, in its own time")
    add_bag_topics(parser)
    add_engine(parser)


def run(options: argparse.Namespace) -> None:
    from refinefuse_ros.commands.processes import node_command, run_foreground
    from refinefuse_ros.nodes.rerun_viewer import require_rerun

    require_rerun()
    parameters = view_parameters(options.web, options.save) | {
        name: value
        for name, value in (
            ("host", options.host),
            ("port", options.port),
            ("web_port", options.web_port),
            ("rate_hz", options.rate),
        )
        if value is not None
    }
    if options.bag:
        with suppress(KeyboardInterrupt):  # as good an end as any, as in a view of the running system
            _view_bag(options, parameters)
    else:
        refuse(options, "the running system", "thermal_topic", "rgb_topic")
        run_foreground(node_command("viewer", parameters), interruptible=False)


def view_parameters(page: bool, file: Path | None) -> dict[str, object]:
    """What tells a viewer where to show what it sees."""
    if file is not None:
        return {"show": "file", "file": str(file)}
    return {"show": "page" if page else "window"}


def _view_bag(options: argparse.Namespace, parameters: Mapping[str, object]) -> None:
    """Play a recording once to a fusion node and a viewer, on a ROS domain of their own; then leave the viewer open."""
    from refinefuse_ros.commands.demo.cast import cast_of_bag
    from refinefuse_ros.commands.processes import (
        ProcessError,
        choose_domain,
        engine_parameters,
        environment_of,
        interrupt_on_termination,
        node_command,
        stop,
    )

    interrupt_on_termination()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="refinefuse_view_")))
        cast = cast_of_bag(options.bag, folder, thermal_topic=options.thermal_topic, rgb_topic=options.rgb_topic)
        commands = {
            "viewer": node_command("viewer", {**parameters, "use_sim_time": True}),
            "fusion_node": node_command("fusion_node", {**engine_parameters(engine_request(options)), **cast.fusing}),
            cast.player: node_command(cast.player, {"wait_for_subscribers": 2, **cast.playing}),
        }
        environment = environment_of(choose_domain())
        processes: dict[str, subprocess.Popen[bytes]] = {}
        stack.callback(lambda: stop(*processes.values()))
        for name, command in commands.items():
            processes[name] = subprocess.Popen(command, env=environment, start_new_session=True)
        while processes[cast.player].poll() is None:
            for name, process in processes.items():
                if process.poll():
                    raise ProcessError(f"The {name} ended with status {process.returncode}, as it says above.")
            if processes["viewer"].poll() == 0:  # its window was closed
                return
            _wait(processes[cast.player])
        if options.save is None:
            processes["viewer"].wait()


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(0.25)
    except subprocess.TimeoutExpired:
        return
