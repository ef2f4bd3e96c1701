# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The fusion node within this process, with an engine that needs no network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from refinefuse_ros.nodes.fusion_node import FusionNode


@pytest.fixture
def node() -> Iterator[FusionNode]:
    import rclpy

    from refinefuse_ros.nodes.fusion_node import FusionNode

    parameters = ["engine.backend:=laplacian", "engine.width:=64", "engine.height:=64", "lazy:=false"]
    rclpy.init(args=["--ros-args", *(word for rule in parameters for word in ("-p", rule))], domain_id=101)
    node = FusionNode()
    try:
        yield node
    finally:
        node.close()
        node.destroy_node()
        rclpy.try_shutdown()
