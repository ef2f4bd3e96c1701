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

"""Writing files that never look whole when they are not."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from refinefuse_ros.errors import UserError


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Says of a write that fails which file it was for: the system's own words for a full disk name none.

    Raises:
        UserError: instead of an OSError in the block.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all; a file that was there before stays until then.

    Raises:
        OSError: it cannot be written.
    """
    write_together({path: content})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """As `write_whole`, for files that are of use only together: where one cannot be written, none is.

    Raises:
        OSError: one cannot be written; it names that one.
    """
    partials = {path: _partial(path) for path in contents}
    try:
        for path, content in contents.items():
            with _naming(path):
                partials[path].write_bytes(content)
        for path, partial in partials.items():
            with _naming(path):
                partial.replace(path)
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)


def prepare_to_write(path: Path) -> None:
    """Say before long work what would be said after it: that `path` cannot be written. Its folder is made.

    Raises:
        UserError: it cannot.
    """
    with writing_to(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        trial = _partial(path)
        trial.touch()
        trial.unlink()


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Has an OSError in the block name `path`: a full disk names nothing, and nobody knows of a partial file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _partial(path: Path) -> Path:
    """A name of its own: another process, or thread, may be writing the same file."""
    return path.with_name(f"{path.name}.{uuid4().hex[:8]}.partial")
