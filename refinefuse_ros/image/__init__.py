# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Pixels in and out: ROS encodings, colour, thermal normalisation, alignment and a synthetic scene; numpy and
OpenCV only."""
