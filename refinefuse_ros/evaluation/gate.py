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

"""What a verdict must reach, for CI: bounds in a YAML file, and one sentence for each that is not kept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

from refinefuse_ros.evaluation.metric_texts import FLICKER, METRIC_TEXTS
from refinefuse_ros.evaluation.recording import CameraSummary, LiveLatency, Recording
from refinefuse_ros.evaluation.scorecard import METRIC_NAMES
from refinefuse_ros.evaluation.verdict import Method, Verdict
from refinefuse_ros.settings import ConfigError, from_mapping, read_mapping

EXAMPLE = "config/gate.yaml"
# What a number needs that not every verdict has.
_TAKES: Final = {
    **dict.fromkeys(("kept", "lost", "ring"), "pairs with warm objects"),
    **dict.fromkeys(("biswe", "flowd", "ms2r"), "a video or a recording, and --motion"),
}
_METRICS: Final = tuple(name for name in METRIC_TEXTS if name != FLICKER)


@dataclass(frozen=True)
class Bound:
    """The allowed range of a number, its ends included; at least one end is given.

    Raises:
        ValueError: none is, one is not finite, or `min` lies above `max`.
    """

    min: float | None = None
    max: float | None = None

    def __post_init__(self) -> None:
        ends = [end for end in (self.min, self.max) if end is not None]
        if not ends:
            raise ValueError("it bounds nothing; give min, max or both.")
        if not all(map(math.isfinite, ends)):
            raise ValueError(f"{ends} is no range; give finite numbers.")
        if ends != sorted(ends):
            raise ValueError(f"min {self.min:g} lies above max {self.max:g}, so that nothing can pass.")

    def violations(self, what: str, value: float) -> Iterator[str]:
        """A sentence for each end that `value` lies beyond; NaN lies beyond both."""
        if self.min is not None and not value >= self.min:
            yield f"{what} is {value:.6g}, below the {self.min:g} that is allowed."
        if self.max is not None and not value <= self.max:
            yield f"{what} is {value:.6g}, above the {self.max:g} that is allowed."


@dataclass(frozen=True)
class MethodRules:
    """Bounds for one method.

    Attributes:
        metrics: of the numbers over all pairs, by the name in `METRIC_TEXTS`, the flicker apart.
        flicker: in grey levels.

    Raises:
        ValueError: a metric is unknown.
    """

    metrics: dict[str, Bound] = field(default_factory=dict)
    flicker: Bound | None = None

    def __post_init__(self) -> None:
        for name in self.metrics:
            if name not in _METRICS:
                raise ValueError(f"there is no metric {name}; known are {', '.join(_METRICS)}.")

    def violations(self, method: Method) -> Iterator[str]:
        numbers = method.numbers()
        for name, bound in self.metrics.items():
            title, number = METRIC_TEXTS[name].title, numbers[name]
            if number is None:
                yield f"The gate bounds {title}, but {method.label} has none: that takes {_TAKES[name]}."
            else:
                yield from bound.violations(
                    f"The {'mean ' if name in METRIC_NAMES else ''}{title} of {method.label}", number
                )
        if self.flicker is None:
            return
        if method.flicker is None:
            yield (
                f"The gate bounds the {METRIC_TEXTS[FLICKER].title}, but {method.label} has none: that takes a video or"
                " a recording in which something stands still."
            )
        else:
            yield from self.flicker.violations(f"The flicker of {method.label} in grey levels", method.flicker)


@dataclass(frozen=True)
class RecordingRules:
    """Bounds for a recording; those that are None are not looked at.

    Attributes:
        min_pairs: scored pairs, at least.
        max_unpaired_share: of either camera's messages, the share that is in no pair for whatever reason, 0 to 1.
        max_gaps: of either camera.
        max_offset_ms: largest distance of the stamps of a pair, ms.
        max_latency_p99_ms: highest p99 that the live node's diagnostics in the recording tell, ms.

    Raises:
        ValueError: a bound is negative or not finite, or the share is above 1.
    """

    min_pairs: int | None = None
    max_unpaired_share: float | None = None
    max_gaps: int | None = None
    max_offset_ms: float | None = None
    max_latency_p99_ms: float | None = None

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{entry.name} is {value}; give a number from 0 on.")
        if self.max_unpaired_share is not None and self.max_unpaired_share > 1:
            raise ValueError(f"max_unpaired_share is {self.max_unpaired_share:g}; give a share from 0 to 1.")

    def violations(self, recording: Recording | None) -> Iterator[str]:
        if recording is None:
            yield "The gate has rules for a recording, but files were scored; give --bag, or a gate without them."
            return
        if self.min_pairs is not None:
            yield from Bound(min=self.min_pairs).violations(
                "The number of scored pairs", recording.pairs - recording.failed
            )
        for name, camera in (("thermal", recording.thermal), ("RGB", recording.rgb)):
            yield from self._of_camera(name, camera)
        if self.max_offset_ms is not None:
            largest = Bound(max=self.max_offset_ms)
            yield from largest.violations("The largest distance of a pair's stamps in ms", recording.offset_ms_max)
        if self.max_latency_p99_ms is not None:
            yield from self._of_latency(self.max_latency_p99_ms, recording.latency)

    def _of_camera(self, name: str, camera: CameraSummary) -> Iterator[str]:
        if self.max_unpaired_share is not None:
            share = 1 - camera.paired / camera.messages if camera.messages else 1.0
            what = f"The share of {name} frames in no pair"
            yield from Bound(max=self.max_unpaired_share).violations(what, share)
        if self.max_gaps is not None:
            yield from Bound(max=self.max_gaps).violations(f"The number of {name} gaps", len(camera.gaps))

    def _of_latency(self, allowed: float, latency: LiveLatency | None) -> Iterator[str]:
        if latency is None or not latency.p99_ms:
            yield (
                "The gate bounds the live latency, but the recording holds no diagnostics of the fusion node; record"
                " /diagnostics too, or leave max_latency_p99_ms out."
            )
            return
        highest = max(latency.p99_ms, key=lambda value: math.inf if math.isnan(value) else value)
        yield from Bound(max=allowed).violations("The live latency's highest p99 in ms", highest)


@dataclass(frozen=True)
class Gate:
    """Everything that a verdict must reach.

    Attributes:
        metrics, flicker: for the first method of the verdict, as in `MethodRules`.
        methods: further rules by a method's label.
        recording: for what the synchroniser made of a recording.
        alignment_error_px: how far thermal may lie beside RGB, RGB pixels.

    Raises:
        ValueError: there is no rule at all, or a metric is unknown.
    """

    metrics: dict[str, Bound] = field(default_factory=dict)
    flicker: Bound | None = None
    methods: dict[str, MethodRules] = field(default_factory=dict)
    recording: RecordingRules | None = None
    alignment_error_px: Bound | None = None

    def __post_init__(self) -> None:
        rules = (self.first, *self.methods.values(), self.recording, self.alignment_error_px)
        if all(rule in (None, MethodRules(), RecordingRules()) for rule in rules):
            raise ValueError(f"it has no rule, so that everything would pass; start from {EXAMPLE}.")

    @property
    def first(self) -> MethodRules:
        """The rules for the first method of the verdict."""
        return MethodRules(self.metrics, self.flicker)

    def violations(self, verdict: Verdict) -> list[str]:
        """A sentence for each rule that is not kept, with the measured and the allowed value; empty: it passes.

        A rule about something that the verdict does not have (no such method, no flicker, no recording) is not kept.
        """
        found = list(self.first.violations(verdict.methods[0]))
        by_label = {method.label: method for method in verdict.methods}
        for label, rules in self.methods.items():
            if label in by_label:
                found += rules.violations(by_label[label])
            else:
                found.append(f"The gate has rules for {label}, but what was scored is {', '.join(by_label)}.")
        if self.recording is not None:
            found += self.recording.violations(verdict.recording)
        if self.alignment_error_px is not None:
            found += self._of_alignment(self.alignment_error_px, verdict.alignment.error_px)
        return found

    @staticmethod
    def _of_alignment(bound: Bound, error_px: float | None) -> Iterator[str]:
        if error_px is None:
            yield "The gate bounds the alignment's error, but no pair that was looked at tells it."
        else:
            yield from bound.violations("The alignment's error in px", error_px)


def load_gate(path: Path) -> Gate:
    """Read a gate.

    Raises:
        ConfigError: the file is missing, no YAML or without a rule, a key is unknown, or a value is not allowed.
    """
    settings = read_mapping(path, EXAMPLE)
    try:
        return from_mapping(Gate, settings)
    except ConfigError as error:
        raise ConfigError(f"The gate {path}: {error}") from error
