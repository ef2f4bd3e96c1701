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

"""What the fusion node gives up, step by step, to keep its deadline: the model, then half the size."""

from __future__ import annotations

from dataclasses import dataclass

from refinefuse_ros.engine.host import EngineHost
from refinefuse_ros.pipeline import FusionPipeline
from refinefuse_ros.stream.governor import Governor

FASTEST_MODEL = "nano"


@dataclass(frozen=True)
class Quality:
    """One step: the model that runs, and whether at half the size."""

    model: str
    half: bool = False

    def __str__(self) -> str:
        return f"{self.model} at half the size" if self.half else self.model


def qualities(model: str) -> tuple[Quality, ...]:
    """The steps of a node that was given `model`, the best first."""
    smaller = () if model == FASTEST_MODEL else (Quality(FASTEST_MODEL),)
    return (Quality(model), *smaller, Quality(FASTEST_MODEL, half=True))


class GovernedQuality:
    """Puts into effect what the governor decides.

    Args:
        model: as configured.
        engine, pipeline: what is changed.
    """

    def __init__(self, model: str, engine: EngineHost, pipeline: FusionPipeline) -> None:
        self._steps = qualities(model)
        self._engine = engine
        self._pipeline = pipeline
        self._governor = Governor(len(self._steps))

    @property
    def now(self) -> Quality:
        return self._steps[self._governor.step]

    @property
    def is_reduced(self) -> bool:
        """Whether it is another quality than was configured."""
        return self._governor.step > 0

    def add(self, taken_ms: float) -> None:
        """An image was made in so long, ms, from the arrival of its frames on."""
        self._governor.add(taken_ms)

    def govern(self, wanted: bool, deadline_ms: float, now_ns: int) -> str:
        """Look at what was added since the last look, about once a second.

        Args:
            wanted: whether quality may be given up at all; else it is as configured.
            deadline_ms: what the 99th percentile is to stay under.
            now_ns: by a clock that does not go back.

        Returns:
            A sentence on a step that was taken; empty where none was.
        """
        before = self._governor.step
        if not wanted:
            if before:
                self._governor = Governor(len(self._steps))
                return self._change(f"{self.now} runs again: the governor is off.")
            return ""
        if not self._governor.judge(deadline_ms, now_ns):
            return ""
        if self._governor.step > before:
            return self._change(f"Images take longer than {deadline_ms:g} ms: {self.now} runs from now on.")
        return self._change(f"There is room within {deadline_ms:g} ms: {self.now} runs again.")

    def _change(self, sentence: str) -> str:
        self._engine.use(self.now.model)
        self._pipeline.half = self.now.half
        return sentence
