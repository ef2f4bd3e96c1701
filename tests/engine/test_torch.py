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

"""The torch engines where they differ from the compiled ones: fp32 is fp32, and what is closed is given back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from refinefuse_ros.engine.artifacts import find_model
from refinefuse_ros.engine.torch import TorchEngine
from refinefuse_ros.engine.torch_cuda import TorchCudaEngine
from refinefuse_ros.image.frame import ImageSize


def test_the_reference_computes_without_tf32() -> None:
    engine = TorchEngine(find_model("nano"), ImageSize(64, 64))
    allowed = []

    def graph(thermal: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        allowed.append(torch.backends.cudnn.allow_tf32)
        return visible

    engine._graph = graph
    plane = np.zeros((64, 64), np.uint8)
    before = torch.backends.cudnn.allow_tf32
    engine.fuse(plane, plane)
    assert allowed == [False]
    assert torch.backends.cudnn.allow_tf32 == before


@pytest.mark.parametrize("broken", [False, True])
def test_closing_gives_the_memory_back_even_of_a_gpu_that_failed(broken: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def empty_cache() -> None:
        calls.append("empty_cache")
        if broken:
            raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(torch.cuda, "empty_cache", empty_cache)
    engine = object.__new__(TorchCudaEngine)  # a whole one needs a GPU
    engine.close()
    assert calls == ["empty_cache"]
    assert (engine._network, engine._planes, engine._host) == (None, [], [])
