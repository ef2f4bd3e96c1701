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

"""What is compressed comes back whole or is refused, and never takes more than it may."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable

import lz4.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinefuse_ros.recordings.decompression import (
    MOST_BYTES,
    DamagedError,
    TooLargeError,
    unlz4,
    unpack_chunk,
    unzstd,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CODECS = [(zstd.compress, unzstd), (lz4.frame.compress, unlz4)]
Codec = Callable[..., bytes]


@pytest.mark.parametrize(("compress", "decompress"), CODECS)
@given(content=st.binary(max_size=3000), times=st.sampled_from([1, 1000]), frames=st.integers(1, 3))
def test_what_was_compressed_comes_back(
    compress: Codec, decompress: Codec, content: bytes, times: int, frames: int
) -> None:
    whole = content * times
    assert decompress(compress(whole) * frames, len(whole) * frames) == whole * frames
    if whole:
        with pytest.raises(TooLargeError):
            decompress(compress(whole) * frames, len(whole) * frames - 1)


@pytest.mark.parametrize(("compress", "decompress"), CODECS)
@given(content=st.binary(min_size=1, max_size=300), share=st.floats(0, 0.99))
def test_what_is_cut_off_or_followed_by_something_else_is_refused(
    compress: Codec, decompress: Codec, content: bytes, share: float
) -> None:
    packed = compress(content)
    for broken in (packed[: max(int(len(packed) * share), 1)], packed + b"more"):
        with pytest.raises(DamagedError):
            decompress(broken)


def test_no_more_memory_is_taken_than_the_bound(bomb: bytes) -> None:
    assert len(bomb) < 10_000
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError, match="it takes more than 134 MB decompressed"):
            unzstd(bomb)
        assert tracemalloc.get_traced_memory()[1] < 2.2 * MOST_BYTES
        tracemalloc.reset_peak()
        with pytest.raises(TooLargeError):
            unzstd(bomb, 1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("compress", "name"), [(zstd.compress, "zstd"), (lz4.frame.compress, "lz4")])
def test_a_chunk_holds_no_more_than_it_says(compress: Codec, name: str) -> None:
    assert unpack_chunk(compress(bytes(1000)), 1000, name) == bytes(1000)
    with pytest.raises(DamagedError, match="its contents are not what was written"):
        unpack_chunk(compress(bytes(1000)), 999, name)
    with pytest.raises(TooLargeError, match="134 MB"):
        unpack_chunk(compress(bytes(1000)), MOST_BYTES + 1, name)
