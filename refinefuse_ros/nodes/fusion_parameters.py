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

"""The fusion node's parameters: the one table from which the node, config/fuse.yaml and docs/parameters.md are made."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from refinefuse_ros.alignment.file import Alignment, read_alignment
from refinefuse_ros.alignment.finding import NOTED_ERROR_PX
from refinefuse_ros.engine.factory import BACKENDS, PRECISIONS, REBUILD, EngineRequest
from refinefuse_ros.engine.host import DEFAULT_MAX_FAILURES, DEFAULT_TIMEOUT_S
from refinefuse_ros.image.codec import MAX_PIXELS
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.normalization import CAMERA_SCALES, NormalizationConfig
from refinefuse_ros.image.presentation import STYLES
from refinefuse_ros.image.sensor_view import FLIPS, Crop, SensorView
from refinefuse_ros.nodes.parameters import parameter
from refinefuse_ros.pipeline import OutputSize
from refinefuse_ros.stream.clocks import LONGEST_INTERVAL_MS
from refinefuse_ros.stream.pairing import LEAST_WAIT_MS, MOST_OFFSET_MS, MOST_WAIT_MS, STAMPS, SyncSettings

TRANSPORTS: Final = ("raw", "compressed")
THERMAL_TRANSPORTS: Final = (*TRANSPORTS, "compressedDepth")
_ORDERS: Final[dict[str, bool | None]] = {"auto": None, "true": True, "false": False}


@dataclass(frozen=True)
class EngineParameters:
    """engine.*"""

    backend: str = parameter(
        "auto",
        "What runs the network; auto takes the best that is usable and says why.",
        choices=("auto", *BACKENDS),
    )
    precision: str = parameter(
        "auto", "Number format of the network; asking for one the device lacks is an error.", choices=PRECISIONS
    )
    device: str = parameter("auto", "Device by the backend's name for it, such as CPU or cuda:0.")
    rebuild: str = parameter(
        "auto",
        "auto builds a compiled engine that is missing or does not fit, while the next best serves; never builds none.",
        choices=REBUILD,
    )
    width: int = parameter(
        640,
        "Width to build the engine for at configure; another camera width rebuilds it.",
        unit="px",
        between=(32, 8192),
    )
    height: int = parameter(
        480,
        "Height to build the engine for at configure; another camera height rebuilds it.",
        unit="px",
        between=(32, 8192),
    )
    max_failures: int = parameter(
        DEFAULT_MAX_FAILURES,
        "Failures in a row after which the next usable backend takes over.",
        between=(1, 1000),
    )
    timeout_s: float = parameter(
        DEFAULT_TIMEOUT_S,
        "A pair that takes the engine longer means that it hangs: it is given up, and the next backend takes over.",
        unit="s",
        between=(0.1, 600),
    )

    @property
    def size(self) -> ImageSize:
        return ImageSize(self.width, self.height)

    def request(self, model: str) -> EngineRequest:
        return EngineRequest(model, self.backend, self.precision, self.device, self.rebuild)


@dataclass(frozen=True)
class NormalizationParameters:
    """thermal.normalization.*"""

    mode: str = parameter(
        NormalizationConfig.mode,
        "How 16-bit and float thermal frames become 8 bit: a curve that follows the scene's percentiles, or a fixed"
        " range.",
        choices=("percentile", "fixed"),
        live=True,
    )
    low_percentile: float = parameter(
        NormalizationConfig.low_percentile,
        "Percentile of the scene that becomes black.",
        unit="%",
        between=(0, 49),
        live=True,
    )
    high_percentile: float = parameter(
        NormalizationConfig.high_percentile,
        "Percentile of the scene that becomes white.",
        unit="%",
        between=(51, 100),
        live=True,
    )
    time_constant_s: float = parameter(
        NormalizationConfig.time_constant_s,
        "How slowly the range follows the scene; 0 follows each frame.",
        unit="s",
        between=(0, 60),
        live=True,
    )
    min_span: float = parameter(
        NormalizationConfig.min_span,
        "Smallest range, in kelvin for 32FC1 and where thermal.scale or thermal.camera says what a count is, else in"
        " counts; it is never below 72 times the noise.",
        between=(0.01, 65535),
        live=True,
    )
    fixed_low: float = parameter(
        NormalizationConfig.fixed_low,
        "Count that becomes black in mode fixed (of 32FC1, degree); 8-bit frames pass through where it is above 254.",
        between=(-1e6, 1e6),
        live=True,
    )
    fixed_high: float = parameter(
        NormalizationConfig.fixed_high,
        "Count that becomes white in mode fixed; above 5000, the bounds are hundredths of a kelvin for 32FC1.",
        between=(-1e6, 1e6),
        live=True,
    )

    def __post_init__(self) -> None:
        """Raises ValueError where values that are each allowed contradict one another."""
        self.config()

    def config(self) -> NormalizationConfig:
        return NormalizationConfig(**asdict(self))


def _encoding(camera: str) -> str:
    return parameter(
        "", f"Encoding of the {camera} pixels, where the camera's driver labels them wrongly; empty takes its word."
    )


def _crop(camera: str) -> str:
    return parameter(
        "",
        f"Part of the {camera} image that shows the scene, as x y width height: 0 2 640 512, or 0 0 0 -2 without the"
        " last two rows; empty is all of it.",
    )


def _rotate(camera: str) -> int:
    return parameter(0, f"Turn the {camera} image clockwise: 0, 90, 180 or 270.", unit="degrees", between=(0, 270))


def _flip(camera: str) -> str:
    return parameter("none", f"Mirror the {camera} image, once it is turned.", choices=FLIPS)


@dataclass(frozen=True)
class ThermalParameters:
    """thermal.*"""

    transport: str = parameter(
        "raw",
        "raw subscribes thermal/image_raw, compressed thermal/image_raw/compressed, compressedDepth"
        " thermal/image_raw/compressedDepth.",
        choices=THERMAL_TRANSPORTS,
    )
    encoding: str = _encoding("thermal")
    big_endian: str = parameter(
        "auto", "Byte order of 16-bit and float thermal pixels; auto takes the messages' word.", choices=tuple(_ORDERS)
    )
    crop: str = _crop("thermal")
    rotate: int = _rotate("thermal")
    flip: str = _flip("thermal")
    camera: str = parameter(
        "auto",
        "Camera whose counts are known, with its radiometric output on, for thermal.scale; auto knows of none.",
        choices=tuple(CAMERA_SCALES),
        live=True,
    )
    scale: float = parameter(
        NormalizationConfig.scale,
        "What a count of a 16-bit frame is; 0 takes what thermal.camera says.",
        unit="K",
        between=(0, 10),
        live=True,
    )
    polarity: str = parameter(
        "white_hot",
        "black_hot inverts 8-bit pictures that show heat dark; counts and degrees grow with the heat, and are left.",
        choices=("white_hot", "black_hot"),
        live=True,
    )
    normalization: NormalizationParameters = NormalizationParameters()

    def __post_init__(self) -> None:
        """Raises ValueError where a value does not describe a view."""
        self.view()

    def view(self) -> SensorView:
        crop = _parsed_crop("thermal", self.crop)
        order = _ORDERS[self.big_endian]
        return SensorView("thermal", self.encoding, order, crop=crop, rotate=self.rotate, flip=self.flip)

    def normalization_config(self) -> NormalizationConfig:
        return replace(
            self.normalization.config(),
            scale=self.scale or CAMERA_SCALES[self.camera],
            black_hot=self.polarity == "black_hot",
        )


@dataclass(frozen=True)
class RgbParameters:
    """rgb.*"""

    transport: str = parameter(
        "raw", "raw subscribes rgb/image_raw, compressed rgb/image_raw/compressed.", choices=TRANSPORTS
    )
    encoding: str = _encoding("RGB")
    bits: int = parameter(
        16, "How many of their 16 bits deep RGB pixels use: 12 for a 12-bit camera.", unit="bits", between=(9, 16)
    )
    crop: str = _crop("RGB")
    rotate: int = _rotate("RGB")
    flip: str = _flip("RGB")

    def __post_init__(self) -> None:
        """Raises ValueError where a value does not describe a view."""
        self.view()

    def view(self) -> SensorView:
        crop = _parsed_crop("rgb", self.crop)
        return SensorView("rgb", self.encoding, bits=self.bits, crop=crop, rotate=self.rotate, flip=self.flip)


def _parsed_crop(camera: str, text: str) -> Crop:
    try:
        return Crop.parse(text)
    except ValueError as error:
        raise ValueError(f"The parameter {camera}.crop cannot be used: {error}") from error


@dataclass(frozen=True)
class SyncParameters:
    """sync.*"""

    policy: str = parameter(
        "nearest",
        "nearest pairs each RGB frame with the nearest thermal one; approximate uses message_filters.",
        choices=("nearest", "approximate"),
    )
    slop_ms: float = parameter(
        SyncSettings.slop_ms, "Largest stamp difference of a pair.", unit="ms", between=(0.1, 1000), live=True
    )
    max_wait_ms: float | None = parameter(
        SyncSettings.max_wait_ms,
        "Longest time an RGB frame waits for a nearer thermal one; auto follows a thermal camera that is late,"
        f" from {LEAST_WAIT_MS:g} to {MOST_WAIT_MS:g} ms.",
        unit="ms",
        between=(0, 5000),
        live=True,
    )
    thermal_hold_ms: float | None = parameter(
        SyncSettings.thermal_hold_ms,
        "How old a thermal frame may be to serve further RGB frames; 0 uses each once, auto follows the longest"
        f" interval of a thermal camera slower than RGB, up to {LONGEST_INTERVAL_MS:g} ms.",
        unit="ms",
        between=(0, 5000),
        live=True,
    )
    queue_size: int = parameter(
        SyncSettings.queue_size, "Most frames of one camera that wait for a partner.", between=(1, 1000), live=True
    )
    thermal_offset_ms: float = parameter(
        SyncSettings.thermal_offset_ms,
        "Added to every thermal stamp before pairing, for cameras whose stamps are apart by a constant.",
        unit="ms",
        between=(-MOST_OFFSET_MS, MOST_OFFSET_MS),
        live=True,
    )
    stamps: str = parameter(
        SyncSettings.stamps,
        "header pairs by the cameras' stamps, arrival by when the messages come, for cameras without usable stamps.",
        choices=STAMPS,
        live=True,
    )

    def settings(self) -> SyncSettings:
        return SyncSettings(
            self.slop_ms,
            self.max_wait_ms,
            self.thermal_hold_ms,
            self.queue_size,
            self.thermal_offset_ms,
            self.stamps,
        )


@dataclass(frozen=True)
class AlignmentParameters:
    """alignment.*"""

    file: str = parameter(
        "",
        "YAML file of refinefuse calibrate: how thermal lies in the RGB image; without one it is stretched onto it.",
    )
    max_error_px: float = parameter(
        NOTED_ERROR_PX,
        "Thermal that lies further than this beside RGB, as measured of the live pictures, is a warning; 0 does not"
        " measure.",
        unit="px",
        between=(0.0, 1000.0),
        live=True,
    )

    def read(self) -> Alignment | None:
        """Raises AlignmentError where the file cannot be used."""
        return read_alignment(Path(self.file).expanduser()) if self.file else None


@dataclass(frozen=True)
class OutputParameters:
    """output.*"""

    width: int = parameter(
        0,
        "Width of the fused image, to which RGB is brought before it is fused; 0 follows from the height, or is RGB's.",
        unit="px",
        between=(0, 8192),
        live=True,
    )
    height: int = parameter(
        0, "Height of the fused image; 0 follows from the width, or is RGB's.", unit="px", between=(0, 8192), live=True
    )

    def __post_init__(self) -> None:
        """Raises ValueError where the network cannot make images so small."""
        self.size()

    def size(self) -> OutputSize:
        return OutputSize(self.width, self.height)


@dataclass(frozen=True)
class FusedParameters:
    """fused.*"""

    encoding: str = parameter("bgr8", "Encoding of fused/image_raw.", choices=("bgr8", "rgb8"))
    steady: bool = parameter(
        False, "Average noise over up to four frames wherever neither camera changed by more than 2 grey levels."
    )
    style: str = parameter(
        "natural",
        "natural shows the RGB camera's colours, highlight also tints warm objects, palette shows thermal colours, grey"
        " none.",
        choices=STYLES,
        live=True,
    )
    jpeg_quality: int = parameter(90, "Quality of fused/image_raw/compressed.", unit="%", between=(1, 100), live=True)


@dataclass(frozen=True)
class DiagnosticsParameters:
    """diagnostics.*"""

    min_rate_hz: float = parameter(
        5.0, "A fused rate below this is a warning.", unit="Hz", between=(0, 1000), live=True
    )
    max_latency_ms: float = parameter(
        150.0,
        "A 99th percentile from stamp to publish above this is a warning.",
        unit="ms",
        between=(1, 60000),
        live=True,
    )


@dataclass(frozen=True)
class FusionParameters:
    """Every parameter of the fusion node, typed."""

    model: str = parameter("nano", "Network to run: base, nano, or the path of a .onnx or .safetensors file.")
    engine: EngineParameters = EngineParameters()
    thermal: ThermalParameters = ThermalParameters()
    rgb: RgbParameters = RgbParameters()
    max_pixels: int = parameter(
        MAX_PIXELS,
        "Most pixels of an image; a larger one is rejected, a compressed one before it is decoded.",
        unit="px",
        between=(1024, 1e9),
        live=True,
    )
    sync: SyncParameters = SyncParameters()
    on_missing: str = parameter(
        "passthrough",
        "With one camera stale: passthrough publishes the other one, skip nothing.",
        choices=("passthrough", "skip"),
        live=True,
    )
    camera_timeout_ms: float = parameter(
        1000.0, "A camera without a frame for this long is stale.", unit="ms", between=(10, 60000)
    )
    lazy: bool = parameter(
        True, "Fuse only while somebody subscribes fused/image_raw or its compressed twin.", live=True
    )
    governor: bool = parameter(
        False,
        "While images take longer than diagnostics.max_latency_ms, run nano instead of a larger model, then at half the"
        " size; and go back when there is room.",
        live=True,
    )
    alignment: AlignmentParameters = AlignmentParameters()
    output: OutputParameters = OutputParameters()
    fused: FusedParameters = FusedParameters()
    diagnostics: DiagnosticsParameters = DiagnosticsParameters()
    autostart: bool = parameter(True, "Configure and activate at start; false leaves that to a lifecycle manager.")
