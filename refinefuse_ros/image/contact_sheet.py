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

"""A picture of several moments, one row each: thermal | RGB | fused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from refinefuse_ros.image.colour import join_luma, split_luma, to_grey
from refinefuse_ros.image.files import write_image
from refinefuse_ros.image.frame import Frame, ImageSize
from refinefuse_ros.image.normalization import NormalizationConfig, ThermalNormalizer

CELL_WIDTH_PX = 426
CAPTION_PX = 24
GAP_PX = 4


@dataclass(frozen=True)
class Moment:
    """The three images of one stamp, and what to write over them."""

    caption: str
    thermal: Frame
    rgb: Frame
    fused: Frame


def write_contact_sheet(path: Path, moments: list[Moment]) -> None:
    """Write the moments as one image; each thermal frame is stretched to its own range.

    Raises:
        ValueError: there is no moment.
    """
    if not moments:
        raise ValueError("A contact sheet needs at least one moment; none was kept.")
    rows = [_caption_row(("thermal", "RGB", "fused"))]
    for moment in moments:
        cells = (_thermal_cell(moment.thermal), _colour_cell(moment.rgb), _colour_cell(moment.fused))
        cells[0][: CAPTION_PX + 4] = cells[0][: CAPTION_PX + 4] // 2
        cv2.putText(
            cells[0],
            moment.caption,
            (8, CAPTION_PX - 4),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.6,
            (255,) * 3,
            1,
            cv2.LINE_AA,
        )
        rows.append(_beside(cells))
    gap = np.zeros((GAP_PX, rows[0].shape[1], 3), np.uint8)
    write_image(path, np.vstack([part for row in rows for part in (row, gap)][:-1]))


def _thermal_cell(frame: Frame) -> np.ndarray:
    normalizer = ThermalNormalizer(NormalizationConfig())
    plane = normalizer.normalize(to_grey(frame.pixels, frame.encoding), frame.stamp_ns)
    return _fit(join_luma(plane, None, "bgr8"))


def _colour_cell(frame: Frame) -> np.ndarray:
    return _fit(join_luma(*split_luma(frame.pixels, frame.encoding), "bgr8"))


def _fit(bgr: np.ndarray) -> np.ndarray:
    size = ImageSize.of(bgr)
    return cv2.resize(
        bgr, (CELL_WIDTH_PX, round(CELL_WIDTH_PX * size.height / size.width)), interpolation=cv2.INTER_AREA
    )


def _beside(cells: tuple[np.ndarray, ...]) -> np.ndarray:
    height = max(cell.shape[0] for cell in cells)
    padded = [cv2.copyMakeBorder(c, 0, height - c.shape[0], 0, GAP_PX, cv2.BORDER_CONSTANT) for c in cells]
    return np.hstack(padded)[:, :-GAP_PX]


def _caption_row(captions: tuple[str, ...]) -> np.ndarray:
    cells = []
    for caption in captions:
        cell = np.zeros((CAPTION_PX, CELL_WIDTH_PX, 3), np.uint8)
        cv2.putText(cell, caption, (8, CAPTION_PX - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255,) * 3, 1, cv2.LINE_AA)
        cells.append(cell)
    return _beside(tuple(cells))
