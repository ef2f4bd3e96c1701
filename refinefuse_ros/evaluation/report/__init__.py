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

"""The verdict as a page: one HTML file that needs no network and no other file."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from refinefuse_ros.errors import UserError
from refinefuse_ros.evaluation.verdict import Gallery, Verdict
from refinefuse_ros.writing import write_whole, writing_to

__all__ = ["require_report", "write_report"]


def require_report() -> None:
    """Tell before any work is done whether the page can be made.

    Raises:
        UserError: a package of the extra `report` is not installed.
    """
    for package in ("jinja2", "plotly"):
        if find_spec(package) is None:
            raise UserError(
                f"The report needs {package}, which is not installed; install the extra report, in the repository by"
                ' `pip install ".[report]"`.'
            )


def write_report(verdict: Verdict, gallery: Gallery, path: Path) -> None:
    """Write the page, whole or not at all; missing folders are made.

    Raises:
        UserError: a package of the extra `report` is not installed, or the file cannot be written.
    """
    require_report()
    from refinefuse_ros.evaluation.report.page import render_page

    page = render_page(verdict, gallery)
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, page.encode("utf-8", "replace"))  # a file's name may be no UTF-8
