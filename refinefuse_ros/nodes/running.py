# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Starting and ending a node as a process: the DDS profile, signals, and one clear sentence when it cannot start."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from refinefuse_ros.errors import UserError
from refinefuse_ros.resources import shared_path

PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


class StartError(UserError):
    """The node cannot start; the message is one sentence."""


def use_large_image_transport() -> None:
    """Make Fast DDS use the shipped profile, unless the user has chosen one. Must come before rclpy.init."""
    if not any(os.environ.get(name) for name in PROFILE_VARIABLES):
        os.environ[PROFILE_VARIABLES[0]] = str(shared_path("config/fastdds_large_images.xml"))


def run_node(create: Callable[[], Node], after_start: Callable[[Node], None] | None = None) -> int:
    """Run a node until SIGINT, SIGTERM or its own `request_stop`; returns the process's exit status.

    Args:
        create: makes the node; rclpy is up.
        after_start: what to do once, before spinning.

    `StartError` and `ValueError` from either become one line on standard error and status 1. rclpy's own signal
    handlers are left out: they shut the context down under a running callback, and publishers with it.
    """
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    use_large_image_transport()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node: Node | None = None
    try:
        node = create()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        if after_start is not None:
            after_start(node)
        while not stop.is_set() and not getattr(node, "finished", False):
            executor.spin_once(timeout_sec=0.1)
        return 0
    except ExternalShutdownException:
        return 0
    except (UserError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        if node is not None:
            close = getattr(node, "close", None)
            if close is not None:
                close()
            node.destroy_node()
        rclpy.try_shutdown()
