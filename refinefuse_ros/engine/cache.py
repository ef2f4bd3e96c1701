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

"""Built engines kept between starts, each with its manifest; what does not fit or is damaged is never loaded."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.engine.building import BuildTicket
from refinefuse_ros.engine.manifest import EngineKey, Manifest, ManifestError, differences
from refinefuse_ros.resources import PACKAGE
from refinefuse_ros.writing import write_together, write_whole

_PRIVATE = 0o700


@dataclass(frozen=True)
class BuiltEngine:
    """An engine's bytes and what they are.

    Attributes:
        why_built: why none from the cache would do; empty: it is from there.
        not_kept: why it is not in the cache now; empty: it is.
    """

    content: bytes
    manifest: Manifest
    why_built: str = ""
    not_kept: str = ""

    @property
    def note(self) -> str:
        """What there is to say of how it came; empty: from the cache."""
        built = f"built because {self.why_built}" if self.why_built else ""
        lost = f"{self.not_kept}, so that every start builds it again" if self.not_kept else ""
        return "; ".join(filter(None, (built, lost)))


class EngineNotBuiltError(EngineError):
    """There is no fitting engine in the cache, and building one was not allowed.

    Attributes:
        why: none will do, as a part of a sentence.
    """

    def __init__(self, why: str) -> None:
        super().__init__(
            f"{why[0].upper()}{why[1:]}, and building is not allowed here;"
            " make one with 'refinefuse export', or set engine.rebuild to auto."
        )
        self.why = why


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/refinefuse_ros, or ~/.cache/refinefuse_ros.

    Raises:
        EngineError: there is neither, as in a container for a user that it does not know.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    if base and Path(base).is_absolute():
        return Path(base) / PACKAGE
    try:
        return Path.home() / ".cache" / PACKAGE
    except RuntimeError as error:
        raise EngineError("There is no home folder to keep engines in; set XDG_CACHE_HOME to a folder.") from error


class EngineCache:
    """The folder of built engines.

    A plan is code that the driver runs, so the folder is private: one that others may write to is not used.

    Args:
        folder: None is `cache_folder()`; made when the first engine is stored.

    Raises:
        EngineError: there is no `cache_folder()`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder if folder is not None else cache_folder()

    def obtain(
        self,
        key: EngineKey,
        build: Callable[[], BuiltEngine],
        may_build: bool = True,
        ticket: BuildTicket | None = None,
    ) -> BuiltEngine:
        """The engine of this key, from the cache or else built and stored: one at a time in this process.

        Args:
            key: what is wanted.
            build: makes it; may take minutes.
            may_build: False forbids that (`engine.rebuild: never`).
            ticket: tells of the build, and stops the wait for another one; `build` watches it by itself.

        Returns:
            The engine; its note says why it was built, and whether it could not be stored.

        Raises:
            EngineNotBuiltError: there is none and `may_build` is False.
            BuildStoppedError: the ticket was stopped.
            EngineError: building failed.
        """
        found = self._load(key)
        if isinstance(found, BuiltEngine):
            return found
        if not may_build:
            raise EngineNotBuiltError(found)
        ticket = ticket or BuildTicket()
        with ticket.turn(f"the {key.backend} engine of {key.model} for {key.size} in {key.precision}"):
            found = self._load(key)
            if isinstance(found, BuiltEngine):  # whoever had the turn before built it
                return found
            ticket.begin()
            built = build()
            return replace(built, why_built=found, not_kept=self._store(built))

    def amend(self, key: EngineKey, **facts: Any) -> None:
        """Add to a stored engine's manifest what became known after it was built; nothing happens where there is none.

        Args:
            key: of the engine.
            facts: fields of `Manifest`.
        """
        _, path = self._paths(key)
        with suppress(ManifestError, OSError, UnicodeDecodeError):
            manifest = replace(Manifest.from_json(path.read_text(encoding="utf-8")), **facts)
            write_whole(path, manifest.to_json().encode())

    def discard(self, key: EngineKey) -> None:
        """Forget an engine that turned out not to load."""
        for path in self._paths(key):
            with suppress(OSError):
                path.unlink()

    def _load(self, key: EngineKey) -> BuiltEngine | str:
        """The engine, or why there is none."""
        if problem := not_private(self._folder):
            return problem
        artifact, manifest_path = self._paths(key)
        try:
            manifest = Manifest.from_json(manifest_path.read_text(encoding="utf-8"))
            content = artifact.read_bytes()
        except FileNotFoundError:
            return self._nearest(key)
        except OSError as error:
            return f"the cache {self._folder} cannot be read ({error.strerror or error})"
        except (ManifestError, UnicodeDecodeError) as error:
            return f"the cached {manifest_path.name} is damaged: {str(error).rstrip('.')}"
        if manifest.key != key:
            return f"the cached engine's {differences(manifest.key, key)}"
        if hashlib.sha256(content).hexdigest() != manifest.artifact_sha256:
            return f"the cached {artifact.name} is damaged: its SHA-256 is not its manifest's"
        return BuiltEngine(content, manifest)

    def _nearest(self, key: EngineKey) -> str:
        """Why nothing fits: how the newest engine for the same purpose differs, if there is one."""
        newest: tuple[str, EngineKey] | None = None
        for path in self._folder.glob(f"{key.family}*.json"):
            try:
                manifest = Manifest.from_json(path.read_text(encoding="utf-8"))
            except (ManifestError, OSError, UnicodeDecodeError):
                continue
            if newest is None or manifest.built_at > newest[0]:
                newest = (manifest.built_at, manifest.key)
        if newest is None or not (described := differences(newest[1], key)):
            return f"no {key.precision} engine of {key.model} for {key.size} is cached"
        return f"the cached engine's {described}"

    def _store(self, engine: BuiltEngine) -> str:
        """Keep an engine; returns a sentence if that cannot be done, which harms nothing but the next start."""
        artifact, manifest_path = self._paths(engine.manifest.key)
        try:
            make_private(self._folder)
            if problem := not_private(self._folder):
                return f"it was not kept ({problem})"
            write_together({artifact: engine.content, manifest_path: engine.manifest.to_json().encode()})
        except OSError as error:
            return f"it was not kept in {self._folder} ({error.strerror or error})"
        return ""

    def _paths(self, key: EngineKey) -> tuple[Path, Path]:
        return self._folder / f"{key.name}.engine", self._folder / f"{key.name}.json"


def make_private(folder: Path) -> None:
    """Make a folder that nobody else may write to, if it is not there.

    Raises:
        OSError: it cannot be made.
    """
    folder.mkdir(_PRIVATE, parents=True, exist_ok=True)


def not_private(folder: Path) -> str:
    """Why a folder must not be trusted; empty if it may be, or is not there."""
    try:
        status = folder.stat()
    except OSError:
        return ""
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o022:
        return f"the cache {folder} is not yours alone to write; run 'chmod 700' on it, or remove it"
    return ""
