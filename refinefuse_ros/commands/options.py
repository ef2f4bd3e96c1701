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

"""What the verbs' arguments share: groups of options, types of values, and refusing options that do not fit."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from refinefuse_ros.engine.factory import BACKENDS, PRECISIONS, EngineRequest
from refinefuse_ros.errors import UserError
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.normalization import CAMERA_SCALES, NormalizationConfig
from refinefuse_ros.image.presentation import STYLES
from refinefuse_ros.image.sensor_view import CAMERAS, FLIPS, Crop, SensorView
from refinefuse_ros.stream.outcome import Stream
from refinefuse_ros.stream.pairing import MOST_OFFSET_MS

if TYPE_CHECKING:
    from refinefuse_ros.alignment.file import Alignment


class UsageError(UserError):
    """The arguments do not go together: exit status 2, as of all wrong usage; the message is one sentence."""


def add_cameras(verb: argparse._ActionsContainer, *, required: bool = False) -> None:
    """--thermal and --rgb, of files."""
    verb.add_argument("--thermal", type=Path, required=required, help="thermal image, folder or video")
    verb.add_argument("--rgb", type=Path, required=required, help="RGB image, folder or video")


def add_bag_topics(verb: argparse.ArgumentParser) -> None:
    """--thermal-topic and --rgb-topic, of a recording."""
    verb.add_argument("--thermal-topic", help="the recording's thermal image topic (default: guessed)")
    verb.add_argument("--rgb-topic", help="the recording's RGB image topic (default: guessed)")


def add_views(verb: argparse.ArgumentParser) -> None:
    """--thermal-crop and the like, of a recording; read by `given_views`."""
    group = verb.add_argument_group(
        "how a recording's images are to be taken", "as the node's parameters of these names"
    )
    for camera in CAMERAS:
        group.add_argument(f"--{camera}-encoding", help="what the pixels are, where the driver labels them wrongly")
        group.add_argument(f"--{camera}-crop", metavar='"X Y W H"', help="the part of the image that shows the scene")
        group.add_argument(f"--{camera}-rotate", type=int, metavar="DEGREES", help="turn it clockwise")
        group.add_argument(f"--{camera}-flip", choices=FLIPS, help="mirror it, once it is turned")


VIEWS: Final = tuple(f"{camera}_{name}" for camera in CAMERAS for name in ("encoding", "crop", "rotate", "flip"))
"""The options of `add_views`, as attributes."""


def given_views(options: argparse.Namespace) -> dict[Stream, SensorView]:
    """What the options of `add_views` say of each camera.

    Raises:
        UsageError: one of them is not allowed.
    """
    views = {}
    for stream in Stream:
        encoding, crop, rotate, flip = (getattr(options, name) for name in VIEWS if name.startswith(f"{stream}_"))
        try:
            view = SensorView(
                str(stream), encoding or "", crop=Crop.parse(crop or ""), rotate=rotate or 0, flip=flip or "none"
            )
        except ValueError as error:
            raise UsageError(f"The view of the {stream} camera cannot be used: {error}") from error
        if view != SensorView(str(stream)):
            views[stream] = view
    return views


def add_alignment(verb: argparse.ArgumentParser) -> None:
    """--alignment; read by `given_alignment`."""
    verb.add_argument(
        "--alignment", type=Path, help="file of `refinefuse calibrate` (default: thermal is stretched onto RGB)"
    )


def given_alignment(options: argparse.Namespace) -> Alignment | None:
    """What the option of `add_alignment` names.

    Raises:
        AlignmentError: the file cannot be used.
    """
    if not options.alignment:
        return None
    from refinefuse_ros.alignment.file import read_alignment

    return read_alignment(options.alignment)


_NORMALIZATION: Final = {
    "normalization": "mode",
    "min_span": "min_span",
    "time_constant_s": "time_constant_s",
    "thermal_scale": "scale",
}


def add_normalization(verb: argparse.ArgumentParser) -> None:
    """How the thermal range is chosen, as by the node's parameters; read by `given_normalization`."""
    group = verb.add_argument_group("the range of thermal pictures of more than 8 bit, as the node's thermal.*")
    group.add_argument(
        "--normalization", choices=("percentile", "fixed"), help="the range follows the scene, or not (percentile)"
    )
    group.add_argument(
        "--percentiles", nargs=2, type=float, metavar=("LOW", "HIGH"), help="shown as black and as white (0.5 99.5)"
    )
    group.add_argument(
        "--fixed",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="with --normalization fixed: shown as black and as white, in counts or in the unit of float pictures",
    )
    group.add_argument("--min-span", type=positive, metavar="SPAN", help="narrowest range, in counts or kelvin (1)")
    group.add_argument(
        "--time-constant-s", type=float, metavar="S", help="how slowly a video's range follows, in seconds (2)"
    )
    group.add_argument("--thermal-scale", type=positive, metavar="K", help="kelvin a count (unknown)")
    group.add_argument(
        "--thermal-camera",
        choices=[name for name, scale in CAMERA_SCALES.items() if scale],
        help="one whose kelvin a count are known",
    )
    group.add_argument(
        "--thermal-polarity",
        choices=("white_hot", "black_hot"),
        default="white_hot",
        help="of 8-bit pictures; black_hot inverts them (default: %(default)s)",
    )


def given_normalization(options: argparse.Namespace) -> NormalizationConfig:
    """What the options of `add_normalization` ask for.

    Raises:
        UsageError: they contradict themselves.
    """
    if options.fixed and options.normalization != "fixed":
        raise UsageError("--fixed says nothing without --normalization fixed; give both.")
    if options.thermal_scale and options.thermal_camera:
        raise UsageError("--thermal-scale and --thermal-camera both say what a count is; give one.")
    given = {field: value for name, field in _NORMALIZATION.items() if (value := getattr(options, name)) is not None}
    if options.percentiles:
        given |= dict(zip(("low_percentile", "high_percentile"), options.percentiles, strict=True))
    if options.fixed:
        given |= dict(zip(("fixed_low", "fixed_high"), options.fixed, strict=True))
    if options.thermal_camera:
        given["scale"] = CAMERA_SCALES[options.thermal_camera]
    try:
        return NormalizationConfig(**given, black_hot=options.thermal_polarity == "black_hot")
    except ValueError as error:
        raise UsageError(f"The thermal range cannot be used: {error}") from error


def add_thermal_offset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--thermal-offset-ms",
        type=_offset,
        metavar="MS",
        help="added to the stamps of a recording's thermal frames, or to the times of a thermal video's (default: 0)",
    )


def _offset(text: str) -> float:
    value = float(text)
    if not abs(value) <= MOST_OFFSET_MS:  # NaN is not
        raise argparse.ArgumentTypeError(f"{text} is not within {MOST_OFFSET_MS:.0f} ms")
    return value


def add_steady(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--steady", action="store_true", help="average a video's noise where neither camera changes")


def add_style(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--style",
        default=STYLES[0],
        choices=STYLES,
        help="RGB's colours, warm objects tinted, thermal colours, or none (default: %(default)s)",
    )


def add_json(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--json", action="store_true", help="print the result as one JSON object, and nothing else")


def print_json(result: Any) -> None:
    """What --json promises."""
    print(json.dumps(result, indent=2))


def add_engine(verb: argparse.ArgumentParser, *, several_models: bool = False) -> None:
    """--model (repeatable with `several_models`), --backend, --precision and --device; read by `engine_request`."""
    defaults = EngineRequest()
    if several_models:
        verb.add_argument(
            "--model", action="append", help=f"base, nano or a path; can be repeated (default: {defaults.model})"
        )
    else:
        verb.add_argument("--model", default=defaults.model, help="base, nano or a path (default: %(default)s)")
    verb.add_argument("--backend", default=defaults.backend, choices=("auto", *BACKENDS), help="default: %(default)s")
    verb.add_argument("--precision", default=defaults.precision, choices=PRECISIONS, help="default: %(default)s")
    verb.add_argument(
        "--device",
        default=defaults.device,
        help="as the backend calls it, such as CPU or cuda:1 (default: %(default)s)",
    )


def engine_request(options: argparse.Namespace, model: str | None = None) -> EngineRequest:
    """What the options of `add_engine` ask for; `model` is one of several."""
    return EngineRequest(model or options.model, options.backend, options.precision, options.device)


def refuse(options: argparse.Namespace, mode: str, *names: str) -> None:
    """Refuse options that say nothing in the mode that others have chosen.

    Args:
        options: of a verb whose parser is in its `parser`.
        mode: completes the sentence "--rate is not for ...".
        names: of the options, as attributes.

    Raises:
        UsageError: one of them was given (as something else than its default).
    """
    for name in names:
        if getattr(options, name) != options.parser.get_default(name):
            raise UsageError(f"--{name.replace('_', '-')} is not for {mode}; leave it out.")


def require_both(options: argparse.Namespace, alternative: str) -> None:
    """Raises UsageError unless both cameras' files are given; `alternative` is what could be given instead of them."""
    if not (options.thermal and options.rgb):
        raise UsageError(f"Two cameras are needed: give --thermal and --rgb, or {alternative}.")


def positive(text: str) -> float:
    """The type of an option that is a positive, finite number."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a positive number")
    return value


def not_negative(text: str) -> float:
    """The type of an option that is a finite number, 0 or above."""
    return 0.0 if text.strip() in ("0", "0.0") else positive(text)


def count(text: str) -> int:
    """The type of an option that counts what costs much: from 1 to 100."""
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 to 100")
    return int(text)


def at_least_one(text: str) -> int:
    """The type of an option that counts anything else."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 on")
    return int(text)


def size(text: str) -> ImageSize:
    """The type of an option that is an image size, WIDTHxHEIGHT."""
    try:
        return ImageSize.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
