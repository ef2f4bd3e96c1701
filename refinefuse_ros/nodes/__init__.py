# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The ROS 2 nodes: the only room of the house that imports rclpy."""
