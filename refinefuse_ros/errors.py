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

"""The one kind of failure that is the user's to mend, and how what others raise becomes a sentence or a part of one."""

from __future__ import annotations


class UserError(Exception):
    """Something outside the code is wrong (a file, a device); the message is one sentence that says what to do."""


def in_words(error: Exception) -> str:
    """Whatever was raised, as a sentence for the one who has to know of it."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."
    return f"An unforeseen {type(error).__name__} ({one_line(error)}); please report this as a bug."


def one_line(message: object) -> str:
    """What a library says over several lines as a part of a sentence: on one line, without its full stop."""
    return " ".join(str(message).split()).rstrip(".")


def first_line(error: Exception) -> str:
    """What a library says first, where the rest is a trace; the error's type where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
