"""The measures by name, each as figures."""

from __future__ import annotations

import sys
from collections.abc import Callable

from bench.figures import Figures
from bench.gateway import caches, death, faults, overhead
from bench.gateway.rows import FIRST_TOKEN_SECONDS

CALLS, THREADS, SHARE, SEED = 2000, 16, 0.3, 7
CALLERS = 50
OVERHEAD_CALLS = 400
DEFAULT_FIRST_TOKEN_SECONDS = 10.0
SECONDS_AFTER: dict[death.End, float] = {"refuses": 5.0, "hangs": 15.0}


def take_faults(figures: Figures, owner_url: str, rounds: int) -> None:
    """One round: the same seed makes the same faults."""
    for name, forgiving in (("faults", False), ("met", True)):
        outcome = faults.run(
            owner_url,
            calls=CALLS,
            threads=THREADS,
            share=SHARE,
            seed=SEED,
            first_token_seconds=FIRST_TOKEN_SECONDS,
            forgiving=forgiving,
        )
        print(f"  {outcome.ledger.ends}\n  {outcome.errors}", file=sys.stderr)
        figures.add({f"{name}_{what}": figure for what, figure in outcome.figures().items()})


def take_death(figures: Figures, owner_url: str, rounds: int) -> None:
    """One round of each end."""
    for end, seconds in SECONDS_AFTER.items():
        came = death.run(end, callers=CALLERS, seconds=seconds, first_token_seconds=DEFAULT_FIRST_TOKEN_SECONDS)
        figures.add(
            {
                f"{end}_following_s": came.longest_following_seconds,
                f"{end}_in_flight_s": came.longest_in_flight_seconds,
                f"{end}_calls": len(came.following),
                f"{end}_bad": len(came.bad),
            }
        )


def take_overhead(figures: Figures, owner_url: str, rounds: int) -> None:
    """So many rounds, both contestants in each."""
    with_litellm = overhead.install_peers()
    for _ in range(rounds):
        of = overhead.round_of(with_litellm, OVERHEAD_CALLS)
        if with_litellm:
            of |= {
                "chat_over_litellm": of["baton_chat_1_p50_ms"] / of["litellm_chat_1_p50_ms"],
                "stream_over_litellm": of["baton_stream_1_p50_ms"] / of["litellm_stream_1_p50_ms"],
                "import_over_litellm": of["baton_import_ms"] / of["litellm_import_ms"],
                "ready_over_litellm": _ready(of, "baton") / _ready(of, "litellm"),
                "memory_over_litellm": of["baton_memory_mb"] / of["litellm_memory_mb"],
            }
        figures.add(of)


def take_caches(figures: Figures, owner_url: str, rounds: int) -> None:
    """One round, on servers of its own."""
    figures.add(caches.figures())


def _ready(figures: dict[str, float], name: str) -> float:
    return figures[f"{name}_import_ms"] + figures[f"{name}_first_ms"]


Measure = Callable[[Figures, str, int], None]
MEASURES: dict[str, Measure] = {
    "faults": take_faults,
    "death": take_death,
    "overhead": take_overhead,
    "caches": take_caches,
}
