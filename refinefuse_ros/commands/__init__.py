# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The `refinefuse` command: a file (or folder) a verb, with its arguments and what it does. Nobody imports it."""
