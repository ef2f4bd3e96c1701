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
