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

"""The cache gives back only what it was given for the very same key, says what differs, and never stops an engine."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.engine.building import BuildTicket
from refinefuse_ros.engine.cache import BuiltEngine, EngineCache, EngineNotBuiltError, cache_folder
from refinefuse_ros.engine.manifest import EngineKey, Manifest

KEY = EngineKey("nano", "ab" * 32, "640x480", "fp16", "tensorrt", "10.3.0", "Orin", "8.7", "static", "0.1.0")


def builder(key: EngineKey, content: bytes = b"a plan") -> Callable[[], BuiltEngine]:
    digest = hashlib.sha256(content).hexdigest()
    return lambda: BuiltEngine(content, Manifest(key, "", 8, digest, "2026-11-20T12:00:00+00:00", 1.0))


def forbidden() -> BuiltEngine:
    raise AssertionError("this must come from the cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "refinefuse_ros"


def test_the_second_time_it_is_there(folder: Path) -> None:
    first = EngineCache(folder).obtain(KEY, builder(KEY))
    second = EngineCache(folder).obtain(KEY, forbidden)
    assert first.note == "built because no fp16 engine of nano for 640x480 is cached"
    assert (second.content, second.manifest, second.note) == (first.content, first.manifest, "")


def test_who_waited_for_another_build_of_the_same_takes_what_it_made(folder: Path) -> None:
    ticket, found = BuildTicket(), []
    waiting = threading.Thread(target=lambda: found.append(EngineCache(folder).obtain(KEY, forbidden, ticket=ticket)))

    def build() -> BuiltEngine:
        waiting.start()
        deadline = time.monotonic() + 10
        while ticket.progress.state != "waiting":
            assert time.monotonic() < deadline
            time.sleep(0.001)
        return builder(KEY)()

    EngineCache(folder).obtain(KEY, build)
    waiting.join(10)
    assert [(engine.content, engine.note) for engine in found] == [(b"a plan", "")]


def test_the_folder_is_private_and_holds_engine_and_manifest(folder: Path) -> None:
    EngineCache(folder).obtain(KEY, builder(KEY))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sorted(path.suffix for path in folder.iterdir()) == [".engine", ".json"]


def test_a_mismatch_names_its_field_and_builds_again(folder: Path) -> None:
    cache = EngineCache(folder)
    cache.obtain(KEY, builder(KEY))
    other = replace(KEY, gpu="RTX 4090", compute_capability="8.9")
    built = cache.obtain(other, builder(other, b"another plan"))
    assert built.content == b"another plan"
    assert built.note == (
        "built because the cached engine's gpu is Orin and not RTX 4090, compute_capability is 8.7 and not 8.9"
    )
    assert cache.obtain(KEY, forbidden).content == b"a plan"


def test_never_building_says_what_to_do(folder: Path) -> None:
    with pytest.raises(EngineNotBuiltError, match=r"^No fp16 engine of nano .* set engine.rebuild to auto\.$"):
        EngineCache(folder).obtain(KEY, forbidden, may_build=False)


@pytest.mark.parametrize("damage", [b"", b"a pla", b"\xff\xfe", b"{}"])
@pytest.mark.parametrize("suffix", [".engine", ".json"])
def test_what_is_damaged_is_built_again(folder: Path, suffix: str, damage: bytes) -> None:
    cache = EngineCache(folder)
    cache.obtain(KEY, builder(KEY))
    (folder / f"{KEY.name}{suffix}").write_bytes(damage)
    built = cache.obtain(KEY, builder(KEY))
    assert "is damaged" in built.note
    assert cache.obtain(KEY, forbidden).content == b"a plan"


def test_a_manifest_of_another_engine_is_not_believed(folder: Path) -> None:
    cache = EngineCache(folder)
    other = replace(KEY, gpu="RTX 4090")
    cache.obtain(other, builder(other))
    for suffix in (".engine", ".json"):
        (folder / f"{other.name}{suffix}").rename(folder / f"{KEY.name}{suffix}")
    assert "gpu is RTX 4090 and not Orin" in cache.obtain(KEY, builder(KEY)).note


def test_a_cache_that_cannot_be_written_costs_only_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    built = EngineCache(tmp_path / "file" / "refinefuse_ros").obtain(KEY, builder(KEY))
    assert built.content == b"a plan"
    assert re.fullmatch(
        r"built because the cache \S+ cannot be read \(Not a directory\);"
        r" it was not kept in \S+ \(Not a directory\), so that every start builds it again",
        built.note,
    )


def test_what_becomes_known_later_is_added_to_the_manifest(folder: Path) -> None:
    cache = EngineCache(folder)
    cache.amend(KEY, gpu_memory_bytes=5)  # there is none yet
    cache.obtain(KEY, builder(KEY))
    cache.amend(KEY, gpu_memory_bytes=5)
    found = cache.obtain(KEY, forbidden)
    assert (found.content, found.manifest.gpu_memory_bytes) == (b"a plan", 5)


def test_a_folder_that_others_can_write_to_is_not_trusted(folder: Path) -> None:
    EngineCache(folder).obtain(KEY, builder(KEY))
    folder.chmod(0o777)
    built = EngineCache(folder).obtain(KEY, builder(KEY, b"fresh"))
    assert built.content == b"fresh"
    assert "is not yours alone to write; run 'chmod 700' on it" in built.note


def test_the_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "refinefuse_ros"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "refinefuse_ros"


def test_without_a_home_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", fail)
    with pytest.raises(EngineError, match="no home folder to keep engines in; set XDG_CACHE_HOME"):
        EngineCache()
