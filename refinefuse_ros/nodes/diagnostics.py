# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What the fusion node measures of itself, and how it stands in /diagnostics: six statuses of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from refinefuse_ros.engine.host import EngineHost
from refinefuse_ros.nodes.fusion_parameters import FusionParameters
from refinefuse_ros.stream.health import (
    CameraHealth,
    CameraReading,
    Judgement,
    Level,
    judge_camera,
    judge_engine,
    judge_frames,
    judge_latency,
    judge_rate,
    sends_alone,
)
from refinefuse_ros.stream.ledger import FrameLedger
from refinefuse_ros.stream.outcome import Pair, Stream
from refinefuse_ros.stream.timing import NS_PER_MS, LatencyWindow, Percentiles, RateMeter, StageTimes


def status(name: str, level: Level, message: str, values: Mapping[str, Any]) -> DiagnosticStatus:
    """One diagnostic status; floats are written with three decimals."""
    texts = {key: f"{value:.3f}" if isinstance(value, float) else str(value) for key, value in values.items()}
    return DiagnosticStatus(
        level=bytes([level]),  # rclpy wants the octet as bytes
        name=name,
        message=message,
        values=[KeyValue(key=key, value=text) for key, text in texts.items()],
    )


class FusionDiagnostics:
    """Collects measurements from the callbacks and the worker (thread-safe), and turns them into statuses.

    Attributes:
        ledger: what became of every frame and pair.
        stages: how long each stage takes, ms.
    """

    def __init__(self, node_name: str, engine: EngineHost, camera_timeout_ms: float) -> None:
        self.ledger = FrameLedger()
        self.stages = StageTimes()
        self._node_name = node_name
        self._engine = engine
        self._cameras = {stream: CameraHealth(camera_timeout_ms) for stream in Stream}
        self._age = {stream: LatencyWindow() for stream in Stream}
        self._published = RateMeter()
        self._latency = LatencyWindow()
        self._overhead = LatencyWindow()
        self._latency_beside_engine = LatencyWindow()
        self._offset = LatencyWindow()

    def received(self, stream: Stream, now_ns: int) -> None:
        self.ledger.received(stream)
        self._cameras[stream].arrived(now_ns)

    def stamped(self, stream: Stream, age_ms: float) -> None:
        """A frame was decoded `age_ms` after its stamp by the node's clock."""
        self._age[stream].add(age_ms)

    def sends_alone(self, stream: Stream, now_ns: int) -> bool:
        """Whether this camera sends while the other one is missing."""
        return sends_alone(self._cameras[stream].read(now_ns), self._cameras[stream.other].read(now_ns))

    def paired(self, pair: Pair[Any]) -> None:
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

    def collect(self, now_ns: int, parameters: FusionParameters, subscribers: Mapping[str, int]) -> DiagnosticArray:
        """The six statuses at `now_ns`, with how many subscribe each fused topic; the header is left to the caller."""
        cameras = {stream: camera.read(now_ns) for stream, camera in self._cameras.items()}
        statuses = [
            self._rate_status(now_ns, parameters, subscribers),
            self._latency_status(parameters),
            self._frames_status(),
            self._engine_status(parameters),
            *(self._camera_status(stream, cameras, parameters) for stream in Stream),
        ]
        return DiagnosticArray(status=statuses)

    def _status(self, name: str, judgement: Judgement, values: Mapping[str, Any]) -> DiagnosticStatus:
        return status(f"{self._node_name}: {name}", judgement.level, judgement.message, values)

    def _rate_status(
        self, now_ns: int, parameters: FusionParameters, subscribers: Mapping[str, int]
    ) -> DiagnosticStatus:
        rate_hz = self._published.rate_hz(now_ns)
        ever_published = self._latency.percentiles().count > 0
        judgement = judge_rate(rate_hz, parameters.diagnostics.min_rate_hz, ever_published)
        values = {f"fused_{topic}_subscribers": count for topic, count in subscribers.items()}
        return self._status("rate", judgement, {"fused_rate_hz": rate_hz, **values})

    def _latency_status(self, parameters: FusionParameters) -> DiagnosticStatus:
        latency = self._latency.percentiles()
        values = _latency_values("latency_ms", latency, ("p50", "p95", "p99", "max"))
        for stage, times in self.stages.percentiles().items():
            values |= _latency_values(f"stage_{stage}_ms", times, ("p50", "p99"))
        values |= _latency_values("outside_engine_ms", self._overhead.percentiles(), ("p50", "p99"))
        beside = self._latency_beside_engine.percentiles()
        values |= _latency_values("latency_beside_engine_ms", beside, ("p50", "p99"))
        values |= _latency_values("sync_offset_ms", self._offset.percentiles(), ("p50", "max"))
        return self._status("latency", judge_latency(latency, parameters.diagnostics.max_latency_ms), values)

    def _frames_status(self) -> DiagnosticStatus:
        snapshot = self.ledger.snapshot()
        return self._status("frames", judge_frames(snapshot), _flattened(snapshot.to_dict()))

    def _engine_status(self, parameters: FusionParameters) -> DiagnosticStatus:
        engine = self._engine
        judgement = judge_engine(
            engine.info.backend,
            engine.failures_in_a_row,
            parameters.engine.max_failures,
            engine.fell_back_from,
            engine.refused,
        )
        build = engine.build
        values = engine.info.to_dict() | {
            "failures_in_a_row": engine.failures_in_a_row,
            "last_error": engine.last_error,
            "build": build.what,
            "build_state": build.state,
            "build_phase": build.phase,
            "build_time_s": build.seconds,
        }
        return self._status("engine", judgement, values)

    def _camera_status(
        self, stream: Stream, cameras: dict[Stream, CameraReading], parameters: FusionParameters
    ) -> DiagnosticStatus:
        camera = cameras[stream]
        judgement = judge_camera(stream, cameras, parameters.on_missing == "passthrough")
        values = {"rate_hz": camera.rate_hz, "since_last_ms": camera.age_ms}
        values |= _latency_values("stamp_to_arrival_ms", self._age[stream].percentiles(), ("p50", "p99"))
        return self._status(f"{stream} camera", judgement, values)


def _latency_values(prefix: str, times: Percentiles, which: tuple[str, ...]) -> dict[str, float]:
    return {f"{prefix}_{name}": getattr(times, name) for name in which} if times.count else {}


def _flattened(accounts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested accounts with their path in the key: {"pairs": {"failed": 0}} becomes {"pairs_failed": 0}."""
    flat: dict[str, Any] = {}
    for key, value in accounts.items():
        flat |= _flattened(value, f"{prefix}{key}_") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
