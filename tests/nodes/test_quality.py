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

"""What is given up first, and that the engine and the pipeline are told of it."""

from __future__ import annotations

import pytest

from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.engine.host import EngineHost
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.image.normalization import ThermalNormalizer
from refinefuse_ros.nodes.quality import GovernedQuality, qualities
from refinefuse_ros.pipeline import FusionPipeline
from refinefuse_ros.stream.timing import NS_PER_S


@pytest.mark.parametrize(
    ("model", "steps"),
    [
        ("nano", ["nano", "nano at half the size"]),
        ("base", ["base", "nano", "nano at half the size"]),
        ("my/model.onnx", ["my/model.onnx", "nano", "nano at half the size"]),
    ],
)
def test_the_model_goes_before_the_size(model: str, steps: list[str]) -> None:
    assert [str(quality) for quality in qualities(model)] == steps


def test_steps_are_taken_one_by_one_and_said() -> None:
    engine = EngineHost(EngineRequest("base", backend="laplacian"), ImageSize(64, 48))
    pipeline = FusionPipeline(engine, ThermalNormalizer())
    quality = GovernedQuality("base", engine, pipeline)
    said = []
    for second in range(1, 120):
        quality.add(500.0 if second < 20 else 10.0)
        said.append(quality.govern(True, 150.0, second * NS_PER_S))
        if said[-1]:
            assert (engine._wanted_model, pipeline.half) == (quality.now.model, quality.now.half)
    assert list(filter(None, said)) == [
        "Images take longer than 150 ms: nano runs from now on.",
        "Images take longer than 150 ms: nano at half the size runs from now on.",
        "There is room within 150 ms: nano runs again.",
        "There is room within 150 ms: base runs again.",
    ]
