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

"""Starting and ending a node as a process: the DDS profile, signals, and one clear sentence when it cannot start."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

import cv2
import rclpy
from rclpy._rclpy_pybind11 import RCLError, UnknownROSArgsError
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from refinefuse_ros.errors import UserError, first_line, one_line
from refinefuse_ros.resources import PROFILE_VARIABLES, shared_path

# <malloc.h>
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
# Blocks up to this size come from the heap (glibc's largest value), which keeps up to that much when they are freed.
KEPT_BLOCK_BYTES = 32 * 1024 * 1024
KEPT_BYTES = 256 * 1024 * 1024


class StartError(UserError):
    """The node cannot start; the message is one sentence."""


def use_large_image_transport() -> None:
    """Make Fast DDS use the shipped profile, unless the user has chosen one. Must come before rclpy.init."""
    for name in PROFILE_VARIABLES:  # up to Jazzy Fast DDS reads the first, later the second
        if not os.environ.get(name):
            os.environ[name] = str(shared_path("config/fastdds_large_images.xml"))


def keep_freed_memory() -> None:
    """Let glibc keep what was freed for the next image, instead of giving pages of megabytes back for each message.

    The kernel clears a page when it hands it out again: for a 640x480 pair that is milliseconds on the way of a frame.
    Does nothing with another C library.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(M_MMAP_THRESHOLD, KEPT_BLOCK_BYTES)
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
    mallopt(M_TOP_PAD, KEPT_BLOCK_BYTES)


def _stray_arguments(arguments: Sequence[str]) -> int | None:
    """The status to end with for arguments that are none of ROS's, after a word on them; None where there are none.

    A node that started all the same would run with other settings than were meant.
    """
    try:
        program, *stray = remove_ros_args(arguments)
    except RCLError:  # of ROS's own, and malformed: said when rclpy is initialised
        return None
    if not stray:
        return None
    usage = f"{Path(program).name} --ros-args -p PARAMETER:=VALUE --params-file FILE -r TOPIC:=OTHER"
    if {"-h", "--help"} & set(stray):
        print(f"usage: {usage}\n\nThe parameters, with their ranges, are in config/fuse.yaml and docs/parameters.md.")
        return 0
    print(f"error: '{stray[0]}' is no argument of ROS; give them after --ros-args: {usage}", file=sys.stderr)
    return 2


def run_node(create: Callable[[], Node], after_start: Callable[[Node], None] | None = None) -> int:
    """Run a node until SIGINT, SIGTERM or its own `finished`; returns the process's exit status.

    A node that works for long in one callback has an `interrupt`, which either signal calls: it must only set
    something that ends that work, for it runs between any two steps of the main thread.

    Args:
        create: makes the node; rclpy is up.
        after_start: what to do once, before spinning; a `StartError` after a signal is no error.

    `UserError` and `ValueError` (a refused parameter) become one line on standard error and status 1. So does the error
    that a node has in its `failure` after it was closed; raised in a callback, the events executor would print it with
    a traceback. rclpy's signal handlers are left out: they shut the context down under a running callback, and
    publishers with it.
    """
    status = _stray_arguments(sys.argv)
    if status is not None:
        return status
    stop = threading.Event()
    node: Node | None = None

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()
        interrupt = getattr(node, "interrupt", None)
        if interrupt is not None:
            interrupt()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    use_large_image_transport()
    keep_freed_memory()
    cv2.setNumThreads(1)  # its pool gains nothing on camera images and takes cores from the engine
    try:
        node = _create_node(create)
        try:
            _spin(node, after_start, stop)
        finally:
            close = getattr(node, "close", None)
            if close is not None:
                close()
        failure = getattr(node, "failure", None)
        if failure is not None:
            raise failure
        return 0
    except (UserError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()


def _create_node(create: Callable[[], Node]) -> Node:
    """The node, with ROS up.

    Raises:
        StartError: ROS refuses an argument (`--ros-args`) or one of its own parameters.
        UserError, ValueError: the node cannot be made.
    """
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        return create()
    except (RCLError, UnknownROSArgsError, ParameterException) as error:
        what = one_line(str(error).partition(", at /")[0])  # the rest is where in rcl's source
        raise StartError(f"ROS refuses to start the node: {what}; check what is given after --ros-args.") from error


def _spin(node: Node, after_start: Callable[[Node], None] | None, stop: threading.Event) -> None:
    """Handle callbacks until `stop`, the node's own end, or that of the context."""
    executor = _create_executor()
    executor.add_node(node)
    try:
        if after_start is not None:
            after_start(node)
    except StartError:
        if not stop.is_set():
            raise
    with suppress(ExternalShutdownException):
        while not stop.is_set() and not getattr(node, "finished", False):
            _spin_once(executor, node)


def _create_executor() -> Executor:
    """rclpy's event-driven executor where this rclpy has it: it saves a millisecond on the way of each frame.

    The other one builds a wait set of every service, timer and subscription anew for each callback.
    """
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor()
    return EventsExecutor()


def _spin_once(executor: Executor, node: Node) -> None:
    """Handle callbacks for a moment; a request that rcl refuses is only logged."""
    try:
        executor.spin_once(timeout_sec=0.1)
    except RCLError as error:
        node.get_logger().error(f"A request was refused: {first_line(error)}")
