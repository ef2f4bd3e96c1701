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

"""Trials of the alignment on real clips: python tests/alignment/trials_finding.py FOLDER [TRIALS].

FOLDER has thermal/ and rgb/ with videos of the same names, whose cameras see the same frame. Thermal is sent as another
camera would have, which is turned by up to 8 degrees, of another field of view, up to 40 px beside and a little tilted;
and pictures of scenes that have nothing in common, or nothing to be seen, which must be refused.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from refinefuse_ros.alignment.finding import NotFoundError, find_homography
from refinefuse_ros.alignment.models import apply, corners_of
from refinefuse_ros.image.colour import to_grey
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.video import VideoReader

PAIRS = 10
Planes = list[np.ndarray]


class Rig(NamedTuple):
    """Sizes of both pictures (None: as the clip is), thermal's share of RGB's field of view, and its depth."""

    thermal: ImageSize | None = None
    rgb: ImageSize | None = None
    field: tuple[float, float] = (0.85, 1.2)
    counts: bool = False


KINDS = {
    "as it is": Rig(),
    "14 bit": Rig(counts=True),
    "half resolution": Rig(ImageSize(320, 240)),
    "0.5 to 1 of the view": Rig(field=(0.5, 1.0)),
    "640x512 on 1920x1080": Rig(ImageSize(640, 512), ImageSize(1920, 1080), (0.6, 1.0), True),
}


def read(path: Path) -> Planes:
    """Ten frames, evenly spread."""
    reader = VideoReader(path)
    frames = [to_grey(frame, "bgr8") for frame in reader]
    reader.close()
    return [frames[round(index)] for index in np.linspace(0, len(frames) - 1, PAIRS)]


def drawn(rig: Rig, clip: ImageSize, random: np.random.Generator) -> tuple[np.ndarray, ImageSize, ImageSize]:
    """A matrix from thermal's pixels to RGB's, and both sizes."""
    thermal, rgb = rig.thermal or clip, rig.rgb or clip
    turn = np.radians(random.uniform(-8, 8))
    scale = random.uniform(*rig.field) * rgb.width / thermal.width
    across = 40 * rgb.width / 640
    to_centre = np.array([(1, 0, -(thermal.width - 1) / 2), (0, 1, -(thermal.height - 1) / 2), (0, 0, 1)])
    turned = np.array([(np.cos(turn), -np.sin(turn), 0), (np.sin(turn), np.cos(turn), 0), (0, 0, 1)])
    turned[:2] *= scale
    tilted = np.array([(1, 0, 0), (0, 1, 0), (*(random.uniform(-1, 1, 2) * 0.05 / rgb.width), 1)])
    shift = random.uniform(-across, across, 2) / np.sqrt(2)
    back = np.array([(1, 0, (rgb.width - 1) / 2 + shift[0]), (0, 1, (rgb.height - 1) / 2 + shift[1]), (0, 0, 1)])
    matrix = back @ tilted @ turned @ to_centre
    return matrix / matrix[2, 2], thermal, rgb


def sent(planes: Planes, rig: Rig, matrix: np.ndarray, thermal: ImageSize, rgb: ImageSize) -> Planes:
    """Thermal pictures of a camera whose pixels `matrix` brings to RGB's."""
    found = []
    for plane in planes:
        whole = cv2.resize(plane, rgb, interpolation=cv2.INTER_CUBIC) if ImageSize.of(plane) != rgb else plane
        step = np.sqrt(abs(np.linalg.det(matrix[:2, :2])))
        if step > 1.2:  # a coarser camera gathers over its pixel
            whole = cv2.GaussianBlur(whole, (0, 0), 0.4 * step)
        seen = cv2.warpPerspective(
            whole, matrix, thermal, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
        )
        found.append((7000 + 6 * seen.astype(np.uint16)) if rig.counts else seen)
    return found


def nothing_in_common(thermal: dict[str, Planes], rgb: dict[str, Planes]) -> Iterator[tuple[Planes, Planes]]:
    """Scenes of other clips, pictures upside down, and skies: soft gradients with noise."""
    for one, other in permutations(thermal, 2):
        yield thermal[one], rgb[other]
        yield [plane[:, ::-1] for plane in thermal[one]], rgb[other]
    for name in thermal:
        yield [plane[::-1] for plane in thermal[name]], rgb[name]
        for seed in range(3):
            random = np.random.default_rng(seed)
            sky = [soft(random) for _ in range(PAIRS)]
            yield sky, [soft(random) for _ in range(PAIRS)]
            yield sky, rgb[name]
            yield thermal[name], sky


def soft(random: np.random.Generator) -> np.ndarray:
    rough = cv2.resize(random.uniform(80, 130, (4, 5)), (640, 480), interpolation=cv2.INTER_CUBIC)
    return np.clip(rough + random.normal(0, 3, rough.shape), 0, 255).astype(np.uint8)


def main(folder: Path, trials: int) -> None:
    names = sorted(path.name for path in (folder / "rgb").glob("*.mp4"))
    thermal, rgb = ({name: read(folder / camera / name) for name in names} for camera in ("thermal", "rgb"))
    print(f"{'':22} {'clip':14} trials  found  within 1.5 px  median  worst of the found, px   seconds")
    for kind, rig in KINDS.items():
        for name in names:
            errors: list[float] = []
            start_s = time.perf_counter()
            for seed in range(trials):
                matrix, own, other = drawn(rig, ImageSize.of(rgb[name][0]), np.random.default_rng(1000 + seed))
                seen = [cv2.resize(plane, other) if ImageSize.of(plane) != other else plane for plane in rgb[name]]
                try:
                    found = find_homography(sent(thermal[name], rig, matrix, own, other), seen).matrix
                except NotFoundError:
                    continue
                corners = corners_of(*own)
                errors.append(float(np.linalg.norm(apply(found, corners) - apply(matrix, corners), axis=1).mean()))
            seconds = (time.perf_counter() - start_s) / trials
            near, far = sum(error <= 1.5 for error in errors), max(errors, default=np.nan)
            middle = np.median(errors) if errors else np.nan
            print(
                f"{kind:22} {name[:-4]:14} {trials:6} {len(errors):6} {near:14} {middle:7.2f} {far:12.2f}"
                f" {seconds:20.1f}",
                flush=True,
            )
    tried = accepted = 0
    for one, other in nothing_in_common(thermal, rgb):
        tried += 1
        try:
            find_homography(one, other)
            accepted += 1
        except NotFoundError:
            pass
    print(f"nothing in common: {tried}, of which an alignment was found: {accepted}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 7)
