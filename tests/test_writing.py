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

"""Files are whole or not there, whoever else writes them; a failure names the file that the user knows."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from refinefuse_ros.errors import UserError
from refinefuse_ros.writing import prepare_to_write, write_together, write_whole

write_bytes = Path.write_bytes


def fill_disk_at(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing more than half of what goes to `name` finds room."""

    def write(path: Path, content: bytes) -> None:
        if path.name.startswith(name):
            write_bytes(path, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", write)


def test_a_full_disk_leaves_what_was_there_and_is_told_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, manifest = tmp_path / "m.bin", tmp_path / "m.json"
    write_together({model: b"old model", manifest: b"old manifest"})
    fill_disk_at("m.json", monkeypatch)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_together({model: b"new model", manifest: b"new manifest"})
    assert caught.value.filename == str(manifest)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "m.bin": b"old model",
        "m.json": b"old manifest",
    }


def test_another_process_may_write_the_same_file_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_while_another_does(path: Path, content: bytes) -> None:
        write_bytes(path, content)
        monkeypatch.undo()
        write_whole(tmp_path / "plan", b"theirs")

    monkeypatch.setattr(Path, "write_bytes", write_while_another_does)
    write_whole(tmp_path / "plan", b"ours")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("plan", b"ours")]


def test_what_can_be_written_is_prepared_and_leaves_only_its_folder(tmp_path: Path) -> None:
    prepare_to_write(tmp_path / "new" / "report.md")
    assert [path.name for path in tmp_path.rglob("*")] == ["new"]


@pytest.mark.parametrize("path", ["folder", "file/below"])
def test_what_cannot_be_written_is_refused_before_the_work(path: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=rf"{path} cannot be written: [A-Z][a-z ]+\.$"):
        prepare_to_write(tmp_path / path)
