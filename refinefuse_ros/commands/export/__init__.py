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

"""`refinefuse export`: a model in the form that another machine runs, and how far its pictures are from torch's."""

from __future__ import annotations

import argparse
from pathlib import Path

from refinefuse_ros.commands.options import add_json, print_json, size
from refinefuse_ros.engine.factory import EngineRequest

SUMMARY = "export a model for another machine and compare it with torch"
FORMATS = ("onnx", "openvino", "tensorrt", "torch-tensorrt")
PRECISIONS = ("auto", "fp32", "fp16", "int8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default=EngineRequest.model, help="base, nano or a path (default: %(default)s)")
    parser.add_argument("--format", required=True, choices=FORMATS)
    parser.add_argument(
        "--precision",
        default="auto",
        choices=PRECISIONS,
        help="auto is fp32 for onnx and openvino, fp16 for the others, int8 for a plan of an int8 graph"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--size",
        type=size,
        metavar="WIDTHxHEIGHT",
        help="of the images (default: any for onnx and openvino, else 640x480)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="an .onnx or .xml file (default: the model's name, in this folder);"
        " for compiled engines a folder (default: the engine cache)",
    )
    parser.add_argument("--compute-capability", help="of the GPU to build a TensorRT plan for, such as 8.9")
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="FOLDER",
        help="with thermal/ and rgb/: pairs for the ranges of int8 (default: the synthetic street)",
    )
    parser.add_argument(
        "--pairs",
        type=Path,
        metavar="FOLDER",
        help="with thermal/ and rgb/: pairs to compare with torch on (default: the synthetic street)",
    )
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    from refinefuse_ros.commands.export.exporting import export_model

    report = export_model(
        options.model,
        options.format,
        options.precision,
        options.size,
        options.output,
        options.compute_capability,
        calibration=options.calibration,
        pairs=options.pairs,
    )
    if options.json:
        print_json(report.to_dict())
    else:
        print(report)
