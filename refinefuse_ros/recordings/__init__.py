# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""rosbag2 recordings without rosbag2: what is stored in them, what can be salvaged, reading, making, live writing."""
