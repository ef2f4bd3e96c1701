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

"""What the fusion node measures of itself, and how it stands in /diagnostics: seven statuses of numbers."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from refinefuse_ros.alignment.watching import LEAST_TOLD, AlignmentReading
from refinefuse_ros.engine.host import EngineHost
from refinefuse_ros.nodes.fusion_parameters import FusionParameters
from refinefuse_ros.stream.advice import LedgerWindow, judge_frames, refusal_of_late
from refinefuse_ros.stream.health import (
    CameraHealth,
    Judgement,
    Level,
    judge_alignment,
    judge_camera,
    judge_engine,
    judge_latency,
    judge_rate,
)
from refinefuse_ros.stream.ledger import FrameLedger, LedgerSnapshot
from refinefuse_ros.stream.news import News
from refinefuse_ros.stream.outcome import Pair, Stream
from refinefuse_ros.stream.pairing import PairingReading
from refinefuse_ros.stream.standby import Standby
from refinefuse_ros.stream.timing import NS_PER_MS, LatencyWindow, Percentiles, RateMeter, StageTimes

Judged = tuple[Judgement, dict[str, Any]]
"""A status: its judgement and its values."""

# What is logged of the statuses, and how many collections in a row it must be bad before. The engine's host says itself
# what becomes of it.
PATIENCE: Final = {"rate": 5, "latency": 5, "frames": 1, "alignment": 5, "thermal camera": 1, "rgb camera": 1}

# A player may start so much later than the node that follows its /clock.
CLOCK_PATIENCE_MS: Final = 5000.0


def status(node: str, name: str, judgement: Judgement, values: Mapping[str, Any]) -> DiagnosticStatus:
    """One diagnostic status of the node with this fully qualified name; floats are written with three decimals."""
    texts = {key: f"{value:.3f}" if isinstance(value, float) else str(value) for key, value in values.items()}
    return DiagnosticStatus(
        level=bytes([judgement.level]),  # rclpy wants the octet as bytes
        name=f"{node}: {name}",
        hardware_id=node,
        message=judgement.message,
        values=[KeyValue(key=key, value=text) for key, text in texts.items()],
    )


@dataclass(frozen=True)
class Look:
    """What the node knows at the moment of a collection.

    Attributes:
        now_ns: by the node's clock.
        sim_time: whether that is /clock, and 0 before the first.
        watched_ms: for how long it has been active, ms.
        parameters: in force.
        pairing: the cameras' clocks, and what frames are paired by.
        silences: of a camera of which nothing comes, what is known of its topic, as a clause.
        subscribers: of each fused topic, by its last name.
        watched: whether fused images are wanted.
        faults: of a camera, what seems wrong though its frames are used, as a clause.
        reduced_to: what the governor lets run instead of what was configured; empty where it does not.
        alignment: how well thermal lies on RGB.
    """

    now_ns: int
    sim_time: bool
    watched_ms: float
    parameters: FusionParameters
    pairing: PairingReading
    silences: Mapping[Stream, str]
    subscribers: Mapping[str, int]
    watched: bool
    faults: Mapping[Stream, str]
    reduced_to: str
    alignment: AlignmentReading


@dataclass(frozen=True)
class Collected:
    """What a collection gave: the message, and what of it belongs into the log, by status."""

    array: DiagnosticArray
    news: Mapping[str, Judgement]


class FusionDiagnostics:
    """Collects measurements from the callbacks and the worker (thread-safe), and turns them into statuses.

    Attributes:
        ledger: what became of every frame and pair.
        stages: how long each stage takes, ms.
        standby: decides which frames are shown alone.
    """

    def __init__(self, node_name: str, engine: EngineHost, camera_timeout_ms: float) -> None:
        self.ledger = FrameLedger()
        self.stages = StageTimes()
        self._node_name = node_name
        self._engine = engine
        self._cameras = {stream: CameraHealth(camera_timeout_ms) for stream in Stream}
        self.standby = Standby(self._cameras)
        self._window = LedgerWindow()
        self._news = News()
        self._age = {stream: LatencyWindow() for stream in Stream}
        self._published = RateMeter()
        self._latency = LatencyWindow()
        self._overhead = LatencyWindow()
        self._latency_beside_engine = LatencyWindow()
        self._offset = LatencyWindow()
        self._misaligned = False
        self._info_mismatches: Counter[Stream] = Counter()

    def received(self, stream: Stream, now_ns: int) -> None:
        """A message came."""
        self.ledger.received(stream)
        self._cameras[stream].received(now_ns)

    def usable(self, stream: Stream, now_ns: int) -> None:
        """It was a new frame that can be used."""
        self._cameras[stream].arrived(now_ns)

    def silent(self, stream: Stream, now_ns: int) -> bool:
        """Whether nothing has come of a camera for the timeout, usable or not."""
        return not self._cameras[stream].read(now_ns).sends

    def stamped(self, stream: Stream, age_ms: float) -> None:
        """A frame was decoded `age_ms` after its stamp by the node's clock."""
        self._age[stream].add(age_ms)

    def info_mismatched(self, stream: Stream) -> None:
        """An image left without its camera's CameraInfo, which is for images of another size."""
        self._info_mismatches[stream] += 1

    def paired(self, pair: Pair[Any], now_ns: int) -> None:
        self.standby.paired(now_ns)
        self._offset.add(abs(pair.offset_ns) / NS_PER_MS)

    def published(self, now_ns: int, latency_ms: float) -> None:
        """An image left, `latency_ms` after its stamp by the node's clock."""
        self._published.tick(now_ns)
        self._latency.add(latency_ms)

    def pair_published(self, outside_engine_ms: float, latency_beside_engine_ms: float) -> None:
        """A pair's fused image left: the node's work and its latency, each without the engine's part."""
        self.ledger.published()
        self._overhead.add(outside_engine_ms)
        self._latency_beside_engine.add(latency_beside_engine_ms)

    def collect(self, look: Look) -> Collected:
        """The seven statuses; the header's stamp is left to the caller."""
        snapshot = self.ledger.snapshot()
        self._window.add(look.now_ns, snapshot)
        judged = {
            "rate": self._rate(look),
            "latency": self._latencies(look),
            "frames": self._frames(look, snapshot),
            "engine": self._engine_state(look),
            "alignment": self._alignment(look),
            **{f"{stream} camera": self._camera(look, stream) for stream in Stream},
        }
        statuses = [status(self._node_name, name, *found) for name, found in judged.items()]
        steady_ns = time.monotonic_ns()  # what is said now and then must not wait for a clock that stands still
        told = {
            name: news
            for name, (judgement, _) in judged.items()
            if name in PATIENCE and (news := self._news.of(name, judgement, steady_ns, PATIENCE[name]))
        }
        return Collected(DiagnosticArray(status=statuses), told)

    def _rate(self, look: Look) -> Judged:
        rate_hz = self._published.rate_hz(look.now_ns)
        ever_published = self._latency.percentiles().count > 0
        judgement = judge_rate(rate_hz, look.parameters.diagnostics.min_rate_hz, ever_published, look.watched)
        subscribed = {f"fused_{topic}_subscribers": count for topic, count in look.subscribers.items()}
        return judgement, {"fused_rate_hz": rate_hz} | subscribed

    def _latencies(self, look: Look) -> Judged:
        latency = self._latency.percentiles()
        values = _latency_values("latency_ms", latency, ("p50", "p95", "p99", "max"))
        for stage, times in self.stages.percentiles().items():
            values |= _latency_values(f"stage_{stage}_ms", times, ("p50", "p99"))
        values |= _latency_values("outside_engine_ms", self._overhead.percentiles(), ("p50", "p99"))
        beside = self._latency_beside_engine.percentiles()
        values |= _latency_values("latency_beside_engine_ms", beside, ("p50", "p99"))
        values |= _latency_values("sync_offset_ms", self._offset.percentiles(), ("p50", "max"))
        return judge_latency(latency, look.parameters.diagnostics.max_latency_ms, look.sim_time), values

    def _frames(self, look: Look, snapshot: LedgerSnapshot) -> Judged:
        judgement = judge_frames(snapshot, self._window, look.pairing, look.parameters.sync.settings())
        if look.sim_time and not look.now_ns and look.watched_ms > CLOCK_PATIENCE_MS:
            missing = "use_sim_time is set and no /clock comes; play the recording with --clock."
            judgement = Judgement(Level.WARN, missing)
        clocks, in_use = look.pairing.clocks, look.pairing.in_use
        values = _flattened(snapshot.to_dict())
        values |= {"sync_max_wait_ms": in_use.max_wait_ms, "sync_thermal_hold_ms": in_use.thermal_hold_ms}
        measured = {"thermal_lag_ms": clocks.lag_ms}
        for stream in Stream:
            measured[f"{stream}_delay_ms"] = clocks[stream].delay_ms
            measured[f"{stream}_period_ms"] = clocks[stream].period_ms
            measured[f"{stream}_longest_interval_ms"] = clocks[stream].longest_ms
        return judgement, values | {name: value for name, value in measured.items() if value is not None}

    def _engine_state(self, look: Look) -> Judged:
        engine = self._engine
        judgement = judge_engine(
            engine.info.backend,
            engine.failures_in_a_row,
            look.parameters.engine.max_failures,
            engine.fell_back_from,
            engine.hung or engine.refused,
            look.reduced_to,
        )
        build = engine.build
        values = engine.info.to_dict() | {
            "failures_in_a_row": engine.failures_in_a_row,
            "last_error": engine.last_error,
            "reduced_to": look.reduced_to,
            "build": build.what,
            "build_state": build.state,
            "build_phase": build.phase,
            "build_time_s": build.seconds,
        }
        return judgement, values

    def _alignment(self, look: Look) -> Judged:
        reading, settings = look.alignment, look.parameters.alignment
        judgement = judge_alignment(
            reading.error_px,
            reading.moments,
            LEAST_TOLD,
            settings.max_error_px,
            bool(settings.file),
            self._misaligned,
            reading.fault,
        )
        self._misaligned = judgement.level is Level.WARN
        known = {} if math.isnan(reading.error_px) else {"alignment_error_px": reading.error_px}
        return judgement, known | {"alignment_file": settings.file}

    def _camera(self, look: Look, stream: Stream) -> Judged:
        cameras = {one: health.read(look.now_ns) for one, health in self._cameras.items()}
        camera = cameras[stream]
        judgement = judge_camera(
            stream,
            cameras,
            look.parameters.on_missing == "passthrough",
            refusal_of_late(stream, self._window),
            look.silences.get(stream, ""),
            look.watched_ms,
            look.faults.get(stream, ""),
        )
        values = {"rate_hz": camera.rate_hz, "since_last_ms": camera.age_ms}
        values |= _latency_values("stamp_to_arrival_ms", self._age[stream].percentiles(), ("p50", "p99"))
        values["camera_info_mismatches"] = self._info_mismatches[stream]
        return judgement, values


def _latency_values(prefix: str, times: Percentiles, which: tuple[str, ...]) -> dict[str, float]:
    return {f"{prefix}_{name}": getattr(times, name) for name in which} if times.count else {}


def _flattened(accounts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested accounts with their path in the key: {"pairs": {"failed": 0}} becomes {"pairs_failed": 0}."""
    flat: dict[str, Any] = {}
    for key, value in accounts.items():
        flat |= _flattened(value, f"{prefix}{key}_") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
