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

"""The CUDA driver by ctypes: nothing is leaked, errors are sentences, a capture never leaves the stream unusable."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from refinefuse_ros.engine import cuda as driver_module
from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.engine.cuda import Gpu, Lane, has_gpu, in_this_context, load_driver


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "_LIBRARY", "libcuda_that_is_not_there.so.1")


@pytest.mark.usefixtures("no_driver")
def test_without_a_driver_there_is_no_gpu_and_no_delay() -> None:
    start = time.perf_counter()
    assert not has_gpu()
    assert time.perf_counter() - start < 0.05
    with pytest.raises(EngineError, match="There is no NVIDIA driver on this machine"):
        load_driver()


def test_it_says_which_gpu_it_is(cuda: Any) -> None:
    gpu = Gpu("cuda:0", cuda)
    assert (gpu.name, gpu.capability) == ("Stand-in GPU", (8, 6))


@pytest.mark.parametrize(
    ("device", "sentence"),
    [("cuda:1", "no GPU number 1, the driver sees 1"), ("CPU", "'CPU' is not a CUDA device"), ("cuda:x", "cuda:x")],
)
def test_other_devices_are_refused(cuda: Any, device: str, sentence: str) -> None:
    with pytest.raises(EngineError, match=sentence):
        Gpu(device, cuda)


def test_planes_go_up_and_come_down(cuda: Any) -> None:
    gpu = Gpu(driver=cuda)
    there, back = gpu.pinned_plane((3, 4)), gpu.pinned_plane((3, 4))
    there[:] = np.arange(12).reshape(3, 4)
    address, stream = gpu.device_buffer(12), gpu.stream()
    gpu.upload(there, address, stream)
    gpu.download(address, back, stream)
    gpu.synchronize(stream)
    np.testing.assert_array_equal(back, there)


@pytest.mark.parametrize("stream", [None, 5])
def test_a_lane_takes_a_pair_there_and_back(cuda: Any, stream: int | None) -> None:
    gpu = Gpu(driver=cuda)
    lane = Lane(gpu, (3, 4), stream)
    assert ("cuStreamCreate" in cuda.calls) == (stream is None)
    address = gpu.device_buffer(12)

    def launch() -> None:
        gpu.upload(lane.inputs[1], address, lane.stream)
        gpu.download(address, lane.output, lane.stream)

    thermal, visible = np.random.default_rng(0).integers(0, 256, (2, 3, 4), np.uint8)
    cuda.calls.clear()
    assert lane.run(thermal, visible, launch) == 0.5
    np.testing.assert_array_equal(lane.inputs[0], thermal)
    np.testing.assert_array_equal(lane.output, visible)
    assert cuda.calls[0] == "cuCtxSetCurrent"
    assert cuda.calls[-2:] == ["cuStreamSynchronize", "cuEventElapsedTime"]


def test_closing_gives_everything_back(cuda: Any) -> None:
    gpu = Gpu(driver=cuda)
    gpu.pinned_plane((3, 4))
    gpu.device_buffer(12)
    gpu.capture(gpu.stream(), lambda: None)
    gpu.close()
    assert (cuda.memory, cuda.graphs) == ({}, {})
    assert cuda.calls[-1] == "cuDevicePrimaryCtxRelease_v2"
    assert "cuStreamDestroy_v2" in cuda.calls


def test_closing_a_gpu_that_is_gone_raises_nothing(cuda: Any) -> None:
    gpu = Gpu(driver=cuda)
    gpu.device_buffer(12)
    cuda.refuse = {"cuMemFree_v2": 719, "cuCtxSetCurrent": 719}
    gpu.close()


def test_work_of_another_thread_is_done_in_this_threads_context(cuda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "load_driver", lambda: cuda)
    work = in_this_context(lambda argument: (argument, cuda.calls[-1]))
    cuda.calls.clear()
    assert work("argument") == ("argument", "cuCtxSetCurrent")  # the stand-in knows one context, and holds it to that


@pytest.mark.usefixtures("no_driver")
def test_without_a_driver_there_is_no_context_to_work_in() -> None:
    assert in_this_context(str)(12) == "12"


def test_out_of_memory_is_a_sentence(cuda: Any) -> None:
    gpu = Gpu(driver=cuda)
    cuda.refuse["cuMemAlloc_v2"] = 2
    with pytest.raises(EngineError, match=r"out of memory \(error 2\); free GPU memory or use a smaller size"):
        gpu.device_buffer(12)


def test_a_driver_without_an_entry_point_is_too_old(cuda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu(driver=cuda)
    monkeypatch.setattr(type(cuda), "do_cuGraphInstantiateWithFlags", None)
    with pytest.raises(EngineError, match="driver is too old, it has no cuGraphInstantiateWithFlags; update it"):
        gpu.capture(gpu.stream(), lambda: None)
    assert cuda.graphs == {}


def test_work_that_fails_ends_its_capture(cuda: Any) -> None:
    gpu = Gpu(driver=cuda)
    stream = gpu.stream()

    def fail() -> None:
        raise EngineError("It does not run.")

    with pytest.raises(EngineError, match="It does not run"):
        gpu.capture(stream, fail)
    assert cuda.recorded is None
    gpu.synchronize(stream)
