# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Time: pairing, the latest-pair slot, the frame ledger, stage timers and health. No ROS and no torch."""
