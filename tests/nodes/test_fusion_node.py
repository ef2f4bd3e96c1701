# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The fusion node within this process: what nobody foresaw costs a pair or a transition, and is said."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

import rclpy
from rclpy.lifecycle import TransitionCallbackReturn

from refinefuse_ros.image.frame import Frame
from refinefuse_ros.nodes import fusion_node
from refinefuse_ros.nodes.messages import to_image
from refinefuse_ros.stream.outcome import Stream

WAIT_S = 10.0


@pytest.fixture
def node() -> Iterator[fusion_node.FusionNode]:
    rclpy.init(args=["--ros-args", "-p", "engine.backend:=laplacian", "-p", "engine.width:=64"], domain_id=101)
    node = fusion_node.FusionNode()
    try:
        yield node
    finally:
        node.close()
        node.destroy_node()
        rclpy.try_shutdown()


def fail(*arguments: object) -> None:
    raise KeyError("nobody foresaw this")


def fuse_pair(node: fusion_node.FusionNode, number: int) -> None:
    pixels = np.full((64, 64, 3), 100, np.uint8)
    for stream in Stream:
        node._on_image(stream, to_image(Frame(number * 1_000_000_000, "camera", "bgr8", pixels)))


def pairs_settle(node: fusion_node.FusionNode, published: int, failed: int) -> bool:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        pairs = node._monitor.ledger.snapshot().pairs
        if (pairs.published, pairs.failed) == (published, failed):
            return True
        time.sleep(0.01)
    return False


def test_a_pair_that_fails_in_an_unforeseen_way_does_not_end_the_worker(node, monkeypatch) -> None:
    fusion_node.start(node)
    with monkeypatch.context() as patched:
        patched.setattr(node._pipeline, "fuse", fail)
        fuse_pair(node, 1)
        assert pairs_settle(node, published=0, failed=1)
    fuse_pair(node, 2)
    assert pairs_settle(node, published=1, failed=1)


def test_a_transition_that_fails_in_an_unforeseen_way_says_why(node, monkeypatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(fusion_node, "create_synchronizer", fail)
        assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert node.start_error == "An unforeseen KeyError ('nobody foresaw this'); please report this as a bug."
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
