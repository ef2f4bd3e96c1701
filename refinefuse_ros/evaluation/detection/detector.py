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

"""Detectors as people have them: an ONNX file of a known family, run by OpenVINO on the CPU in single precision."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import numpy as np
import openvino as ov
from openvino import properties
from openvino.properties import hint

from refinefuse_ros.engine.openvino import shared_core
from refinefuse_ros.errors import UserError, first_line
from refinefuse_ros.evaluation.detection.boxes import Boxes, suppress
from refinefuse_ros.evaluation.detection.coco import COCO_NAMES
from refinefuse_ros.evaluation.detection.layouts import recognise
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.resources import sha256_of

# As many of a picture as COCO's evaluation looks at.
MOST_BOXES: Final = 100
_USUAL_SIDE: Final = 640
_MOST_SIDE: Final = 4096
_KNOWN: Final = (
    "known are Ultralytics YOLO 8 to 26 (1, 4 + classes, cells) or (1, boxes, 6), YOLOX (1, cells, 5 + classes) and"
    " FastestDet (1, 5 + classes, H / 16, W / 16), each with one input (1, 3, H, W)"
)


class DetectorError(UserError):
    """A file that is no detector of a known family."""


class Detector:
    """A detector of a known family.

    Args:
        path: its ONNX file.
        threads: how many threads to use; None is all cores.

    Attributes:
        family: as a reader knows it.
        sha256: of the file.
        names: of its classes, by their numbers.

    Raises:
        DetectorError: the file is missing or no ONNX graph, or its inputs, outputs or task are not of a known family.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self._path = path
        model = _read(path)
        properties_there = _metadata(model)
        task = properties_there.get("task", "detect")
        if task != "detect":
            raise DetectorError(f"The detector {path} is for the task {task}; give one that was exported for detect.")
        found = _in_words(model)
        size = _input_size(model, properties_there) if len(model.inputs) == len(model.outputs) == 1 else None
        if size is None:
            raise DetectorError(f"The detector {path} has {found}; {_KNOWN}.")
        try:
            model.reshape([1, 3, size.height, size.width])
            output = tuple(None if side.is_dynamic else side.get_length() for side in model.outputs[0].partial_shape)
            is_decoded = any(node.get_type_name() == "Exp" for node in model.get_ops())
            recognised = recognise(size, output, is_decoded)
            if recognised is None:
                raise DetectorError(f"The detector {path} has {found}; {_KNOWN}.")
            options = {hint.inference_precision: ov.Type.f32, hint.execution_mode: hint.ExecutionMode.ACCURACY}
            if threads:
                options[properties.inference_num_threads] = threads
            self._request = shared_core().compile_model(model, "CPU", options).create_infer_request()
        except RuntimeError as error:
            raise DetectorError(f"OpenVINO cannot run the detector {path}: {first_line(error)}.") from error
        self._size = size
        self._layout = recognised.layout
        self._dtype = model.inputs[0].element_type.to_dtype()
        self.family = self._layout.name
        self.sha256 = sha256_of(path)
        self.names = _class_names(properties_there.get("names", ""), recognised.classes)

    def find(self, picture: np.ndarray) -> Boxes:
        """The boxes in a picture, (H, W, 3) uint8 BGR, the best first, in its pixels and cut to it.

        Raises:
            DetectorError: OpenVINO fails to run it.
        """
        placed = self._layout.place(picture, self._size)
        pixels = placed.pixels[..., ::-1] if self._layout.is_rgb else placed.pixels
        scaled = pixels.transpose(2, 0, 1).astype(np.float32) * (self._layout.full_scale / 255.0)
        try:
            (output,) = self._request.infer([np.ascontiguousarray(scaled[np.newaxis], self._dtype)]).values()
        except RuntimeError as error:
            raise DetectorError(f"OpenVINO failed to run the detector {self._path}: {first_line(error)}.") from error
        boxes = self._layout.decode(np.asarray(output[0], np.float32))
        height, width = picture.shape[:2]
        corners = np.clip(placed.back(boxes.corners), 0, np.float32([width, height] * 2))
        is_box = (corners[:, 2:] > corners[:, :2]).all(axis=1) & (boxes.scores >= self._layout.least_score)
        boxes = Boxes(corners, boxes.classes, boxes.scores).chosen(is_box & (boxes.classes < len(self.names)))
        if self._layout.most_overlap is None:
            return boxes.chosen(np.argsort(-boxes.scores, kind="stable")[:MOST_BOXES])
        return suppress(boxes, self._layout.most_overlap, MOST_BOXES)


def _read(path: Path) -> ov.Model:
    if not path.is_file():
        raise DetectorError(f"The detector {path} does not exist; give an ONNX file.")
    try:
        return shared_core().read_model(path)
    except RuntimeError as error:
        raise DetectorError(f"The detector {path} is not a readable ONNX file: {first_line(error)}.") from error


def _metadata(model: ov.Model) -> dict[str, str]:
    """What the ONNX file says of itself, for which Ultralytics' exporter has the keys names, task and imgsz."""
    return {
        key: model.get_rt_info(["framework", key]).astype(str)
        for key in ("names", "task", "imgsz")
        if model.has_rt_info(["framework", key])
    }


def _input_size(model: ov.Model, metadata: dict[str, str]) -> ImageSize | None:
    """Of a floating-point input (1, 3, H, W), by the metadata where it takes any; None for another kind of input."""
    (port,) = model.inputs
    if port.partial_shape.rank.is_dynamic or len(port.partial_shape) != 4 or not port.element_type.is_real():
        return None
    batch, channels, *sides = port.partial_shape
    if not (batch.is_dynamic or batch.get_length() == 1) or channels.is_dynamic or channels.get_length() != 3:
        return None
    usual = _literal(metadata.get("imgsz", ""))
    if not (isinstance(usual, list) and len(usual) == 2 and all(side in range(1, _MOST_SIDE + 1) for side in usual)):
        usual = [_USUAL_SIDE] * 2
    height, width = (side.get_length() if side.is_static else use for side, use in zip(sides, usual, strict=True))
    return ImageSize(width, height)


def _class_names(text: str, count: int | None) -> list[str]:
    """By the metadata's text, {0: 'person', ...}; without one those of COCO, or numbers."""
    names = _literal(text)
    names = list(names.values()) if isinstance(names, dict) else names
    if isinstance(names, list) and names and count in (None, len(names)):
        return [str(name) for name in names]
    return list(COCO_NAMES) if count in (None, len(COCO_NAMES)) else [f"class {index}" for index in range(count)]


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _in_words(model: ov.Model) -> str:
    sides = (("input", model.inputs), ("output", model.outputs))
    return " and ".join(f"{word} {', '.join(map(_port_in_words, ports))}" for word, ports in sides)


def _port_in_words(port: ov.Output) -> str:
    return f"{port.any_name if port.names else ''}{port.partial_shape} {port.element_type.to_string()}".strip()
