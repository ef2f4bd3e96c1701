# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""A lifecycle node that answers every request for a transition, also one that is not possible in its state."""

from __future__ import annotations

from lifecycle_msgs.srv import ChangeState
from rclpy._rclpy_pybind11 import RCLError
from rclpy.lifecycle import LifecycleNode


def answer_impossible_transitions(node: LifecycleNode) -> None:
    """Let `change_state` answer `success: false` to a transition that the node's state does not allow.

    rclpy lets rcl's error out of the service's callback, and whoever asked (a lifecycle manager) waits for ever.
    """
    service = node._service_change_state
    change_state = service.callback

    def answer(request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
        try:
            return change_state(request, response)
        except RCLError:
            _, state = node._state_machine.current_state
            asked = request.transition.label or request.transition.id
            node.get_logger().warning(f"The transition {asked} was refused: it is not possible in the state {state}.")
            response.success = False
            return response

    service.callback = answer
