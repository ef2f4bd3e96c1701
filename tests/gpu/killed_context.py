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

"""Kills this process' CUDA context under a running engine, and prints as JSON what serves then. A test runs it."""

from __future__ import annotations

import ctypes
import json
import sys

import numpy as np

from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.engine.cuda import Gpu, load_driver
from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.engine.host import EngineHost
from refinefuse_ros.evaluation.comparing import sample_pairs
from refinefuse_ros.image.frame import ImageSize

SIZE = ImageSize(640, 480)
ATTEMPTS = 50
KERNEL = b"""
.version 6.3
.target sm_75
.address_size 64
.visible .entry kill()
{
    trap;
    ret;
}
"""


def main(backend: str) -> None:
    host = EngineHost(EngineRequest("nano", backend, device="cuda"), SIZE)
    ((thermal, visible),) = sample_pairs(None, SIZE, 1).planes
    expected = host.fuse(thermal, visible).astype(np.int16)
    error = kill_context()
    failures: list[str] = []
    while True:
        try:
            picture = host.fuse(thermal, visible)
            break
        except EngineError as failure:
            failures.append(str(failure))
            if len(failures) == ATTEMPTS:
                raise
    told = {
        "cuda_error": error,
        "failures": len(failures),
        "served_by": host.info.backend,
        "mean_difference": float(np.abs(picture - expected).mean()),
        "said": failures[-1] if failures else "",
    }
    host.close()
    print(json.dumps(told))


def kill_context() -> int:
    """Run a kernel that traps: the context, which TensorRT and torch share, is of no use from then on.

    Returns:
        The driver's error.
    """
    gpu = Gpu()
    driver = load_driver()
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    for name, *arguments in (
        ("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(KERNEL)),
        ("cuModuleGetFunction", ctypes.byref(function), module, ctypes.c_char_p(b"kill")),
    ):
        if result := call(driver, name, *arguments):
            raise SystemExit(f"{name} gives error {result}; the kernel that kills could not be loaded.")
    sides = [ctypes.c_uint(1)] * 6
    nothing = ctypes.c_void_p()
    call(driver, "cuLaunchKernel", function, *sides, ctypes.c_uint(0), nothing, nothing, nothing)
    error = call(driver, "cuCtxSynchronize")
    gpu.close()
    if error == 0:
        raise SystemExit("The kernel that was to kill the context did not.")
    return error


def call(driver: ctypes.CDLL, name: str, *arguments: object) -> int:
    function = getattr(driver, name)
    function.argtypes, function.restype = None, ctypes.c_int
    return int(function(*arguments))


if __name__ == "__main__":
    main(sys.argv[1])
