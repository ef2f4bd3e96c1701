# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Alignment: how thermal pictures lie to RGB pictures in space and in time, how it is found, and how it is applied."""
