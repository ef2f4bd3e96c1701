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

"""RVL, the lossless code for 16-bit depth images (A. D. Wilson, Fast Lossless Depth Image Compression, ISS 2017).

An image is runs of zeros and of other pixels in turn: the length of each, and the zigzag differences of the others
from the one before. All of these are numbers of 3 bits a nibble, low bits first, whose top bit says that more follow;
nibbles fill 32-bit words from their top. Since all numbers look alike, they are all decoded at once.
"""

from __future__ import annotations

import numpy as np

# A 16-bit difference takes 6 nibbles, a run in an image of 2^31 pixels 11.
_MOST_NIBBLES = 11


def decode_rvl(data: bytes, count: int) -> np.ndarray:
    """The `count` pixels, uint16 (count,).

    Raises:
        ValueError: the data holds fewer, or runs beyond them.
    """
    numbers = _numbers(data)
    pixels = np.zeros(count, np.uint16)
    places, differences = [], []
    position = done = 0
    while done < count:
        if position + 2 > numbers.size:
            raise ValueError(f"RVL data ends after {done} of {count} pixels")
        zeros, others = int(numbers[position]), int(numbers[position + 1])
        begin, position = done + zeros, position + 2
        done = begin + others
        if done > count or position + others > numbers.size or zeros + others == 0:
            raise ValueError(f"RVL data has runs that do not fit into {count} pixels")
        places.append(slice(begin, done))
        differences.append(numbers[position : position + others])
        position += others
    zigzag = np.concatenate(differences) if differences else numbers[:0]
    values = np.cumsum((zigzag >> 1) ^ -(zigzag & 1)).astype(np.uint16)
    taken = 0
    for place in places:
        length = place.stop - place.start
        pixels[place] = values[taken : taken + length]
        taken += length
    return pixels


def _numbers(data: bytes) -> np.ndarray:
    """All numbers of the data, int64."""
    words = np.frombuffer(data, "<u4", len(data) // 4).astype(">u4").view(np.uint8)
    nibbles = np.empty(words.size * 2, np.uint8)
    nibbles[0::2], nibbles[1::2] = words >> 4, words & 0xF
    ends = np.flatnonzero(nibbles < 8)
    if not ends.size:
        return np.zeros(0, np.int64)
    begins = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - begins + 1
    if lengths.max() > _MOST_NIBBLES:
        raise ValueError("RVL data has a number of more bits than any pixel or run")
    numbers = (nibbles[begins] & 7).astype(np.int64)
    for nibble in range(1, int(lengths.max())):
        longer = np.flatnonzero(lengths > nibble)
        numbers[longer] |= (nibbles[begins[longer] + nibble] & 7).astype(np.int64) << (3 * nibble)
    return numbers
