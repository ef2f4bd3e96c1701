# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Alignment: how the thermal and the RGB pictures lie to each other, in time and in space, and how that is found."""
