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

"""Rerun's own viewer as a process beside the node: a window, or a page for a browser."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import quote

from refinefuse_ros.errors import UserError
from refinefuse_ros.machine import has_screen
from refinefuse_ros.nodes.rerun_page import GuardedPage

LOCAL: Final = "127.0.0.1"
ANY: Final = "0.0.0.0"
_START_S: Final = 20.0
_STOP_S: Final = 1.0


class ViewerError(UserError):
    """The viewer cannot be started."""


def require_rerun() -> None:
    """Raises ViewerError where Rerun is not installed."""
    if find_spec("rerun") is None:
        raise ViewerError("The viewer needs rerun-sdk; install the extra view: pip install '.[view]'.")


class RerunViewer:
    """A running viewer.

    Args:
        page: a page for a browser; else a window on this screen.
        host: the address that it listens on.
        port: where it takes what is logged.
        page_port: where the page is.
        memory_mb: beyond this it forgets what is oldest.

    Raises:
        ViewerError: there is no screen, a port is taken, or it does not start.
    """

    def __init__(self, page: bool, host: str, port: int, page_port: int, memory_mb: int) -> None:
        if not page and not has_screen():
            raise ViewerError("There is no screen to open a window on (DISPLAY is not set); give --web or --save FILE.")
        for number, option in ((port, "--port"), *([(page_port, "--web-port")] if page else [])):
            _check_free(host, number, option)
        self._host, self._port, self._page_port = host, port, page_port
        memory = f"{memory_mb}MB"
        command = [sys.executable, "-m", "rerun", "--bind", host, "--port", str(port), "--hide-welcome-screen"]
        command += ["--memory-limit", memory, "--server-memory-limit", memory]
        own_page_port = _free_port(host)
        if page:
            command += ["--serve-web", "--web-viewer-port", str(own_page_port)]
            if host != LOCAL:  # else only a browser on this machine may read what is logged
                command += ["--cors-allow-origin", f"http://*:{page_port}"]
        # Its configuration is its own: there it is told to send no statistics of use to anybody. Its page does not look
        # there, see `rerun_page`.
        self._folder = tempfile.TemporaryDirectory(prefix="refinefuse_viewer_")
        environment = os.environ | {"XDG_CONFIG_HOME": self._folder.name, "RUST_LOG": "error"}
        subprocess.run([sys.executable, "-m", "rerun", "analytics", "disable"], env=environment, capture_output=True)
        self._log = Path(self._folder.name, "log")
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self._page: GuardedPage | None = None
        try:
            self._wait()
            if page:
                reached = host if host != ANY else LOCAL
                self._page = GuardedPage(host, page_port, (reached, own_page_port), port)
        except OSError as error:
            self.close()
            raise ViewerError(f"The page cannot be served on {host}:{page_port}: {error.strerror}.") from error
        except ViewerError:
            self.close()
            raise

    @property
    def url(self) -> str:
        """Where it takes what is logged."""
        return self._url(self._host if self._host != ANY else LOCAL)

    @property
    def page(self) -> str:
        """The page's address, for a browser."""
        host = self._host if self._host != ANY else socket.gethostname()
        return f"http://{host}:{self._page_port}?url={quote(self._url(host), safe='')}"

    @property
    def pid(self) -> int:
        """Of the session in which it runs."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it is still there: a window may be closed."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it; what was started is a script that starts the viewer, so all of its session."""
        if self._page is not None:
            self._page.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_S)
        self._folder.cleanup()

    def _url(self, host: str) -> str:
        return f"rerun+http://{host}:{self._port}/proxy"

    def _wait(self) -> None:
        """Until it listens."""
        deadline_s = time.monotonic() + _START_S
        while not _listens(self._host, self._port):
            if not self.running or time.monotonic() > deadline_s:
                *_, said = ["it said nothing", *filter(None, map(str.strip, self._log.read_text().splitlines()))]
                raise ViewerError(f"Rerun's viewer did not start: {said}")
            time.sleep(0.05)


def _check_free(host: str, port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ViewerError(
                f"Nothing can listen on {host}:{port} ({error.strerror}); give another one as {option}."
            ) from error


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0
