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

"""How far an exported model's pictures are from torch's, and the pairs to measure that and to calibrate int8 on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from refinefuse_ros.alignment.placing import fit_to
from refinefuse_ros.clips import open_folder
from refinefuse_ros.engine.base import Engine
from refinefuse_ros.engine.manifest import Comparison
from refinefuse_ros.errors import UserError
from refinefuse_ros.evaluation.metrics import MIN_SIDE, evaluate_pair, summarize
from refinefuse_ros.image.colour import split_luma
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.normalization import ThermalNormalizer
from refinefuse_ros.image.sources import ImagePair
from refinefuse_ros.image.synthetic import SyntheticScene

Item = TypeVar("Item")
Planes = tuple[np.ndarray, np.ndarray]

# Grey levels on average. fp16 stays well under the first, int8 under the second; a wrong graph under neither.
_ALLOWED_MEAN_DIFFERENCE = 0.1
_ALLOWED_MEAN_DIFFERENCE_INT8 = 1.0


@dataclass(frozen=True)
class Sample:
    """A few pairs of one size.

    Attributes:
        description: what they are, for reports.
        planes: thermal and visible, each (H, W) uint8, as engines take them.
    """

    description: str
    planes: list[Planes]


def sample_pairs(folder: Path | None, size: ImageSize, count: int) -> Sample:
    """Pairs of one's own, or of the synthetic street.

    Args:
        folder: holds thermal/ and rgb/ with stills or videos of the same names; None is the synthetic street.
        size: that both planes are stretched to.
        count: at most so many, spread evenly over what is there.

    Raises:
        SourceError: the folder has no such subfolders, or they cannot be paired or read.
    """
    if folder is None:
        return Sample(f"{count} pairs of the synthetic street", _street(size, count))
    pairs = spread(open_folder(folder), count)
    return Sample(f"{len(pairs)} pairs of {folder.resolve().name}", [still_planes(pair, size) for pair in pairs])


def spread(items: Iterable[Item], count: int) -> list[Item]:
    """At most `count` of the items, evenly spaced, in one pass and holding at most twice as many."""
    kept: list[Item] = []
    stride = 1
    for index, item in enumerate(items):
        if index % stride:
            continue
        kept.append(item)
        if len(kept) == 2 * count:
            kept, stride = kept[::2], 2 * stride
    return kept[:: -(-len(kept) // count) or 1]


def compare(exported: Engine, reference: Engine, sample: Sample, calibrated_on_its_kind: bool = False) -> Comparison:
    """Run an exported model and torch in fp32 on the same pairs.

    Args:
        exported: the model as it will run.
        reference: torch, or what stands in for it.
        sample: the pairs.
        calibrated_on_its_kind: whether int8's ranges were found on pairs of the same source: a difference then has
            another cause.

    Raises:
        UserError: the pictures differ by more than the precision explains.
    """
    differences, scores = [], []
    for thermal, visible in sample.planes:
        expected = reference.fuse(thermal, visible).copy()
        found = exported.fuse(thermal, visible).copy()
        differences.append(np.abs(expected.astype(np.int16) - found))
        if min(exported.size) >= MIN_SIDE:
            scores.append([evaluate_pair(thermal, visible, fused) for fused in (expected, found)])
    info = exported.info
    mean = float(np.mean(differences))
    quantized = info.precision == "int8"
    allowed = _ALLOWED_MEAN_DIFFERENCE_INT8 if quantized else _ALLOWED_MEAN_DIFFERENCE
    if mean > allowed:
        advice = "export it in a wider precision, or train it again"
        if quantized and calibrated_on_its_kind:
            advice = f"it does not stand int8, or {info.backend} computes int8 wrongly on this {info.device}; {advice}"
        elif quantized:
            advice = f"calibrate with pairs like those that are to be fused, or {advice}"
        raise UserError(
            f"The exported model differs from {reference.info.backend} by {mean:.3f} grey levels on average, where"
            f" {allowed} is allowed; {advice}."
        )
    columns = [asdict(summarize(list(column))) for column in zip(*scores, strict=True)]
    return Comparison(
        reference=f"{reference.info.backend} in {reference.info.precision}",
        ran_on=f"{info.backend} in {info.precision} on {info.device}",
        pairs=sample.description,
        max_difference=int(np.max(differences)),
        mean_difference=round(mean, 5),
        metrics={name: tuple(round(column[name], 5) for column in columns) for name in columns[0]} if columns else {},
    )


def _street(size: ImageSize, count: int) -> list[Planes]:
    scene = SyntheticScene(*size)
    moments = (scene.render(index * scene.PERIOD_S / count) for index in range(count))
    return [still_planes(ImagePair(counts, "mono16", bgr, 0.0), size) for counts, bgr in moments]


def still_planes(pair: ImagePair, size: ImageSize) -> Planes:
    """What the pipeline gives the engine for a still: thermal and visible, each (H, W) uint8 of `size`."""
    luma, _ = split_luma(fit_to(pair.rgb, size), "bgr8")
    thermal = fit_to(ThermalNormalizer().normalize(pair.thermal, stamp_ns=0), size)
    return np.ascontiguousarray(thermal), np.ascontiguousarray(luma)
