"""The table for docs/benchmarks.md: medians and ranges, beside each target whether it is met."""

from __future__ import annotations

import argparse

from bench.measures import Figures


def write(figures: Figures, asked: argparse.Namespace) -> str:
    """The page's text."""
    return "\n".join(f"{name}: {[round(x, 3) for x in of]}" for name, of in figures.rounds.items())


def keep(text: str) -> None:
    """Write the page."""
