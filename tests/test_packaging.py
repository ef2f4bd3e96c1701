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

"""What the package says of itself is the same everywhere, and the rules of the house hold."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import refinefuse_ros
from refinefuse_ros.resources import sha256_of, shared_path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "refinefuse_ros").rglob("*.py"))
OUTSIDE = ("nodes", "evaluation", "training", "recordings", "offline", "clips")
ABOVE = {
    "nodes": ("evaluation", "training"),
    "evaluation": ("nodes", "training"),
    "recordings": ("nodes", "evaluation", "training", "offline", "pipeline", "engine"),
    "clips": ("nodes", "evaluation", "training", "recordings", "offline", "pipeline", "engine"),
    "pipeline": OUTSIDE,
    "engine": (*OUTSIDE, "pipeline", "alignment"),
    "network": (*OUTSIDE, "pipeline", "alignment", "image", "stream"),
    "alignment": (*OUTSIDE, "pipeline", "engine", "network", "stream"),
    "image": (*OUTSIDE, "pipeline", "engine", "network", "alignment", "stream"),
    "stream": (*OUTSIDE, "pipeline", "engine", "network", "alignment", "image"),
}
"""What a room must not import: what stands above it, and its neighbours."""
TORCH_ROOMS = ("network/", "training/", "engine/torch", "engine/export")


def imports(path: Path, package: str) -> bool:
    return re.search(rf"^(import|from) {package}\b", path.read_text(), re.MULTILINE) is not None


def imports_room(path: Path, room: str) -> bool:
    """Whether a file imports from a room of the package anywhere, also late and only for its types."""
    return (
        re.search(rf"^\s*(import|from) refinefuse_ros(\.{room}\b| import {room}\b)", path.read_text(), re.M) is not None
    )


def test_one_version() -> None:
    manifest = ElementTree.parse(ROOT / "package.xml")
    setup = re.search(r'VERSION = "([^"]+)"', (ROOT / "setup.py").read_text())
    assert manifest.findtext("version") == setup[1] == refinefuse_ros.__version__


def test_the_changelog_s_headings_are_those_that_catkin_s_tools_read() -> None:
    headings = re.findall(r"^(.+)\n-+$", (ROOT / "CHANGELOG.rst").read_text(), re.M)
    assert headings
    assert [one for one in headings if not re.fullmatch(r"Forthcoming|\d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\)", one)] == []


def test_only_nodes_import_rclpy() -> None:
    assert [str(path) for path in SOURCES if imports(path, "rclpy") and path.parent.name != "nodes"] == []


def test_torch_is_imported_only_where_it_is_needed() -> None:
    elsewhere = [path.relative_to(ROOT / "refinefuse_ros").as_posix() for path in SOURCES if imports(path, "torch")]
    assert [path for path in elsewhere if not path.startswith(TORCH_ROOMS)] == []


@pytest.mark.parametrize(("room", "above"), [(room, above) for room, rooms in ABOVE.items() for above in rooms])
def test_arrows_point_down(room: str, above: str) -> None:
    files = [path for path in SOURCES if path.relative_to(ROOT / "refinefuse_ros").parts[0].removesuffix(".py") == room]
    assert files
    assert [str(path) for path in files if imports_room(path, above)] == []


def test_nobody_imports_commands() -> None:
    assert [str(path) for path in SOURCES if "commands" not in path.parts and imports_room(path, "commands")] == []


def test_only_commands_parse_arguments() -> None:
    elsewhere = [path for path in SOURCES if "commands" not in path.parts and imports(path, "argparse")]
    assert [str(path) for path in elsewhere] == []


def test_a_running_engine_reports_nothing_over_the_network() -> None:
    program = "import sys, refinefuse_ros.engine.openvino; print(sys.modules['openvino_telemetry'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "None\n"


def test_stream_stands_on_nothing() -> None:
    for path in (ROOT / "refinefuse_ros/stream").glob("*.py"):
        assert not any(imports(path, package) for package in ("numpy", "cv2", "rclpy", "torch")), path


def test_shipped_files_are_found() -> None:
    assert shared_path("config/fuse.yaml").is_file()
    with pytest.raises(FileNotFoundError, match="reinstall the package"):
        shared_path("config/nothing.yaml")


def test_the_model_card_names_the_shipped_files_hashes() -> None:
    card = (ROOT / "models/README.md").read_text()
    shipped = [path for path in (ROOT / "models").iterdir() if path.suffix in (".onnx", ".safetensors")]
    assert shipped
    for path in shipped:
        assert sha256_of(path) in card, f"{path.name} is not the file of the model card"


def test_every_python_file_has_the_licence_s_head_as_ament_copyright_reads_it() -> None:
    head = "".join(Path(__file__).read_text().splitlines(keepends=True)[:13])
    assert "Licensed under the Apache License, Version 2.0" in head
    files = [path for folder in ("refinefuse_ros", "tests", "launch") for path in (ROOT / folder).rglob("*.py")]
    assert [str(path) for path in files if not path.read_text().startswith(head)] == []
