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

"""Trials of the clocks' offset on real clips: python tests/alignment/trials_timing.py FOLDER [TRIALS].

FOLDER has thermal/ and rgb/ with videos of the same names, frame by frame of the same moments. Each clip is tried with
its clock shifted by up to 300 ms either way, as it is and as other cameras would have sent it; and films of different
moments, which must be refused.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from refinefuse_ros.alignment.moving import Film, OffsetError, shrink
from refinefuse_ros.alignment.timing import find_offset
from refinefuse_ros.image.colour import to_grey
from refinefuse_ros.image.video import VideoReader


class Cameras(NamedTuple):
    """Rates to which the frames are thinned, Hz (0: as they are); how many are lost; jitter of the stamps, ms."""

    thermal_hz: float = 0
    rgb_hz: float = 0
    lost: float = 0
    jitter_ms: float = 0


KINDS = {
    "as they are": Cameras(),
    "thermal 25 Hz": Cameras(25),
    "thermal 9 Hz": Cameras(9),
    "both 15 Hz": Cameras(15, 15),
    "10 % lost": Cameras(lost=0.1),
    "jitter 3 ms": Cameras(jitter_ms=3),
    "9 Hz, lost, jitter": Cameras(9, 0, 0.05, 3),
}


def read(path: Path) -> Film:
    reader = VideoReader(path)
    frames = [(round(time_s * 1e9), shrink(to_grey(pixels, "bgr8"))) for time_s, pixels in reader.timed()]
    reader.close()
    return Film(np.array([time_ns for time_ns, _ in frames]), np.array([plane for _, plane in frames]))


def sent(film: Film, rate_hz: float, cameras: Cameras, random: np.random.Generator) -> Film:
    """The film as a camera of that rate, whose shutter opens at any moment, would have sent it."""
    kept = np.arange(len(film.times_ns))
    if rate_hz:
        wanted = np.arange(random.uniform(0, 1e9 / rate_hz), film.times_ns[-1], 1e9 / rate_hz)
        kept = np.unique(np.abs(film.times_ns[None] - wanted[:, None]).argmin(axis=1))
    kept = kept[random.random(len(kept)) >= cameras.lost]
    jitter_ns = random.normal(0, cameras.jitter_ms * 1e6, len(kept)).astype(np.int64)
    return Film(np.maximum.accumulate(film.times_ns[kept] + jitter_ns), film.planes[kept])


def part(film: Film, start_s: float, end_s: float) -> Film:
    """A part of a film, as one that begins at 0."""
    chosen = (film.times_ns >= start_s * 1e9) & (film.times_ns < end_s * 1e9)
    return Film(film.times_ns[chosen] - round(start_s * 1e9), film.planes[chosen])


def unrelated(thermal: dict[str, Film], rgb: dict[str, Film]) -> Iterator[tuple[Film, Film]]:
    """Films of other clips, of other parts of a clip, and played backwards."""
    for one, other in product(thermal, rgb):
        if one != other:
            yield thermal[one], rgb[other]
        else:
            seconds, half_s = rgb[one].times_ns[-1] / 1e9, rgb[one].times_ns[-1] / 2e9
            yield thermal[one], Film(rgb[one].times_ns, rgb[one].planes[::-1])
            if half_s > 4.2:
                yield part(thermal[one], 0, half_s), part(rgb[one], half_s, seconds)
                yield part(thermal[one], half_s, seconds), part(rgb[one], 0, half_s)


def main(folder: Path, trials: int) -> None:
    names = sorted(path.name for path in (folder / "rgb").glob("*.mp4"))
    thermal, rgb = ({name: read(folder / camera / name) for name in names} for camera in ("thermal", "rgb"))
    print(f"{'':20} trials  found  within 10 ms  worst of the found, ms")
    for kind, cameras in KINDS.items():
        errors: list[float] = []
        for name, seed in product(names, range(trials)):
            random = np.random.default_rng(seed)
            behind_ms = random.uniform(-300, 300)
            film = sent(thermal[name], cameras.thermal_hz, cameras, random)
            film = Film(film.times_ns - round(behind_ms * 1e6), film.planes)
            try:
                found = find_offset(film, sent(rgb[name], cameras.rgb_hz, cameras, random))
            except OffsetError:
                continue
            errors.append(abs(found.offset_ms - behind_ms))
        within = sum(error <= 10 for error in errors)
        print(
            f"{kind:20} {len(names) * trials:6} {len(errors):6} {within:13} {max(errors, default=0):10.1f}", flush=True
        )
    accepted = count = 0
    for one, other in unrelated(thermal, rgb):
        count += 1
        try:
            find_offset(one, other)
            accepted += 1
        except OffsetError:
            pass
    print(f"unrelated films: {count}, of which an offset was found: {accepted}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5)
