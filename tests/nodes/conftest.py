# Copyright 2026 refinefuse_ros contributors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

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
