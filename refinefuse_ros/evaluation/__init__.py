# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Scoring of fused images: metrics, bag and video reading, scorecard and report."""
