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
