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

"""What a graph computes, by the plainest means: its operations one after the other in NumPy, in float32.

Engines are held against this (`proof.py`), so it shares with none of them what may be wrong in it: no kernels of
oneDNN or of a GPU, no fused layers, no packed weights, no narrow types. What it shares with OpenVINO is the reading of
the file, and with NumPy's BLAS the product of matrices. Quantised tensors are rounded to their steps as the graph says
and go on as float32.

A convolution is a sum of matrix products, done band by band so that what is gathered for them stays small: computing
takes no more memory than OpenVINO does. Its time is in `proof.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import openvino as ov
from openvino.passes import ConstantFolding, Manager

from refinefuse_ros.machine import cores

_BAND_BYTES = 1 << 22
# Multiply-adds of one product. OpenBLAS does so small a one in the thread that asks for it; larger ones it shares out
# among threads of its own, which wait for each other by spinning: a tenth of the speed where anything else runs.
_PRODUCT = 1 << 18
_WEIGHTS = 1 << 12  # of one product, so that it is wide enough to be worth a call
_INTEGERS = {"u8": np.uint8, "i8": np.int8, "i32": np.int32, "i64": np.int64}
_FLOATS = ("f32", "f16", "bf16", "f64")


class UnknownOperationError(Exception):
    """A graph holds an operation that `compute` does not know; the message is a part of a sentence."""


def compute(graph: ov.Model, thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Run a deployable graph.

    Args:
        graph: with the static shape of the planes; its constants are folded in place.
        thermal: (H, W) uint8, as the graph takes it.
        visible: likewise.

    Returns:
        (H, W) float32, rounded as the graph says but not yet a plane of 8 bits: what is no number is still to be seen.

    Raises:
        UnknownOperationError: the graph holds an operation that no deployable graph has.
    """
    folding = Manager()
    folding.register_pass(ConstantFolding())
    folding.run_passes(graph)
    planes = {"thermal": thermal, "visible": visible}
    operations = graph.get_ordered_ops()
    uses = Counter(_key(port.get_source_output()) for operation in operations for port in operation.inputs())
    values: dict[tuple[str, int], np.ndarray] = {}
    with np.errstate(invalid="ignore", over="ignore"):  # what is no number is for the caller to find
        for operation in operations:
            kind = operation.get_type_name()
            if kind == "Parameter":
                plane = planes[operation.output(0).any_name]
                values[operation.get_name(), 0] = plane[None, None].astype(np.float32)
                continue
            if kind == "Constant":
                values[operation.get_name(), 0] = _constant(operation)
                continue
            sources = [_key(port.get_source_output()) for port in operation.inputs()]
            inputs = [values[source] for source in sources]
            if kind == "Result":
                return np.asarray(inputs[0][0, 0], np.float32)
            if kind not in _OPERATIONS:
                raise UnknownOperationError(f"its operation {kind} is none of a network of this package")
            results = _OPERATIONS[kind](operation, *inputs)
            results = results if isinstance(results, list) else [results]
            for index, result in enumerate(results):
                values[operation.get_name(), index] = result
            for source in sources:
                uses[source] -= 1
                if not uses[source]:
                    del values[source]
    raise UnknownOperationError("it has no result")


def _key(output: Any) -> tuple[str, int]:
    return output.get_node().get_name(), output.get_index()


def _constant(operation: Any) -> np.ndarray:
    kind = operation.get_element_type().get_type_name()
    if kind == "bf16":  # which NumPy does not know: the upper half of a float32
        return (operation.get_data().view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    values = operation.get_data()
    return values.astype(np.float32) if kind in _FLOATS else values


def _convert(operation: Any, values: np.ndarray) -> np.ndarray:
    """To float32, also where a narrower float is asked for; an integer is cut off and limited, and stays float32."""
    kind = operation.get_attributes()["destination_type"]
    if kind in _FLOATS:
        return values.astype(np.float32)
    limits = np.iinfo(_INTEGERS[kind])
    return np.clip(np.trunc(values), limits.min, limits.max)


def _convolution(operation: Any, planes: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """(1, C, H, W) by (M, C, h, w): the sum over the kernel's places of the products of (M, C) and the planes there."""
    attributes = operation.get_attributes()
    _check_convolution(attributes)
    (step, across), rows, columns = attributes["strides"], *operation.get_output_shape(0)[2:]
    pads = zip(attributes["pads_begin"], attributes["pads_end"], strict=True)
    padded = np.pad(planes[0], ((0, 0), *pads))
    outputs, inputs = kernels.shape[:2]
    together = max(1, min(_WEIGHTS // (outputs * inputs), kernels[0, 0].size))  # places in one product
    width = max(1, _PRODUCT // (outputs * inputs * together))  # pixels in one product
    places = list(np.ndindex(kernels.shape[2:]))
    parts = [places[first : first + together] for first in range(0, len(places), together)]
    matrices = [np.concatenate([kernels[:, :, down, right] for down, right in part], 1) for part in parts]
    result = np.empty((outputs, rows, columns), np.float32)

    def work(first: int, last: int) -> None:
        pixels = (last - first) * columns
        gathered = np.zeros((together * inputs, -(-pixels // width) * width), np.float32)
        total = np.zeros((gathered.shape[1] // width, outputs, width), np.float32)
        product = np.empty_like(total)
        for part, matrix in zip(parts, matrices, strict=True):
            for index, (down, right) in enumerate(part):
                band = padded[:, first * step + down : (last - 1) * step + down + 1 : step]
                seen = band[:, :, right : right + (columns - 1) * across + 1 : across]
                kept = gathered[index * inputs : (index + 1) * inputs, :pixels]
                kept.reshape(seen.shape)[...] = seen
            blocks = gathered[: matrix.shape[1]].reshape(matrix.shape[1], -1, width).swapaxes(0, 1)
            total += np.matmul(matrix, blocks, out=product)
        flat = total.swapaxes(0, 1).reshape(outputs, -1)
        result[:, first:last] = flat[:, :pixels].reshape(outputs, -1, columns)

    _in_bands(work, rows, max(together * inputs, outputs) * columns)
    return result[None]


def _group_convolution(operation: Any, planes: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """(1, G * C, H, W) by (G, 1, C, h, w): each group of C planes becomes one of the same size."""
    attributes = operation.get_attributes()
    _check_convolution(attributes)
    sides = kernels.shape[3:]
    as_large = all(attributes[name] == [side // 2 for side in sides] for name in ("pads_begin", "pads_end"))
    if kernels.shape[1] != 1 or attributes["strides"] != [1, 1] or not as_large or not all(side % 2 for side in sides):
        raise UnknownOperationError("its grouped convolutions are of a kind that no network of this package has")
    groups = planes[0].reshape(len(kernels), -1, *planes.shape[2:])
    result = np.zeros((len(kernels), *planes.shape[2:]), np.float32)

    def work(first: int, last: int) -> None:
        for group in range(first, last):
            for plane, kernel in zip(groups[group], kernels[group, 0], strict=True):
                result[group] += cv2.filter2D(plane, cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT)

    _in_bands(work, len(kernels), result[0].size)
    return result[None]


def _check_convolution(attributes: dict[str, Any]) -> None:
    if attributes["dilations"] != [1, 1] or attributes["auto_pad"] not in ("explicit", "valid"):
        raise UnknownOperationError("its convolutions are of a kind that no network of this package has")


def _in_bands(work: Callable[[int, int], None], rows: int, row_size: int) -> None:
    """Do some work for all rows on all cores, in bands from one row to another that fit the cache.

    Args:
        work: takes the first row and the one after the last.
        row_size: how many float32 values a row has.
    """
    height = max(1, _BAND_BYTES // (4 * row_size))
    firsts = range(0, rows, height)
    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(work, firsts, (min(first + height, rows) for first in firsts)))


def _average_pool(operation: Any, planes: np.ndarray) -> np.ndarray:
    attributes = operation.get_attributes()
    high, wide = attributes["kernel"]
    whole = planes.shape[2] % high == 0 and planes.shape[3] % wide == 0
    if attributes["strides"] != [high, wide] or any(attributes["pads_begin"] + attributes["pads_end"]) or not whole:
        raise UnknownOperationError("its pooling is of a kind that no network of this package has")
    shape = (*planes.shape[:2], planes.shape[2] // high, high, planes.shape[3] // wide, wide)
    return planes.reshape(shape).mean(axis=(3, 5))


def _interpolate(operation: Any, planes: np.ndarray, *_: np.ndarray) -> np.ndarray:
    attributes = operation.get_attributes()
    known = attributes["mode"] in ("linear", "linear_onnx") and not attributes["antialias"]
    if not known or attributes["coordinate_transformation_mode"] != "half_pixel":
        raise UnknownOperationError("its interpolation is of a kind that no network of this package has")
    depth, height, width = operation.get_output_shape(0)[1:]
    before, after, weight = _neighbours(planes.shape[3], width)
    rows = planes[0].take(before, 2)
    rows += weight * (planes[0].take(after, 2) - rows)
    before, after, weight = _neighbours(planes.shape[2], height)
    result = np.empty((depth, height, width), np.float32)

    def work(first: int, last: int) -> None:
        low, high = (rows[:, index[first:last]] for index in (before, after))
        result[:, first:last] = low + weight[first:last, None] * (high - low)

    _in_bands(work, height, depth * width)
    return result[None]


def _neighbours(length: int, wanted: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bilinear interpolation along an axis: two indices and the second's weight for each pixel that is wanted, with
    pixel centres at halves and the edge repeated.
    """
    position = np.clip((np.arange(wanted) + 0.5) * (length / wanted) - 0.5, 0, length - 1)
    before = position.astype(np.intp)
    return before, np.minimum(before + 1, length - 1), (position - before).astype(np.float32)


def _reduce(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    def reduce(operation: Any, values: np.ndarray, axes: np.ndarray) -> np.ndarray:
        keep = operation.get_attributes()["keep_dims"]
        return function(values, axis=tuple(int(axis) for axis in np.ravel(axes)), keepdims=keep)

    return reduce


def _reshaped(operation: Any, values: np.ndarray, *_: np.ndarray) -> np.ndarray:
    return values.reshape(tuple(operation.get_output_shape(0)))


def _matmul(operation: Any, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    attributes = operation.get_attributes()
    first = first.swapaxes(-1, -2) if attributes["transpose_a"] else first
    second = second.swapaxes(-1, -2) if attributes["transpose_b"] else second
    return first @ second


def _softmax(operation: Any, values: np.ndarray) -> np.ndarray:
    axis = operation.get_attributes()["axis"]
    powers = np.exp(values - values.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def _split(operation: Any, values: np.ndarray, axis: np.ndarray, *_: np.ndarray) -> list[np.ndarray]:
    lengths = [port.get_shape()[int(axis)] for port in operation.outputs()]
    return np.split(values, np.cumsum(lengths)[:-1], int(axis))


def _slice(operation: Any, values: np.ndarray, *bounds: np.ndarray) -> np.ndarray:
    start, stop, step = (np.ravel(bound) for bound in bounds[:3])
    axes = np.ravel(bounds[3]) if len(bounds) > 3 else range(len(start))
    parts = [slice(None)] * values.ndim
    for index, axis in enumerate(axes):
        parts[int(axis)] = slice(int(start[index]), int(stop[index]), int(step[index]))
    return values[tuple(parts)]


def _depth_to_space(operation: Any, planes: np.ndarray) -> np.ndarray:
    attributes = operation.get_attributes()
    side, (_, depth, rows, columns) = attributes["block_size"], planes.shape
    depth_first = attributes["mode"] == "depth_first"
    order = (depth // side**2, side, side) if depth_first else (side, side, depth // side**2)
    blocks = planes.reshape(*order, rows, columns).transpose((0, 3, 1, 4, 2) if depth_first else (2, 3, 0, 4, 1))
    return blocks.reshape(1, depth // side**2, rows * side, columns * side)


def _round(operation: Any, values: np.ndarray) -> np.ndarray:
    if operation.get_attributes()["mode"] != "half_to_even":
        raise UnknownOperationError("it rounds in another way than networks of this package")
    return np.rint(values)


def _fake_quantize(operation: Any, values: np.ndarray, *limits: np.ndarray) -> np.ndarray:
    """Round to one of the steps between two limits, and give what stands for it between two others."""
    low, high, low_out, high_out = limits
    steps = np.float32(operation.get_attributes()["levels"] - 1)
    nearest = np.rint((np.clip(values, low, high) - low) * (steps / (high - low)))
    return nearest * ((high_out - low_out) / steps) + low_out


def _of(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    return lambda operation, *inputs: function(*inputs)


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "Add": _of(np.add),
    "AvgPool": _average_pool,
    "Clamp": lambda operation, values: np.clip(values, *(operation.get_attributes()[side] for side in ("min", "max"))),
    "Concat": lambda operation, *inputs: np.concatenate(inputs, operation.get_attributes()["axis"]),
    "Convert": _convert,
    "Convolution": _convolution,
    "DepthToSpace": _depth_to_space,
    "Divide": _of(np.divide),
    "FakeQuantize": _fake_quantize,
    "GroupConvolution": _group_convolution,
    "Interpolate": _interpolate,
    "MatMul": _matmul,
    "Maximum": _of(np.maximum),
    "Minimum": _of(np.minimum),
    "Multiply": _of(np.multiply),
    "ReduceMax": _reduce(np.max),
    "ReduceMean": _reduce(np.mean),
    "Relu": lambda operation, values: np.maximum(values, np.float32(0)),
    "Reshape": _reshaped,
    "Round": _round,
    "Sigmoid": lambda operation, values: 1 / (1 + np.exp(-values)),
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Squeeze": _reshaped,
    "Subtract": _of(np.subtract),
    "Tanh": _of(np.tanh),
    "Transpose": lambda operation, values, order: values.transpose(order),
    "Unsqueeze": _reshaped,
    "VariadicSplit": _split,
}
