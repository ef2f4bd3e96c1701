# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The fusion node's parameters: the one table from which the node, config/fuse.yaml and docs/parameters.md are made."""

from __future__ import annotations

from dataclasses import dataclass

from refinefuse_ros.engine.factory import BACKENDS, PRECISIONS, REBUILD, EngineRequest
from refinefuse_ros.engine.host import DEFAULT_MAX_FAILURES
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.normalization import NormalizationConfig
from refinefuse_ros.nodes.parameters import parameter
from refinefuse_ros.stream.synchronizer import SyncConfig


@dataclass(frozen=True)
class FusionParameters:
    """Every parameter of the fusion node, typed."""

    model: str = parameter("nano", "model", "Network to run: base, nano, or the path of a .onnx or .safetensors file.")

    engine_backend: str = parameter(
        "auto",
        "engine.backend",
        "What runs the network; auto takes the best that is usable and says why.",
        choices=("auto", *BACKENDS),
    )
    engine_precision: str = parameter(
        "auto",
        "engine.precision",
        "Number format of the network; asking for one the device lacks is an error.",
        choices=PRECISIONS,
    )
    engine_device: str = parameter(
        "auto", "engine.device", "Device by the backend's name for it, such as CPU or cuda:0."
    )
    engine_rebuild: str = parameter(
        "auto",
        "engine.rebuild",
        "auto builds a compiled engine that is missing or does not fit, while the next best serves; never builds none.",
        choices=REBUILD,
    )
    engine_width: int = parameter(
        640,
        "engine.width",
        "Width to build the engine for at configure; another camera width rebuilds it.",
        unit="px",
        between=(32, 8192),
    )
    engine_height: int = parameter(
        480,
        "engine.height",
        "Height to build the engine for at configure; another camera height rebuilds it.",
        unit="px",
        between=(32, 8192),
    )
    engine_max_failures: int = parameter(
        DEFAULT_MAX_FAILURES,
        "engine.max_failures",
        "Failures in a row after which the next usable backend takes over.",
        between=(1, 1000),
    )

    thermal_transport: str = parameter(
        "raw",
        "thermal.transport",
        "raw subscribes thermal/image_raw, compressed thermal/image_raw/compressed.",
        choices=("raw", "compressed"),
    )
    rgb_transport: str = parameter(
        "raw",
        "rgb.transport",
        "raw subscribes rgb/image_raw, compressed rgb/image_raw/compressed.",
        choices=("raw", "compressed"),
    )

    sync_policy: str = parameter(
        "nearest",
        "sync.policy",
        "nearest pairs each RGB frame with the nearest thermal one; approximate uses message_filters.",
        choices=("nearest", "approximate"),
    )
    sync_slop_ms: float = parameter(
        SyncConfig.slop_ms,
        "sync.slop_ms",
        "Largest stamp difference of a pair.",
        unit="ms",
        between=(0.1, 1000),
        live=True,
    )
    sync_max_wait_ms: float = parameter(
        SyncConfig.max_wait_ms,
        "sync.max_wait_ms",
        "Longest time an RGB frame waits for a nearer thermal one.",
        unit="ms",
        between=(0, 1000),
        live=True,
    )
    sync_thermal_hold_ms: float = parameter(
        SyncConfig.thermal_hold_ms,
        "sync.thermal_hold_ms",
        "How old a thermal frame may be to serve further RGB frames; 0 uses each once.",
        unit="ms",
        between=(0, 5000),
        live=True,
    )
    sync_queue_size: int = parameter(
        SyncConfig.queue_size,
        "sync.queue_size",
        "Most frames of one camera that wait for a partner.",
        between=(1, 1000),
        live=True,
    )

    normalization_mode: str = parameter(
        NormalizationConfig.mode,
        "thermal.normalization.mode",
        "How 16-bit and float thermal frames become 8 bit: the scene's percentiles, or a fixed range.",
        choices=("percentile", "fixed"),
        live=True,
    )
    normalization_low_percentile: float = parameter(
        NormalizationConfig.low_percentile,
        "thermal.normalization.low_percentile",
        "Percentile of the scene that becomes black.",
        unit="%",
        between=(0, 49),
        live=True,
    )
    normalization_high_percentile: float = parameter(
        NormalizationConfig.high_percentile,
        "thermal.normalization.high_percentile",
        "Percentile of the scene that becomes white.",
        unit="%",
        between=(51, 100),
        live=True,
    )
    normalization_time_constant_s: float = parameter(
        NormalizationConfig.time_constant_s,
        "thermal.normalization.time_constant_s",
        "How slowly the range follows the scene; 0 follows each frame.",
        unit="s",
        between=(0, 60),
        live=True,
    )
    normalization_min_span: float = parameter(
        NormalizationConfig.min_span,
        "thermal.normalization.min_span",
        "Smallest range, so that a flat scene is not amplified into noise.",
        unit="counts",
        between=(1, 65535),
        live=True,
    )
    normalization_fixed_low: float = parameter(
        NormalizationConfig.fixed_low,
        "thermal.normalization.fixed_low",
        "Count that becomes black in mode fixed.",
        unit="counts",
        between=(-1e6, 1e6),
        live=True,
    )
    normalization_fixed_high: float = parameter(
        NormalizationConfig.fixed_high,
        "thermal.normalization.fixed_high",
        "Count that becomes white in mode fixed.",
        unit="counts",
        between=(-1e6, 1e6),
        live=True,
    )

    on_missing: str = parameter(
        "passthrough",
        "on_missing",
        "With one camera stale: passthrough publishes the other one, skip nothing.",
        choices=("passthrough", "skip"),
        live=True,
    )
    camera_timeout_ms: float = parameter(
        1000.0,
        "camera_timeout_ms",
        "A camera without a frame for this long is stale.",
        unit="ms",
        between=(10, 60000),
    )

    fused_encoding: str = parameter("bgr8", "fused.encoding", "Encoding of fused/image_raw.", choices=("bgr8", "rgb8"))
    fused_steady: bool = parameter(
        False,
        "fused.steady",
        "Average noise over up to four frames wherever neither camera changed by more than 2 grey levels.",
    )
    fused_jpeg_quality: int = parameter(
        90,
        "fused.jpeg_quality",
        "Quality of fused/image_raw/compressed.",
        unit="%",
        between=(1, 100),
        live=True,
    )

    diagnostics_min_rate_hz: float = parameter(
        5.0,
        "diagnostics.min_rate_hz",
        "A fused rate below this is a warning.",
        unit="Hz",
        between=(0, 1000),
        live=True,
    )
    diagnostics_max_latency_ms: float = parameter(
        150.0,
        "diagnostics.max_latency_ms",
        "A 99th percentile from stamp to publish above this is a warning.",
        unit="ms",
        between=(1, 60000),
        live=True,
    )

    autostart: bool = parameter(
        True, "autostart", "Configure and activate at start; false leaves that to a lifecycle manager."
    )

    def __post_init__(self) -> None:
        """Raises ValueError where values that are each allowed contradict one another."""
        self.sync_config()
        self.normalization_config()

    def sync_config(self) -> SyncConfig:
        return SyncConfig(self.sync_slop_ms, self.sync_max_wait_ms, self.sync_thermal_hold_ms, self.sync_queue_size)

    def normalization_config(self) -> NormalizationConfig:
        return NormalizationConfig(
            mode=self.normalization_mode,
            low_percentile=self.normalization_low_percentile,
            high_percentile=self.normalization_high_percentile,
            time_constant_s=self.normalization_time_constant_s,
            min_span=self.normalization_min_span,
            fixed_low=self.normalization_fixed_low,
            fixed_high=self.normalization_fixed_high,
        )

    def engine_request(self) -> EngineRequest:
        return EngineRequest(
            self.model, self.engine_backend, self.engine_precision, self.engine_device, self.engine_rebuild
        )

    def engine_size(self) -> ImageSize:
        return ImageSize(self.engine_width, self.engine_height)
