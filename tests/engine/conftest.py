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

"""A stand-in for libcuda, so that what surrounds a GPU is tested without one: memory is the host's, work is done at
once, and a capture records it until the graph is launched.
"""
# ruff: noqa: N802 (the driver's names)

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import c_char_p
from typing import Any

import pytest

NAME, CAPABILITY = "Stand-in GPU", {75: 8, 76: 6}
TOTAL_BYTES = 10**9


class Function:
    """Like a ctypes function: counts and converts its arguments by `argtypes`."""

    argtypes: tuple[Any, ...] = ()
    restype: Any = None

    def __init__(self, work: Callable[..., int | None]) -> None:
        self.work = work

    def __call__(self, *arguments: Any) -> int:
        assert len(arguments) == len(self.argtypes), self.work.__name__
        plain = []
        for argument, kind in zip(arguments, self.argtypes, strict=True):
            if hasattr(argument, "_obj") or isinstance(argument, ctypes.Array):
                plain.append(argument)
            else:
                plain.append(kind(getattr(argument, "value", argument)).value)
        return self.work(*plain) or 0


class FakeCuda:
    """The entry points that `Gpu` calls.

    Attributes:
        memory: what is allocated, by address.
        calls: every entry point called, in order.
        refuse: entry points that return an error, with its number.
        recorded: the open capture.
    """

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self.memory: dict[int, Any] = {}
        self.calls: list[str] = []
        self.refuse: dict[str, int] = {}
        self.recorded: list[Callable[[], Any]] | None = None
        self.graphs: dict[int, list[Callable[[], Any]]] = {}

    def __getattr__(self, name: str) -> Function:
        work = getattr(type(self), f"do_{name}", None)
        if work is None:
            raise AttributeError(name)

        def call(*arguments: Any) -> int | None:
            self.calls.append(name)
            return self.refuse.get(name) or work(self, *arguments)

        call.__name__ = name
        function = Function(call)
        self.__dict__[name] = function
        return function

    def enqueue(self, work: Callable[[], Any]) -> None:
        """What a library does with work for a stream."""
        if self.recorded is not None:
            self.recorded.append(work)
        else:
            work()

    def do_cuInit(self, flags: int) -> None: ...

    def do_cuGetErrorString(self, error: int, text: Any) -> None:
        text._obj.value = c_char_p(b"out of memory" if error == 2 else b"unspecified launch failure").value

    def do_cuDeviceGetCount(self, count: Any) -> None:
        count._obj.value = self.count

    def do_cuDeviceGet(self, handle: Any, ordinal: int) -> None:
        handle._obj.value = ordinal

    def do_cuDeviceGetName(self, name: Any, length: int, device: int) -> None:
        name.value = NAME.encode()

    def do_cuDeviceGetAttribute(self, value: Any, attribute: int, device: int) -> None:
        value._obj.value = CAPABILITY[attribute]

    def do_cuDevicePrimaryCtxRetain(self, context: Any, device: int) -> None:
        context._obj.value = 77

    def do_cuDevicePrimaryCtxRelease_v2(self, device: int) -> None: ...

    def do_cuCtxGetCurrent(self, context: Any) -> None:
        context._obj.value = 77

    def do_cuCtxSetCurrent(self, context: int) -> None:
        assert context == 77

    def do_cuMemAlloc_v2(self, address: Any, size: int) -> None:
        self._allocate(address, size)

    def do_cuMemFree_v2(self, address: int) -> None:
        del self.memory[address]

    def do_cuMemGetInfo_v2(self, free: Any, total: Any) -> None:
        free._obj.value = TOTAL_BYTES - sum(map(len, self.memory.values()))
        total._obj.value = TOTAL_BYTES

    def do_cuMemHostAlloc(self, address: Any, size: int, flags: int) -> None:
        self._allocate(address, size)

    def do_cuMemFreeHost(self, address: int) -> None:
        del self.memory[address]

    def do_cuMemcpyHtoDAsync_v2(self, target: int, source: int, size: int, stream: int) -> None:
        assert stream == 5
        self.enqueue(lambda: ctypes.memmove(target, source, size))

    def do_cuMemcpyDtoHAsync_v2(self, target: int, source: int, size: int, stream: int) -> None:
        assert stream == 5
        self.enqueue(lambda: ctypes.memmove(target, source, size))

    def do_cuStreamCreate(self, stream: Any, flags: int) -> None:
        stream._obj.value = 5

    def do_cuStreamDestroy_v2(self, stream: int) -> None:
        assert stream == 5

    def do_cuStreamSynchronize(self, stream: int) -> None:
        assert self.recorded is None

    def do_cuEventCreate(self, event: Any, flags: int) -> None:
        event._obj.value = 6

    def do_cuEventDestroy_v2(self, event: int) -> None: ...

    def do_cuEventRecord(self, event: int, stream: int) -> None:
        assert self.recorded is None

    def do_cuEventElapsedTime(self, elapsed: Any, start: int, end: int) -> None:
        elapsed._obj.value = 0.5

    def do_cuStreamBeginCapture_v2(self, stream: int, mode: int) -> None:
        self.recorded = []

    def do_cuStreamEndCapture(self, stream: int, graph: Any) -> None:
        graph._obj.value = len(self.graphs) + 100
        self.graphs[graph._obj.value], self.recorded = self.recorded, None

    def do_cuGraphInstantiateWithFlags(self, executable: Any, graph: int, flags: int) -> None:
        executable._obj.value = graph + 1000
        self.graphs[graph + 1000] = self.graphs[graph]

    def do_cuGraphLaunch(self, executable: int, stream: int) -> None:
        for work in self.graphs[executable]:
            work()

    def do_cuGraphDestroy(self, graph: int) -> None:
        del self.graphs[graph]

    def do_cuGraphExecDestroy(self, executable: int) -> None:
        del self.graphs[executable]

    def _allocate(self, address: Any, size: int) -> None:
        block = (ctypes.c_uint8 * size)()
        address._obj.value = ctypes.addressof(block)
        self.memory[address._obj.value] = block


@pytest.fixture
def cuda() -> FakeCuda:
    return FakeCuda()
