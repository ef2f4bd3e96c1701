# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Whether fused images help a detector: its boxes on them and on both sources, held against labels."""
