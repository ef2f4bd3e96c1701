# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The scorecard as a table in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from refinefuse_ros.evaluation.scorecard import LOWER_IS_BETTER, Scorecard


def print_table(card: Scorecard) -> None:
    """Print mean, standard deviation and worst pair of each metric to stdout."""
    table = Table(title=_title(card), title_justify="left", caption=_caption(card), caption_justify="left")
    table.add_column("metric")
    table.add_column("better")
    for heading in ("mean", "std", "worst"):
        table.add_column(heading, justify="right")
    table.add_column("worst pair")
    for name, summary in card.summary().items():
        table.add_row(
            "Qabf" if name == "qabf" else name.upper(),
            "lower" if name in LOWER_IS_BETTER else "higher",
            *(f"{value:.4f}" for value in (summary.mean, summary.std, summary.worst_value)),
            summary.worst_pair,
        )
    if card.flicker is not None:
        table.add_row("flicker", "lower", f"{card.flicker:.4f}", "", "", "")
    Console().print(table)


def _title(card: Scorecard) -> str:
    source, engine = card.provenance, card.provenance.engine
    if engine is None:
        return f"{len(card.pairs)} pairs, fused images from {source.fused}"
    return f"{len(card.pairs)} pairs fused by {engine['model']}, {engine['precision']} by {engine['backend']}"


def _caption(card: Scorecard) -> str:
    return f"{card.seconds:.1f} s, {len(card.pairs) / card.seconds:.1f} pairs a second"
