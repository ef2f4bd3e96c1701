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

"""The light of the synthetic night: street lamps and a faint sky, and how a camera turns radiance into levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

# BGR, like every colour here. Radiance is in an arbitrary unit in which exposure 1.9 makes a good picture.
_AMBIENT: Final = np.array([0.032, 0.027, 0.022], np.float32)
_EXPOSURE: Final = 1.9
_GAMMA: Final = 1 / 2.2


@dataclass(frozen=True)
class StreetLamp:
    """A lamp over the road at (x, height_m, z) on a post at (post_x, z)."""

    x: float
    z: float
    post_x: float
    power: float = 17.0
    height_m: float = 6.2
    colour: tuple[float, float, float] = (0.45, 0.75, 1.0)


LAMPS: Final = (
    StreetLamp(-5.4, 19.5, -6.3),
    StreetLamp(4.0, 32.0, 4.9),
    StreetLamp(-5.4, 46.0, -6.3),
    StreetLamp(4.0, 60.0, 4.9),
)


def irradiance(x: np.ndarray | float, y: np.ndarray | float, z: np.ndarray | float) -> np.ndarray:
    """Return the light at world points, BGR in the last axis, of the lamps (shining downwards) and the sky."""
    total = 0.0
    for lamp in LAMPS:
        down = lamp.height_m - y
        square = (x - lamp.x) ** 2 + down**2 + (z - lamp.z) ** 2
        falloff = lamp.power * np.maximum(down, 0.0) / (square * np.sqrt(square))
        total = total + np.asarray(falloff, np.float32)[..., None] * np.array(lamp.colour, np.float32)
    return total + _AMBIENT


def tone_map(radiance: np.ndarray) -> np.ndarray:
    """Return linear radiance as display values 0..255, float32: exponential saturation, then gamma."""
    return 255.0 * (1.0 - np.exp(-_EXPOSURE * radiance)) ** _GAMMA
