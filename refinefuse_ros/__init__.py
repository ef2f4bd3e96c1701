# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Thermal-RGB video fusion for ROS 2: the RefineFuse network, its engines, and the node that runs them."""

__version__ = "0.1.0"
