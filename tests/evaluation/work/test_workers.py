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

"""Wherever chunks are worked on, the same comes back in the same order; a worker that dies is one sentence."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import astuple, replace

import cv2
import numpy as np
import pytest

from refinefuse_ros.alignment.placing import PlacedThermal
from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.errors import UserError
from refinefuse_ros.evaluation.pictures import Moments
from refinefuse_ros.evaluation.work.chunks import Chunk, Job, PreparedPair, cut
from refinefuse_ros.evaluation.work.running import run
from refinefuse_ros.evaluation.work.tally import Tally
from refinefuse_ros.evaluation.work.workers import Parallelism, open_workers
from refinefuse_ros.image.frame import Frame

JOB = Job({"nano": EngineRequest("nano")}, is_video=True)


def smooth(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def prepared(count: int) -> Iterator[PreparedPair]:
    for index in range(count):
        thermal, rgb = smooth(index // 3, (48, 64)), smooth(1000 + index // 3, (48, 64, 3))
        given = {"given": Frame(0, "", "bgr8", smooth(2000 + index, (48, 64, 3)))} if index % 4 else {}
        yield PreparedPair(f"pair {index}", index / 10, PlacedThermal(thermal), Frame(0, "", "bgr8", rgb), given)


def found(tally: Tally) -> tuple:
    return tally.methods(), tally.source("thermal"), tally.source("rgb"), tally.gallery()


@pytest.fixture(scope="module")
def expected() -> tuple:
    return found(run(JOB, ["given"], prepared(30), 30, Parallelism(workers=1)))


def test_two_processes_find_what_this_one_does(expected: tuple) -> None:
    assert found(run(JOB, ["given"], prepared(30), 30, Parallelism(workers=2))) == expected


def test_how_videos_move_does_not_depend_on_where_they_are_cut() -> None:
    job = replace(JOB, motion=True, steady=True)
    whole, cut_short = (run(job, ["given"], prepared(20), 20, Parallelism(workers=workers)) for workers in (1, 2))
    assert found(cut_short) == found(whole)
    nano, given = whole.methods()
    assert None not in astuple(nano.motion)
    assert given.motion.ms2r is not None
    assert (whole.source("rgb").flowd, whole.source("thermal").ms2r) != (None, None)


def test_the_length_of_the_source_may_be_told_wrong(expected: tuple) -> None:
    methods, thermal, rgb, _ = found(run(JOB, ["given"], prepared(30), 3, Parallelism(workers=1)))
    assert (methods, thermal, rgb) == expected[:3]


def test_the_gallery_holds_spread_moments_and_the_worst_pairs(expected: tuple) -> None:
    methods, _, _, gallery = expected
    assert [picture.name for picture in gallery.moments] == [f"pair {index}" for index in range(30)]
    assert [list(picture.fused) for picture in gallery.moments[:2]] == [["nano"], ["nano", "given"]]
    for method in methods:
        for name, lower_is_better in (("vif", False), ("ecg", True)):
            ranked = sorted(method.pairs, key=lambda pair: getattr(pair.metrics, name) * (-1 if lower_is_better else 1))
            worst = gallery.worst[method.label][name]
            of_each_second: dict[int, str] = {}
            for pair in ranked:
                of_each_second.setdefault(int(pair.name.split()[1]) // 10, pair.name)
            assert [picture.name for picture in worst] == list(of_each_second.values())
    assert [len(method.pairs) for method in methods] == [30, 22]


def test_a_long_source_gives_no_more_than_forty_moments() -> None:
    for expected, count in ((1000, 1000), (10, 1000), (0, 7), (5000, 1000)):
        moments = Moments(expected)
        taken = [index for index in range(count) if moments.take(index)]
        kept = [index for index in taken if moments.holds(index)]
        assert len(kept) <= 40
        assert len(set(np.diff(kept))) <= 1
        assert kept[0] == 0


@pytest.mark.parametrize(("expected", "in_flight", "most"), [(10_000, 4, 40), (40, 4, 5), (0, 4, 1)])
def test_chunks_hold_all_pairs_in_order(expected: int, in_flight: int, most: int) -> None:
    chunks = list(cut(prepared(40), expected, in_flight, 3, lambda index: index % 10 == 0, dict))
    assert [pair.name for chunk in chunks for pair in chunk.pairs] == [f"pair {index}" for index in range(40)]
    assert max(len(chunk.pairs) for chunk in chunks) == most
    assert sorted(index for chunk in chunks for index in chunk.moments) == [0, 10, 20, 30]
    for chunk in chunks:
        assert [pair.name for pair in chunk.before] == [
            f"pair {index}" for index in range(max(0, chunk.start - 3), chunk.start)
        ]
    starts = np.cumsum([0, *(len(chunk.pairs) for chunk in chunks)])
    assert [chunk.start for chunk in chunks] == starts[:-1].tolist()


def test_chunks_of_large_images_are_small() -> None:
    pixels = np.zeros((2160, 3840, 3), np.uint8)
    large = PreparedPair("", None, PlacedThermal(pixels[:, :, 0]), Frame(0, "", "bgr8", pixels), {})
    sizes = [len(chunk.pairs) for chunk in cut(iter([large] * 4), 10_000, 66, 0, lambda index: False, dict)]
    assert sizes == [1, 1, 1, 1]


class Deadly:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[Callable, tuple]:
        return os._exit, (3,)


def test_a_worker_that_dies_is_one_sentence() -> None:
    with (
        open_workers(Parallelism(workers=2), [], 1000) as workers,
        pytest.raises(UserError, match="A worker process ended before its work was done"),
    ):
        list(workers.work(JOB, iter([Chunk(0, [], [Deadly()], frozenset(), {})])))


def test_an_engine_that_cannot_be_built_says_so_from_a_process_too() -> None:
    job = Job({"x": EngineRequest("nano", backend="none")}, is_video=False)
    with pytest.raises(EngineError, match="There is no backend 'none'"):
        run(job, [], prepared(3), 1000, Parallelism(workers=2))


def test_workers_that_fuse_differently_are_refused() -> None:
    tally = Tally(["nano"], Moments(1))
    with open_workers(Parallelism(workers=1), [], 1) as workers:
        (result,) = workers.work(JOB, cut(prepared(1), 1, 1, 0, lambda index: False, dict))
    tally.add(result)
    result.engines["nano"] = result.engines["nano"] | {"precision": "other"}
    with pytest.raises(UserError, match=r"precision is \w+ on one and other on another"):
        tally.add(result)


def test_nobody_works_nowhere() -> None:
    with pytest.raises(ValueError, match="0 workers"):
        Parallelism(workers=0)
    with pytest.raises(ValueError, match="a scheduler has its own workers"):
        Parallelism(workers=2, scheduler="tcp://localhost:1")


def test_a_cluster_finds_what_this_process_does(expected: tuple) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, protocol="tcp"
    ) as cluster:
        assert (
            found(run(JOB, ["given"], prepared(30), 30, Parallelism(scheduler=cluster.scheduler_address))) == expected
        )


def test_a_scheduler_that_does_not_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("refinefuse_ros.evaluation.work.workers._SCHEDULER_TIMEOUT_S", 1)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(UserError, match=f"No dask scheduler answers at {address} within 1 s"):
            open_workers(Parallelism(scheduler=address), [], 1000)
