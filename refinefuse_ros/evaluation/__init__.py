# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Scoring of fused images, files and recordings: metrics, verdict, gate and report."""
