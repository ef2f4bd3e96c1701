# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The summary table: one row for each number, the methods side by side, and the sources' own for comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from refinefuse_ros.evaluation.metric_texts import FLICKER, METRIC_TEXTS
from refinefuse_ros.evaluation.verdict import Method, Verdict


@dataclass(frozen=True)
class Value:
    """Mean and standard deviation over the pairs; the flicker has only one value."""

    mean: float
    std: float | None


@dataclass(frozen=True)
class Row:
    """One number.

    Attributes:
        name, title, says, lower_is_better: as in `METRIC_TEXTS`.
        values: of the methods, in their order; None for one that has no flicker.
        best: the indices of the best methods; empty with a single one.
        sources: the same number of the thermal and of the RGB images alone; None where there is no such thing.
    """

    name: str
    title: str
    says: str
    lower_is_better: bool
    values: list[Value | None]
    best: set[int]
    sources: tuple[float | None, float | None]


def summary_rows(verdict: Verdict) -> list[Row]:
    """The rows in the order of `METRIC_TEXTS`; the flicker only where anything has one."""
    summaries = [method.summary() for method in verdict.comparable()]
    rows = []
    for name, text in METRIC_TEXTS.items():
        sources = (getattr(verdict.thermal, name, None), getattr(verdict.rgb, name, None))
        if name == FLICKER:
            values = [_flicker(method) for method in verdict.methods]
        else:
            values = [Value(summary[name].mean, summary[name].std) for summary in summaries]
        if any(value is not None for value in values):
            best = _best(values, text.lower_is_better)
            rows.append(Row(name, text.title, text.says, text.lower_is_better, values, best, sources))
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


def _flicker(method: Method) -> Value | None:
    return None if method.flicker is None else Value(method.flicker, None)


def _best(values: list[Value | None], lower_is_better: bool) -> set[int]:
    means = {index: value.mean for index, value in enumerate(values) if value is not None}
    if len(values) < 2 or not means:
        return set()
    best = (min if lower_is_better else max)(means.values())
    return {index for index, mean in means.items() if mean == best}
