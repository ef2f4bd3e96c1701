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

"""A made-up verdict with everything that the page can show, and its pictures."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from refinefuse_ros.evaluation.metrics import PairMetrics
from refinefuse_ros.evaluation.recording import CameraSummary, Gap, LiveLatency, Recording
from refinefuse_ros.evaluation.scorecard import METRIC_NAMES, RANKED_NAMES, PairScore
from refinefuse_ros.evaluation.verdict import Gallery, Method, Picture, Provenance, SourceNumbers, Verdict
from refinefuse_ros.evaluation.warm_objects import WarmScore
from refinefuse_ros.stream.synchronizer import SyncConfig

START_S = 1700000000
ENGINE = {
    "model": "nano",
    "precision": "bf16",
    "backend": "openvino",
    "artifact_sha256": "ab" * 32,
    "device": "a test",
    "size": "64x48",
    "reason": "",
}


def _picture(grey: int, text: str) -> bytes:
    image = np.full((48, 64, 3), grey, np.uint8)
    cv2.putText(image, text, (2, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1)
    return cv2.imencode(".jpg", image)[1].tobytes()


def _camera(topic: str, dropped: int, gaps: list[Gap]) -> CameraSummary:
    received = [30] * 10
    return CameraSummary(
        topic=topic,
        messages=304,
        paired=300 - dropped,
        unpaired=dropped,
        superseded=0,
        refused={"zero_stamp": 3},
        unreadable={"bad_jpeg": 1},
        rate_hz=30.0,
        longest_gap_ms=max((gap.length_ms for gap in gaps), default=34.0),
        calibrated=True,
        received=received,
        dropped=[dropped, *[0] * 9],
        gaps=gaps,
    )


@pytest.fixture(scope="session")
def recording() -> Recording:
    return Recording(
        path="bags/street",
        duration_s=10.0,
        pairs=290,
        failed=0,
        resets=0,
        offset_ms_median=1.5,
        offset_ms_max=4.25,
        offset_bins_ms=[-5.0, -2.5, 0.0, 2.5, 5.0],
        offset_counts=[5, 40, 200, 45],
        bin_s=1.0,
        thermal=_camera("/thermal/image_raw", 10, [Gap(3.0, 140.0)]),
        rgb=_camera("/rgb/image_raw", 0, []),
        sync=SyncConfig(),
        lag_ms=1.5,
        advice="",
        latency=LiveLatency(
            [1.0, 2.0, 3.0], [8.0, 8.5, 9.0], [12.0, 30.0, 14.0], {"infer": [5.0, 5.5, 6.0]}, [30.0] * 3
        ),
    )


@pytest.fixture(scope="session")
def make_verdict(recording: Recording) -> Callable[..., tuple[Verdict, Gallery]]:
    """Makes a verdict on `count` pairs by the methods `labels`; a recording, or stills."""

    def make(*labels: str, count: int = 24, of_recording: bool = True) -> tuple[Verdict, Gallery]:
        generator = np.random.default_rng(1)
        names = [
            f"{START_S + i // 30}.{i % 30 * 33_000_000:09d}" if of_recording else f"still {i}" for i in range(count)
        ]

        def pairs(level: float) -> list[PairScore]:
            warm = WarmScore((level - 0.5, 0.2), -30, 10, 20, 10)
            return [
                PairScore(name, PairMetrics(*generator.normal(level, 0.1, len(METRIC_NAMES))), warm) for name in names
            ]

        methods = [
            Method(label, pairs(1 + 0.05 * i), 0.3 + 0.1 * i if of_recording else None, ENGINE if i == 0 else None)
            for i, label in enumerate(labels)
        ]

        def picture(index: int) -> Picture:
            fused = {label: _picture(90 + 40 * i, f"f{i} {index}") for i, label in enumerate(labels)}
            seconds = index / 30 if of_recording else None
            return Picture(names[index], seconds, _picture(20, f"t {index}"), _picture(60, f"v {index}"), fused)

        moments = [picture(index) for index in range(0, count, 4)]
        worst = {label: dict.fromkeys(RANKED_NAMES, moments[:3]) for label in labels}
        versions = {"numpy": "2.0", "openvino": "2026.3"}
        topics = (":/thermal/image_raw", ":/rgb/image_raw") if of_recording else ("/thermal", "/rgb")
        sources = [("bags/street" if of_recording else "pairs/msrs") + topic for topic in topics]
        digest = "cd" * 32 if of_recording else None
        origin = Provenance("1.2.3", "0123abc", versions, "refinefuse evaluate --bag bags/street", *sources, digest)
        verdict = Verdict(
            methods=methods,
            thermal=SourceNumbers(0.5, 0.9, 0.8, 0.2 if of_recording else None),
            rgb=SourceNumbers(0.9, 1.2, 1.0, 0.4 if of_recording else None, 0.35, 61.5, 0.0),
            recording=recording if of_recording else None,
            skipped=["x.png is not a readable image."],
            provenance=origin,
            seconds=12.5,
            host="2 cores of a test",
            made_at="2026-11-20T12:00:00+00:00",
        )
        return verdict, Gallery(moments, worst)

    return make
