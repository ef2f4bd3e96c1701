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

"""For all tests: no example has a deadline, for a shared machine may stall any; Ctrl-C is heard; what may run
at once; a source of pairs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from refinefuse_ros.image.sources import ImagePair

with suppress(ModuleNotFoundError):
    from hypothesis import settings

    settings.register_profile("shared machine", deadline=None)
    settings.load_profile("shared machine")
# What does not come with ROS: where one is not installed, modules of tests that need it are skipped.
NOT_WITH_ROS = frozenset(
    ("hypothesis", "lightning", "nncf", "onnx", "onnxruntime", "onnxscript", "safetensors", "torch")
)
# What the tests in these folders start would hear each other.
OVER_DDS = frozenset(("integration", "nodes"))
# A shell starts what runs in the background deaf to it, and all its children too: those that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    report = (yield).get_result()
    failed = report.call.excinfo if report.failed else None
    missing = failed and _missing_module(failed.value)
    if missing in NOT_WITH_ROS:
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, f"Skipped: needs {missing}, which is not installed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In two processes at once (pytest-xdist): what talks over DDS one after the other in one, the rest by file."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        room = item.path.relative_to(Path(__file__).parent).parts[0]
        item.add_marker(pytest.mark.xdist_group("dds" if room in OVER_DDS else str(item.path)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What talks over DDS has deadlines: beside it, in the other process, the rest comes second."""
    if item.config.pluginmanager.hasplugin("xdist"):
        room = item.path.relative_to(Path(__file__).parent).parts[0]
        with suppress(OSError):  # to come first again needs to be root
            os.setpriority(os.PRIO_PROCESS, 0, 0 if room in OVER_DDS else 10)


def _missing_module(error: BaseException | None) -> str:
    """The package that an import did not find, where that is what the error, or what it came of, says."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name:
            return error.name.partition(".")[0]
        error = error.__cause__
    return ""


def smooth(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Blobs over the whole range, uint8, so that no metric is degenerate."""
    noise = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)


@dataclass
class FewPairs:
    """`count` pairs of 64x48 pixels at 20 Hz, each with its number in the corner's grey."""

    count: int = 10
    description: str = "a few pairs"

    def __iter__(self) -> Iterator[ImagePair]:
        for index in range(self.count):
            thermal, rgb = smooth(1, (48, 64)), smooth(2, (48, 64, 3))
            thermal[:4, :4] = rgb[:4, :4] = 5 * index
            yield ImagePair(thermal, "mono8", rgb, 1 / 20)


@pytest.fixture(scope="session", autouse=True)
def engine_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps what engines store out of the user's cache, and the user's cache out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def few_pairs() -> type[FewPairs]:
    return FewPairs


def _wanderers(time_s: float, thermal: bool, shift: float = 0.0) -> np.ndarray:
    """Two bodies that wander to and fro and never repeat themselves, before a background that the cameras see
    differently: (72, 96) uint8, bright in the thermal picture and dark in the RGB picture; `shift` moves the bodies,
    in pixels."""
    plane = smooth(1 if thermal else 2, (72, 96)) // 3 + 60
    for row in range(2):
        hertz, phase = np.random.default_rng(row).uniform(0.05, 0.7, (2, 6)) * [[1.0], [40.0]]
        x = 48 + shift + 6 * np.sin(2 * np.pi * hertz * time_s + phase).sum()
        cv2.ellipse(
            plane, (round(16 * x), 16 * (20 + 30 * row)), (64, 160), 0, 0, 360, 240 if thermal else 10, -1, 16, 4
        )
    return plane


@pytest.fixture(scope="session")
def wanderers() -> Callable[..., np.ndarray]:
    return _wanderers
