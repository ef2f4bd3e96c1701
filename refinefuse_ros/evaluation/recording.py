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

"""What a recording holds besides images: its cameras over time, how well they pair, and the live node's latency."""

from __future__ import annotations

from dataclasses import dataclass

from refinefuse_ros.stream.synchronizer import SyncConfig


@dataclass(frozen=True)
class Gap:
    """Where a camera's next frame came late: seconds from the recording's first stamp, and how long, ms."""

    start_s: float
    length_ms: float


@dataclass(frozen=True)
class CameraSummary:
    """One camera over the whole bag; every message ends in exactly one of the five counts after `messages`.

    Attributes:
        topic: of its images.
        messages: image messages that were read.
        paired: frames in a pair.
        unpaired: frames that no partner came for.
        superseded: frames that the synchroniser's bounded queue let go.
        refused: frames refused for their stamp or encoding, by reason.
        unreadable: messages that could not be decoded, by reason.
        rate_hz: by the median distance of its stamps; None for fewer than two frames.
        longest_gap_ms: the longest distance between two frames, ms.
        calibrated: whether its CameraInfo has an intrinsic matrix.
        received: frames by stamp in each bin of `Recording.bin_s`, from the recording's first stamp on.
        dropped: of those, the ones that are in no pair.
        gaps: where more than 1.5 median periods passed between two frames, in order.
    """

    topic: str
    messages: int
    paired: int
    unpaired: int
    superseded: int
    refused: dict[str, int]
    unreadable: dict[str, int]
    rate_hz: float | None
    longest_gap_ms: float | None
    calibrated: bool
    received: list[int]
    dropped: list[int]
    gaps: list[Gap]


@dataclass(frozen=True)
class LiveLatency:
    """The fusion node's diagnostics in the recording: one entry of each list per diagnostics message.

    Attributes:
        seconds: from the recording's first stamp.
        p50_ms, p99_ms: stamp to publish.
        stages_ms_p50: each stage's median, by the stage's name, ms.
        rate_hz: of the fused images.
    """

    seconds: list[float]
    p50_ms: list[float]
    p99_ms: list[float]
    stages_ms_p50: dict[str, list[float]]
    rate_hz: list[float]


@dataclass(frozen=True)
class Recording:
    """What the synchroniser made of a recording.

    Attributes:
        path: of the bag.
        duration_s: from the first to the last image stamp.
        pairs: formed pairs.
        failed: of those, how many could not be fused or scored (each has a sentence among the skipped).
        resets: how often the stamps jumped back (recordings put together, a clock that was set).
        offset_ms_median: RGB stamp minus thermal stamp, over the pairs, ms.
        offset_ms_max: the largest distance of the stamps of a pair, ms.
        offset_bins_ms, offset_counts: histogram of RGB minus thermal stamp; one edge more than counts.
        bin_s: width of the cameras' time bins, s.
        thermal, rgb: the cameras.
        sync: by what they were paired at the end: what was left to be found out follows the clocks.
        lag_ms: how much longer after their stamps thermal frames were recorded than RGB frames, ms (medians); None
            where a camera's frames have no stamps.
        advice: what is wrong with the cameras' clocks and how to cure it, as a clause; empty where nothing is.
        latency: from the diagnostics in the bag; None where there are none.
    """

    path: str
    duration_s: float
    pairs: int
    failed: int
    resets: int
    offset_ms_median: float
    offset_ms_max: float
    offset_bins_ms: list[float]
    offset_counts: list[int]
    bin_s: float
    thermal: CameraSummary
    rgb: CameraSummary
    sync: SyncConfig
    lag_ms: float | None
    advice: str
    latency: LiveLatency | None
