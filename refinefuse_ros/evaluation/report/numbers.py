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

"""The summary table: one row for each number, the methods side by side, and the sources' own for comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from refinefuse_ros.evaluation.metric_texts import METRIC_TEXTS, Better
from refinefuse_ros.evaluation.verdict import Verdict


@dataclass(frozen=True)
class Value:
    """Mean and standard deviation over the pairs; what is measured over all of them together has only one value."""

    mean: float
    std: float | None


@dataclass(frozen=True)
class Row:
    """One number.

    Attributes:
        name, title, says, better: as in `METRIC_TEXTS`.
        values: of the methods, in their order; None for one that has no such number.
        best: the indices of the best methods; empty with a single one.
        sources: the same number of the thermal and of the RGB images alone; None where there is no such thing.
    """

    name: str
    title: str
    says: str
    better: Better
    values: list[Value | None]
    best: set[int]
    sources: tuple[float | None, float | None]


def summary_rows(verdict: Verdict) -> list[Row]:
    """The rows in the order of `METRIC_TEXTS`, those that any method has."""
    numbers, summaries = zip(*((method.numbers(), method.summary()) for method in verdict.comparable()), strict=True)
    rows = []
    for name, text in METRIC_TEXTS.items():
        sources = (getattr(verdict.thermal, name, None), getattr(verdict.rgb, name, None))
        values = [
            None if of_method[name] is None else Value(of_method[name], summary[name].std if name in summary else None)
            for of_method, summary in zip(numbers, summaries, strict=True)
        ]
        if any(value is not None for value in values):
            rows.append(Row(name, text.title, text.says, text.better, values, _best(values, text.better), sources))
    return rows


def most_pairs(verdict: Verdict) -> int:
    """How many pairs were scored; images that were fused before may be there for fewer of them."""
    return max(len(method.pairs) for method in verdict.methods)


def number(value: float) -> str:
    """About four digits, as a reader compares them."""
    decimals = 3 if abs(value) < 10 else 2 if abs(value) < 100 else 1
    return f"{value:.{decimals}f}"


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(items: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, (", ".join(items[:-1]), items[-1])))


def _best(values: list[Value | None], better: Better) -> set[int]:
    means = {index: value.mean for index, value in enumerate(values) if value is not None}
    if len(values) < 2 or not means:
        return set()
    best = better.best(means.values())
    return {index for index, mean in means.items() if mean == best}
