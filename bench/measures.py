"""The measures by name, in the order in which they are taken, each in so many rounds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection

from bench import speed
from bench.accepting import accepting
from bench.commits import commits
from bench.fairness import fairness
from bench.figures import Figures
from bench.neighbours import neighbours
from bench.runs import crowd
from bench.stand import Stand
from bench.streams import streams

WARM_UP_CHAINS = 100

# The streams come last: their thousand runs are accepted and never sent, and workers would find them.
MEASURES: dict[str, Callable[[Stand, int], dict[str, float]]] = {
    "throughput": speed.throughput,
    "medium": speed.medium,
    "alone": speed.one_at_a_time,
    "commits": commits,
    "long": speed.long,
    "payload": speed.payload,
    "accepting": accepting,
    "fairness": fairness,
    "neighbours": neighbours,
    "streams": streams,
}


def run(stand: Stand, names: Collection[str], rounds: int) -> Figures:
    """Take these measures, so many rounds each, after a first turn of everyone that does not count."""
    figures = Figures()
    for contestant in stand.all(0):
        crowd(contestant, WARM_UP_CHAINS, 8)
    for name, measure in MEASURES.items():
        if name in names:
            print(f"{name}: {rounds} rounds", file=sys.stderr, flush=True)
            for number in range(rounds):
                figures.add(measure(stand, number))
    return figures
