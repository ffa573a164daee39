"""What was measured: figures by name, one a round."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Figures:
    """Figures by name, one a round."""

    rounds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, figures: dict[str, float]) -> None:
        """Keep the figures of a round, and show them to whoever waits."""
        for name, figure in figures.items():
            self.rounds.setdefault(name, []).append(figure)
        said = ", ".join(f"{name} {figure:.3f}" for name, figure in figures.items())
        print(f"  {said}", file=sys.stderr, flush=True)

    def median(self, name: str) -> float:
        """The median of a figure's rounds."""
        return statistics.median(self.rounds[name])


def spread(name: str, times: Iterable[float]) -> dict[str, float]:
    """p50, p95 and the largest of these milliseconds, as figures."""
    ordered = sorted(times)
    return {
        f"{name}_p50_ms": ordered[len(ordered) // 2],
        f"{name}_p95_ms": ordered[len(ordered) * 95 // 100],
        f"{name}_max_ms": ordered[-1],
    }
