# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How RefineFuse runs: one Engine interface, its backends, and the artifacts they load."""
