# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Settings of the whole suite: a shared machine may stall any example, so none has a deadline; Ctrl-C is heard."""

import signal

from hypothesis import settings

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")
# A shell starts what runs in the background deaf to it, and all its children too: those that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
