# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The one kind of failure that is the user's to mend."""

from __future__ import annotations


class UserError(Exception):
    """Something outside the code is wrong (a file, a device); the message is one sentence that says what to do."""
