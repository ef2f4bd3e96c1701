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

"""Where chunks are worked on: in this process, in processes of this machine, or on a dask cluster."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from typing import Final

import cv2

from refinefuse_ros.engine.factory import BACKENDS, EngineRequest, automatic_backends
from refinefuse_ros.errors import UserError
from refinefuse_ros.evaluation.work.chunk_work import ChunkWorker, work_in_process
from refinefuse_ros.evaluation.work.chunks import Chunk, ChunkResult, Job
from refinefuse_ros.machine import cores

# Starting a process and building its engine takes longer than fusing and scoring so few pairs.
_TOO_FEW_FOR_PROCESSES: Final = 16
# So many chunks wait while each worker has one, so that none waits for the reader.
_WAITING: Final = 2
_SCHEDULER_TIMEOUT_S: Final = 15


@dataclass(frozen=True)
class Parallelism:
    """Where the work is done.

    Attributes:
        workers: processes on this machine; None is one for each core, and a single one where the models run on a GPU.
            With 1 everything is done in the calling process. With more, a script that calls this needs the guard
            `if __name__ == "__main__":`, because processes import it.
        scheduler: address of a dask scheduler whose workers are used instead.

    Raises:
        ValueError: less than one worker, or both are given.
    """

    workers: int | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"{self.workers} workers cannot do anything; give 1 or more.")
        if self.workers is not None and self.scheduler is not None:
            raise ValueError("a scheduler has its own workers; give workers or a scheduler.")


class Workers(ABC):
    """Works on chunks; a context manager that ends what it started.

    Attributes:
        in_flight: how many chunks are under way at a time.
    """

    in_flight = 1

    @abstractmethod
    def work(self, job: Job, chunks: Iterator[Chunk]) -> Iterator[ChunkResult]:
        """The chunks' results in the chunks' order; no more than `in_flight` chunks are taken ahead.

        Raises:
            EngineError: a model cannot be run.
            UserError: a worker died.
        """

    def __enter__(self) -> Workers:
        return self

    @abstractmethod
    def __exit__(self, *error: object) -> None: ...


def open_workers(where: Parallelism, requests: Collection[EngineRequest], expected: int) -> Workers:
    """The workers for about `expected` pairs, which `requests` fuse.

    Raises:
        UserError: the scheduler cannot be used.
    """
    if where.scheduler is not None:
        return _Cluster(where.scheduler)
    if where.workers == 1 or expected <= _TOO_FEW_FOR_PROCESSES:
        return _ThisProcess()
    on_gpu = any(_runs_on_gpu(request) for request in requests)
    return _Processes(where.workers or (1 if on_gpu else cores()))


class _ThisProcess(Workers):
    def __init__(self) -> None:
        self._worker = ChunkWorker(scoring_threads=cores())

    def work(self, job: Job, chunks: Iterator[Chunk]) -> Iterator[ChunkResult]:
        return (self._worker.work(job, chunk) for chunk in chunks)

    def __exit__(self, *error: object) -> None:
        self._worker.close()


class _Executor(Workers):
    """An executor's processes.

    Attributes:
        died: what the executor raises when one of them is gone.
        what_died: the sentence for that.
    """

    died: tuple[type[BaseException], ...] = (BrokenExecutor, CancelledError)
    what_died = "A worker process ended before its work was done, as it does when memory runs out; try fewer workers."

    def __init__(self, executor: Executor, workers: int, engine_threads: int | None, scoring_threads: int) -> None:
        self.in_flight = workers + _WAITING
        self._executor = executor
        self._threads = engine_threads, scoring_threads

    def work(self, job: Job, chunks: Iterator[Chunk]) -> Iterator[ChunkResult]:
        running: deque[Future[ChunkResult]] = deque()
        try:
            for chunk in chunks:
                running.append(self._executor.submit(work_in_process, job, chunk, *self._threads))
                if len(running) == self.in_flight:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        except self.died as error:
            raise UserError(self.what_died) from error

    def __exit__(self, *error: object) -> None:
        self._executor.shutdown(cancel_futures=True)


class _Processes(_Executor):
    def __init__(self, workers: int) -> None:
        threads = max(1, cores() // workers)
        # Not a fork of this process: its threads (progress bar, hashing, inference) would not come along.
        pool = ProcessPoolExecutor(workers, get_context("forkserver"), _start_process, (threads,))
        super().__init__(pool, workers, threads if workers > 1 else None, threads)


class _Cluster(_Executor):
    """The workers of a dask cluster; each of their threads is one of ours, with a core to itself."""

    what_died = "The dask scheduler or its last worker ended before the work was done; look at their output."

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client, KilledWorker
        except ImportError as error:
            raise UserError(
                f"A scheduler needs the package {error.name}, which is not installed; install the extra cluster."
            ) from error
        import dask

        # A chunk of images is large on purpose; there is no better way than with its task.
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GiB"})
        try:
            self._client = Client(address, timeout=_SCHEDULER_TIMEOUT_S, set_as_default=False)
        except (OSError, TimeoutError, asyncio.TimeoutError, ValueError) as error:
            raise UserError(
                f"No dask scheduler answers at {address} within {_SCHEDULER_TIMEOUT_S} s; check the address, which"
                " looks like tcp://HOST:8786."
            ) from error
        try:
            self._client.wait_for_workers(1, timeout=_SCHEDULER_TIMEOUT_S)
        except (TimeoutError, asyncio.TimeoutError) as error:  # two classes before Python 3.11
            self._client.close()
            raise UserError(
                f"The dask scheduler at {address} has no workers; start some with `dask worker`."
            ) from error
        self.died = (*self.died, KilledWorker)
        super().__init__(self._client.get_executor(pure=False), sum(self._client.nthreads().values()), 1, 1)

    def __exit__(self, *error: object) -> None:
        self._executor.shutdown(wait=False)
        self._client.close()


def _runs_on_gpu(request: EngineRequest) -> bool:
    backends = automatic_backends() if request.backend == "auto" else [request.backend]
    return request.device.upper() not in ("AUTO", "CPU") or any(
        name in BACKENDS and BACKENDS[name].needs_gpu for name in backends
    )


def _start_process(threads: int) -> None:
    """Make a new worker process one of several: it leaves cores to the others, and ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the parent alone says that it was interrupted
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read by torch when it is imported
    cv2.setNumThreads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    connection.wait([parent_process().sentinel])
    os._exit(1)
