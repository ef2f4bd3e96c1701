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

"""The page of Rerun's viewer, kept from talking to anybody but this machine.

As Rerun serves it, it asks others for fonts, examples and its newest release, and posts statistics of use, whatever
the viewer's own configuration says. So it is handed on by a server that tells the browser to refuse all that.
"""

from __future__ import annotations

import re
import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

_PIECE: Final = 1 << 16
# Hints to connect elsewhere come before any policy: they have to go.
_FOREIGN_LINK: Final = re.compile(rb"<link\b[^>]*\bhref=\"https?://[^>]*>")


class GuardedPage:
    """Serves the page until it is closed.

    Args:
        host, port: where it listens.
        source: host and port of Rerun's own page.
        data_port: from where the page may read what is logged, under any name of this machine.

    Raises:
        OSError: nothing can listen there.
    """

    def __init__(self, host: str, port: int, source: tuple[str, int], data_port: int) -> None:
        self._server = _Server((host, port), _Handler)
        self._server.source = source
        self._server.policy = (
            "default-src 'self' 'unsafe-inline' 'wasm-unsafe-eval' data: blob:;"
            f" connect-src 'self' http://*:{data_port} data: blob:"
        )
        self._thread = threading.Thread(target=self._server.serve_forever, name="page", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens, also where 0 was given."""
        return self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a browser may hold its connection open
    source: tuple[str, int]
    policy: str

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of a file is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        source = HTTPConnection(*self.server.source)
        try:
            source.request("GET", self.path)
            found = source.getresponse()
            kind = found.getheader("Content-Type", "application/octet-stream")
            text = _FOREIGN_LINK.sub(b"", found.read()) if kind.startswith("text/html") else None
            self.send_response(found.status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Security-Policy", self.server.policy)
            self.send_header("Connection", "close")
            self.end_headers()
            if text is not None:
                self.wfile.write(text)
                return
            while piece := found.read(_PIECE):
                self.wfile.write(piece)
        finally:
            source.close()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests are no news."""
