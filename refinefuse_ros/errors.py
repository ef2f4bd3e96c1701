# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The one kind of failure that is the user's to mend, and how what others raise becomes part of its sentence."""

from __future__ import annotations


class UserError(Exception):
    """Something outside the code is wrong (a file, a device); the message is one sentence that says what to do."""


def one_line(message: object) -> str:
    """What a library says over several lines as a part of a sentence: on one line, without its full stop."""
    return " ".join(str(message).split()).rstrip(".")


def first_line(error: Exception) -> str:
    """What a library says first, where the rest is a trace; the error's type where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
