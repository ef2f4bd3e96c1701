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

"""The little of CUDA that a plan needs (memory, one stream, one graph), from the driver's own library by ctypes.

The driver brings libcuda on a Jetson and on a PC alike, so nothing has to be installed for it and torch stays away.
Names, versions and signatures are those of cuda.h; entry points keep their ABI suffix (`_v2`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import ExitStack, suppress
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any, TypeVar

import numpy as np

from refinefuse_ros.engine.base import EngineError

_A, _R = TypeVar("_A"), TypeVar("_R")

_LIBRARY = "libcuda.so.1"
_OUT_OF_MEMORY = 2
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
_STREAM_NON_BLOCKING = 1
_CAPTURE_THREAD_LOCAL = 1  # other threads may go on using CUDA while this one captures

_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuGetErrorString": (c_int, POINTER(c_char_p)),
    "cuDeviceGetCount": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (POINTER(c_void_p), c_int),
    "cuDevicePrimaryCtxRelease_v2": (c_int,),
    "cuCtxGetCurrent": (POINTER(c_void_p),),
    "cuCtxSetCurrent": (c_void_p,),
    "cuMemAlloc_v2": (POINTER(c_uint64), c_size_t),
    "cuMemFree_v2": (c_uint64,),
    "cuMemGetInfo_v2": (POINTER(c_size_t), POINTER(c_size_t)),
    "cuMemHostAlloc": (POINTER(c_void_p), c_size_t, c_uint),
    "cuMemFreeHost": (c_void_p,),
    "cuMemcpyHtoDAsync_v2": (c_uint64, c_void_p, c_size_t, c_void_p),
    "cuMemcpyDtoHAsync_v2": (c_void_p, c_uint64, c_size_t, c_void_p),
    "cuStreamCreate": (POINTER(c_void_p), c_uint),
    "cuStreamDestroy_v2": (c_void_p,),
    "cuStreamSynchronize": (c_void_p,),
    "cuEventCreate": (POINTER(c_void_p), c_uint),
    "cuEventDestroy_v2": (c_void_p,),
    "cuEventRecord": (c_void_p, c_void_p),
    "cuEventElapsedTime": (POINTER(c_float), c_void_p, c_void_p),
    "cuStreamBeginCapture_v2": (c_void_p, c_int),
    "cuStreamEndCapture": (c_void_p, POINTER(c_void_p)),
    "cuGraphInstantiateWithFlags": (POINTER(c_void_p), c_void_p, c_uint64),
    "cuGraphLaunch": (c_void_p, c_void_p),
    "cuGraphDestroy": (c_void_p,),
    "cuGraphExecDestroy": (c_void_p,),
}


def load_driver() -> Any:
    """The NVIDIA driver's library, initialised.

    Raises:
        EngineError: there is no driver here, or it does not start.
    """
    try:
        driver = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise EngineError(
            f"There is no NVIDIA driver on this machine ({_LIBRARY} is missing); install it, or use another backend."
        ) from error
    _call(driver, "cuInit", 0)
    return driver


def has_gpu() -> bool:
    """Whether an NVIDIA driver and a GPU are here; takes no time where there are none."""
    try:
        driver = load_driver()
        count = c_int()
        _call(driver, "cuDeviceGetCount", byref(count))
    except EngineError:
        return False
    return count.value > 0


def in_this_context(work: Callable[[_A], _R]) -> Callable[[_A], _R]:
    """`work` for another thread, in which this thread's CUDA context will be current; without a driver, as it is."""
    try:
        driver = load_driver()
    except EngineError:
        return work
    context = c_void_p()
    _call(driver, "cuCtxGetCurrent", byref(context))

    def in_context(argument: _A) -> _R:
        _call(driver, "cuCtxSetCurrent", context)
        return work(argument)

    return in_context


class Gpu:
    """One GPU through its primary context (the one that TensorRT and torch use), with what was allocated on it.

    Attributes:
        name: as the driver gives it.
        capability: (major, minor), such as (8, 6).

    Args:
        device: "auto" or "cuda" for the first GPU, or "cuda:N".
        driver: the driver's library; None loads it.

    Raises:
        EngineError: no driver, no such device, or the driver refuses.
    """

    def __init__(self, device: str = "auto", driver: Any = None) -> None:
        self._driver = driver if driver is not None else load_driver()
        self._releases = ExitStack()
        self._device = self._find(device)
        name = ctypes.create_string_buffer(256)
        self._run("cuDeviceGetName", name, len(name), self._device)
        self.name = name.value.decode(errors="replace")
        self.capability = (self._attribute(_CAPABILITY_MAJOR), self._attribute(_CAPABILITY_MINOR))
        self._context = c_void_p()
        self._run("cuDevicePrimaryCtxRetain", byref(self._context), self._device)
        self._later("cuDevicePrimaryCtxRelease_v2", self._device)
        self.make_current()

    def make_current(self) -> None:
        """Bind the context to the calling thread: needed once in every thread that uses the GPU, and costs nothing."""
        self._run("cuCtxSetCurrent", self._context)

    def free_bytes(self) -> int:
        """Memory of the GPU that nobody uses."""
        free, total = c_size_t(), c_size_t()
        self._run("cuMemGetInfo_v2", byref(free), byref(total))
        return free.value

    def device_buffer(self, nbytes: int) -> int:
        """Address of `nbytes` of GPU memory, freed by `close`."""
        address = c_uint64()
        self._run("cuMemAlloc_v2", byref(address), nbytes)
        self._later("cuMemFree_v2", address.value)
        return address.value

    def pinned_plane(self, shape: tuple[int, int]) -> np.ndarray:
        """A (H, W) uint8 array in page-locked memory, which the GPU copies from and to by itself.

        It must not be touched after `close`.
        """
        nbytes = shape[0] * shape[1]
        address = c_void_p()
        self._run("cuMemHostAlloc", byref(address), nbytes, 0)
        self._later("cuMemFreeHost", address.value)
        return np.frombuffer((ctypes.c_uint8 * nbytes).from_address(address.value), np.uint8).reshape(shape)

    def stream(self) -> int:
        """A stream of its own, destroyed by `close`."""
        stream = c_void_p()
        self._run("cuStreamCreate", byref(stream), _STREAM_NON_BLOCKING)
        self._later("cuStreamDestroy_v2", stream.value)
        return int(stream.value or 0)

    def event(self) -> int:
        """A moment in a stream, to be recorded as often as wanted, destroyed by `close`."""
        event = c_void_p()
        self._run("cuEventCreate", byref(event), 0)
        self._later("cuEventDestroy_v2", event.value)
        return int(event.value or 0)

    def record(self, event: int, stream: int) -> None:
        """Put the event into the stream, behind the work that is in it."""
        self._run("cuEventRecord", event, stream)

    def elapsed_ms(self, start: int, end: int) -> float:
        """GPU time between two events of a synchronised stream."""
        elapsed = c_float()
        self._run("cuEventElapsedTime", byref(elapsed), start, end)
        return elapsed.value

    def upload(self, plane: np.ndarray, address: int, stream: int) -> None:
        """Copy a pinned array to the GPU, in the order of the stream."""
        self._run("cuMemcpyHtoDAsync_v2", address, plane.ctypes.data, plane.nbytes, stream)

    def download(self, address: int, plane: np.ndarray, stream: int) -> None:
        """Copy from the GPU into a pinned array, in the order of the stream."""
        self._run("cuMemcpyDtoHAsync_v2", plane.ctypes.data, address, plane.nbytes, stream)

    def synchronize(self, stream: int) -> None:
        """Wait for everything in the stream; errors of the work in it come out here."""
        self._run("cuStreamSynchronize", stream)

    def capture(self, stream: int, work: Callable[[], None]) -> Callable[[], None]:
        """Record what `work` puts into `stream` as one CUDA graph; the function returned launches it there.

        Raises:
            EngineError: `work` raised it, or did what cannot be captured.
        """
        graph, executable = c_void_p(), c_void_p()
        self._run("cuStreamBeginCapture_v2", stream, _CAPTURE_THREAD_LOCAL)
        try:
            work()
        except Exception:
            with suppress(EngineError):  # a stream that is left capturing can never be used again
                self._run("cuStreamEndCapture", stream, byref(graph))
            raise
        self._run("cuStreamEndCapture", stream, byref(graph))
        try:
            self._run("cuGraphInstantiateWithFlags", byref(executable), graph, 0)
        finally:
            self._run("cuGraphDestroy", graph)
        self._later("cuGraphExecDestroy", executable.value)
        return lambda: self._run("cuGraphLaunch", executable, stream)

    def close(self) -> None:
        """Give everything back, the newest first. The arrays and addresses that were handed out are then gone."""
        with suppress(EngineError):
            self.make_current()
        self._releases.close()

    def _find(self, device: str) -> int:
        count, handle = c_int(), c_int()
        self._run("cuDeviceGetCount", byref(count))
        kind, _, index = device.partition(":")
        if device != "auto" and (kind != "cuda" or not (index or "0").isdigit()):
            raise EngineError(f"'{device}' is not a CUDA device; use auto, cuda or cuda:N.")
        ordinal = int(index or 0)
        if ordinal >= count.value:
            raise EngineError(f"There is no GPU number {ordinal}, the driver sees {count.value}; use another device.")
        self._run("cuDeviceGet", byref(handle), ordinal)
        return handle.value

    def _attribute(self, attribute: int) -> int:
        value = c_int()
        self._run("cuDeviceGetAttribute", byref(value), attribute, self._device)
        return value.value

    def _later(self, name: str, *arguments: Any) -> None:
        """Call `name` at `close`; a GPU that is gone refuses, and there is nothing left to do about it."""

        def release() -> None:
            with suppress(EngineError):
                self._run(name, *arguments)

        self._releases.callback(release)

    def _run(self, name: str, *arguments: Any) -> None:
        _call(self._driver, name, *arguments)


class Lane:
    """The way of a pair to the GPU and back: page-locked planes at this end, one stream, two events to time it by.

    Attributes:
        inputs: thermal and visible, (H, W) uint8, from which the work in the stream uploads.
        output: (H, W) uint8, into which it downloads the fused plane.
        stream: in which the work runs, and nothing else.

    Args:
        gpu: on which it runs; the planes are gone with its `close`.
        shape: (H, W) of the planes.
        stream: one of this GPU, whoever made it; None makes one.

    Raises:
        EngineError: the driver refuses, as where memory is short.
    """

    def __init__(self, gpu: Gpu, shape: tuple[int, int], stream: int | None = None) -> None:
        self._gpu = gpu
        self.inputs = (gpu.pinned_plane(shape), gpu.pinned_plane(shape))
        self.output = gpu.pinned_plane(shape)
        self.stream = gpu.stream() if stream is None else stream
        self._start, self._end = gpu.event(), gpu.event()

    def run(self, thermal: np.ndarray, visible: np.ndarray, launch: Callable[[], object]) -> float:
        """Take one pair there and back; the fused plane is then in `output`.

        Args:
            thermal: (H, W) uint8.
            visible: the same.
            launch: puts the work into the stream: uploads `inputs`, computes, downloads `output`.

        Returns:
            Its time on the GPU in ms, copies included.

        Raises:
            EngineError: `launch` raised it, or something in the stream failed.
        """
        self._gpu.make_current()  # the worker's thread is not the one that built the engine
        for plane, given in zip(self.inputs, (thermal, visible), strict=True):
            np.copyto(plane, given)
        self._gpu.record(self._start, self.stream)
        launch()
        self._gpu.record(self._end, self.stream)
        self._gpu.synchronize(self.stream)
        return self._gpu.elapsed_ms(self._start, self._end)


def _call(driver: Any, name: str, *arguments: Any) -> None:
    try:
        function = getattr(driver, name)
    except AttributeError as error:
        raise EngineError(f"The NVIDIA driver is too old, it has no {name}; update it.") from error
    function.argtypes, function.restype = _SIGNATURES[name], c_int
    result = function(*arguments)
    if result == 0:
        return
    text = c_char_p()
    driver.cuGetErrorString.argtypes = _SIGNATURES["cuGetErrorString"]
    driver.cuGetErrorString(result, byref(text))
    reason = text.value.decode() if text.value else "unknown error"
    advice = "free GPU memory or use a smaller size" if result == _OUT_OF_MEMORY else "check the driver with nvidia-smi"
    raise EngineError(f"CUDA refused {name}: {reason} (error {result}); {advice}.")
