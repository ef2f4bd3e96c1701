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

"""The page is handed on as it is, but for what would ask somebody elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from refinefuse_ros.nodes.rerun_page import GuardedPage

LOCAL = "127.0.0.1"
FILES = {
    "/": (
        "text/html",
        b'<link rel="icon" href="a.ico" /><link rel="preconnect" href="https://fonts.example" crossorigin />end',
    ),
    "/re_viewer_bg.wasm": ("application/wasm", bytes(range(256)) * 1000),
}


class Source(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        kind, content = FILES.get(self.path, ("text/plain", b""))
        self.send_response(200 if self.path in FILES else 404)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    source = HTTPServer((LOCAL, 0), Source)
    threading.Thread(target=source.serve_forever, daemon=True).start()
    page = GuardedPage(LOCAL, 0, (LOCAL, source.server_port), 9876)
    try:
        yield f"http://{LOCAL}:{page.port}"
    finally:
        page.close()
        source.shutdown()
        source.server_close()


def test_the_browser_is_told_to_ask_nobody_elsewhere(address: str) -> None:
    with urlopen(f"{address}/", timeout=10) as answer:
        assert answer.read() == b'<link rel="icon" href="a.ico" />end'
        policy = answer.headers["Content-Security-Policy"]
    asked = policy.partition("connect-src ")[2].split()
    assert asked == ["'self'", "http://*:9876", "data:", "blob:"]
    assert policy.startswith("default-src 'self' ")


def test_files_are_handed_on_and_missing_ones_are_missing(address: str) -> None:
    with urlopen(f"{address}/re_viewer_bg.wasm", timeout=10) as answer:
        assert (answer.headers["Content-Type"], answer.read()) == FILES["/re_viewer_bg.wasm"]
    with pytest.raises(HTTPError, match="404"):
        urlopen(f"{address}/nothing", timeout=10)
