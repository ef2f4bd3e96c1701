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

"""A signal ends a node that is busy building, at once and without an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")
pytest.importorskip("tensorrt_rtx_bindings", reason="needs TensorRT for RTX, which builds without a GPU")

# The node itself and the real builder; of the GPU only the driver's library is a stand-in.
_SCRIPT = """
import os, signal, sys

from conftest import FakeCuda
from refinefuse_ros.engine import cuda
from refinefuse_ros.engine.tensorrt_library import TensorRtLibrary

driver = FakeCuda()
cuda.load_driver = lambda: driver
fix_shape = TensorRtLibrary._fix_shape


def signal_in_the_build(*arguments):
    fix_shape(*arguments)
    os.kill(os.getpid(), signal.{signal})


TensorRtLibrary._fix_shape = signal_in_the_build

from refinefuse_ros.nodes.fusion_node import main

sys.exit(main())
"""


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
def test_a_signal_stops_the_build_for_which_configuring_waits(tmp_path: Path, signal: str) -> None:
    tests = Path(__file__).parents[1]
    paths = [str(tests / "engine"), str(tests.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "XDG_CACHE_HOME": str(tmp_path),
        "ROS_DOMAIN_ID": "101",
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
    parameters = ["--ros-args", "-p", "engine.backend:=tensorrt", "-p", "model:=base"]
    command = [sys.executable, "-c", _SCRIPT.format(signal=signal), *parameters]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout + ended.stderr
    assert "Building the tensorrt_rtx engine of base for 640x480 in fp16; this may take minutes." in said
    assert "Stopped after" in said
    assert "error" not in said.lower()
    assert not list(tmp_path.rglob("*.engine"))
