# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Alignment: where the thermal picture lies in the RGB picture, how that is found, and how it is applied."""
