# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Spreading a verdict's work over processes: pairs cut into chunks, workers that fuse and score them, and the tally."""
