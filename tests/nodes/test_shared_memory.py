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

"""Whose segment is how large is read off the locks that Fast DDS holds, as the kernel lists them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from std_msgs.msg import String

from refinefuse_ros.nodes.shared_memory import same_machine, segment_bytes


def gid(host: int, pid: int) -> list[int]:
    return [1, 15, *host.to_bytes(2, "little"), *(pid & 0xFFFF).to_bytes(2, "little"), *range(10)]


def add_segment(folder: Path, name: str, size: int) -> int:
    """A segment and its lock; the lock's inode."""
    (folder / f"fastrtps_{name}").write_bytes(bytes(size))
    lock = folder / f"fastrtps_{name}_el"
    lock.touch()
    return lock.stat().st_ino


def test_the_largest_segment_of_the_process_counts(tmp_path: Path) -> None:
    pid = 3 * 0x10000 + 77
    own, other = (add_segment(tmp_path, name, size) for name, size in (("a", 500), ("b", 9000)))
    second = add_segment(tmp_path, "c", 700)
    add_segment(tmp_path, "left_behind", 10_000)
    locks = tmp_path / "locks"
    locks.write_text(
        f"1: FLOCK  ADVISORY  WRITE {pid} 00:1b:{own} 0 EOF\n"
        f"2: FLOCK  ADVISORY  WRITE {pid} 00:1b:{second} 0 EOF\n"
        f"3: FLOCK  ADVISORY  WRITE 78 00:1b:{other} 0 EOF\n"
        "4: POSIX  ADVISORY  READ  77 00:1b:4711 0 EOF\n"
        "5: -> FLOCK  ADVISORY  WRITE 77 00:1b:4711 0 EOF\n"
    )
    assert segment_bytes(gid(1, pid), tmp_path, locks) == 700
    assert segment_bytes(gid(1, 79), tmp_path, locks) is None
    assert segment_bytes(gid(1, pid), tmp_path, tmp_path / "nothing") is None


def test_machines_are_told_apart() -> None:
    assert same_machine(gid(1, 5), gid(1, 6))
    assert not same_machine(gid(1, 5), gid(2, 5))


def test_this_process_s_own_segment_is_found() -> None:
    context = Context()
    rclpy.init(context=context, domain_id=101)
    node = Node("segment", context=context)
    try:
        node.create_publisher(String, "segment", 1)
        (own,) = node.get_publishers_info_by_topic("segment")
        assert int.from_bytes(bytes(own.endpoint_gid)[4:6], "little") == os.getpid() & 0xFFFF
        assert segment_bytes(own.endpoint_gid) > 100_000
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)
