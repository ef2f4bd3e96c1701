# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""A rendered night street for two cameras, so that everything can be shown and tested without any."""

from refinefuse_ros.image.synthetic.scene import SyntheticScene

__all__ = ["SyntheticScene"]
