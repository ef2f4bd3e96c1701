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

"""Prepared pairs through the workers into a verdict: what files and recordings have in common."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone

import numpy as np

from refinefuse_ros.engine.artifacts import find_model
from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.errors import UserError
from refinefuse_ros.evaluation.detection.scoring import Detection
from refinefuse_ros.evaluation.motion import MOTION_FRAMES_BEFORE, RGB, THERMAL
from refinefuse_ros.evaluation.pictures import Moments
from refinefuse_ros.evaluation.recording import Recording
from refinefuse_ros.evaluation.verdict import Gallery, Provenance, Verdict
from refinefuse_ros.evaluation.work.chunks import Job, PreparedPair, cut
from refinefuse_ros.evaluation.work.tally import Tally
from refinefuse_ros.evaluation.work.workers import Parallelism, open_workers
from refinefuse_ros.image.steadying import STEADY_FRAMES
from refinefuse_ros.machine import describe_software


def label_models(requests: Sequence[EngineRequest]) -> dict[str, EngineRequest]:
    """The requests by a label each: the model's name, or its path where two files have one name.

    Raises:
        EngineError: there is no such model.
        UserError: a model is given twice.
    """
    names = [find_model(request.model).name for request in requests]
    labels = [name if names.count(name) == 1 else request.model for name, request in zip(names, requests, strict=True)]
    for label in labels:
        if labels.count(label) > 1:
            raise UserError(f"The model {label} is given {labels.count(label)} times; give each once.")
    return dict(zip(labels, requests, strict=True))


def run(
    job: Job,
    given: Sequence[str],
    pairs: Iterator[PreparedPair],
    expected: int,
    where: Parallelism,
    on_fused: Callable[[np.ndarray], None] | None = None,
) -> Tally:
    """Fuse and score the pairs.

    Args:
        job: what to do with each of them.
        given: labels of the images that were fused before.
        pairs: in their order; taken from this thread.
        expected: how many there will be, about.
        where: the work is done.
        on_fused: takes the first model's images, (H, W, 3) uint8 BGR, in their order.

    Raises:
        EngineError: a model cannot be run.
        UserError: the workers cannot be used, one died, or the detector cannot be run.
    """
    moments = Moments(expected)
    tally = Tally([*job.models, *given], moments)
    with open_workers(where, job.models.values(), expected) as workers:
        overlap = (STEADY_FRAMES - 1 if job.steady else 0) + (MOTION_FRAMES_BEFORE if job.motion else 0)
        chunks = cut(pairs, expected, workers.in_flight, overlap, moments.take, tally.limits)
        for result in workers.work(job, chunks):
            tally.add(result)
            for image in result.fused:
                on_fused(image)
    return tally


def conclude(
    tally: Tally,
    *,
    thermal: str,
    rgb: str,
    skipped: list[str],
    started_s: float,
    command: str | None,
    recording: Recording | None = None,
    source_sha256: str | None = None,
    detection: Detection | None = None,
) -> tuple[Verdict, Gallery]:
    """The verdict on what was tallied, and its pictures; `started_s` is when it began, by `time.perf_counter`."""
    software = describe_software()
    provenance = Provenance(
        software.refinefuse_ros, software.commit, software.versions, command, thermal, rgb, source_sha256
    )
    verdict = Verdict(
        methods=tally.methods(),
        thermal=tally.source(THERMAL),
        rgb=tally.source(RGB),
        recording=recording,
        skipped=skipped,
        provenance=provenance,
        seconds=time.perf_counter() - started_s,
        host=platform.node(),
        made_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        detection=detection,
        alignment=tally.alignment(),
    )
    return verdict, tally.gallery()
