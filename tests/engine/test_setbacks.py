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

"""The memory of failures: bounded, by size, and forgiving. Its pauses are held by tests/engine/test_host.py."""

from __future__ import annotations

from refinefuse_ros.engine.setbacks import RETRY_AFTER_S, Setbacks
from refinefuse_ros.image.frame import ImageSize

SIZE, OTHER = ImageSize(64, 48), ImageSize(640, 480)


def test_a_stream_of_ever_new_sizes_pushes_out_the_oldest() -> None:
    setbacks = Setbacks()
    for width in range(32, 2032):
        setbacks.note("tensorrt", ImageSize(width, 32), "no memory")
    known = [width for width in range(32, 2032) if setbacks.at(ImageSize(width, 32))]
    assert known == list(range(2032 - len(known), 2032))
    assert 0 < len(known) < 100


def test_what_works_is_forgiven_at_its_size_alone() -> None:
    setbacks = Setbacks(lambda: 0.0)
    for size in (SIZE, OTHER):
        setbacks.note("tensorrt", size, "no memory")
    setbacks.forgive("tensorrt", SIZE)
    setbacks.forgive("openvino", SIZE)
    assert (setbacks.get("tensorrt", SIZE), list(setbacks.at(OTHER))) == (None, ["tensorrt"])


def test_only_what_has_waited_long_enough_is_due() -> None:
    now_s = [0.0]
    setbacks = Setbacks(lambda: now_s[0])
    for who in ("tensorrt", "torch_cuda"):
        setbacks.note(who, SIZE, "no memory")
        now_s[0] += RETRY_AFTER_S / 2
    assert setbacks.due(SIZE) == "tensorrt"
    assert setbacks.due(SIZE, besides=["tensorrt"]) is None
    assert setbacks.due(OTHER) is None


def test_what_failed_in_use_and_then_could_not_be_made_still_has_another_in_its_place() -> None:
    setbacks = Setbacks()
    setbacks.note("tensorrt", SIZE, "fell off the bus", in_use=True)
    setback = setbacks.note("tensorrt", SIZE, "no memory")
    assert (setback.in_use, setback.failures, setback.reason) == (True, 2, "no memory")
