# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Overrides of a topic's QoS by parameter (`qos_overrides.<topic>...`): what rclpy refuses becomes a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rclpy.exceptions import InvalidParameterTypeException
from rclpy.qos_overriding_options import InvalidQosOverridesError

from refinefuse_ros.nodes.running import StartError


@contextmanager
def refused_overrides_in_words() -> Iterator[None]:
    """For the creation of one publisher or subscription with `qos_overriding_options`.

    Raises:
        StartError: an override is no policy, of another type, or refused.
    """
    try:
        yield
    except (RuntimeError, InvalidParameterTypeException, InvalidQosOverridesError) as error:
        raise StartError(f"A QoS override cannot be used: {error}.") from error
