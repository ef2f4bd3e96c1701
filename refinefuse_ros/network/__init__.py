# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""RefineFuse itself: its blocks, the model, its variants and its weight files. Imported to train and to
export, never by a node.
"""
