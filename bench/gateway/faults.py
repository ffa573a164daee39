"""Calls on a primary that goes wrong so often, in every way that the fault proxy knows, beside a healthy second.

The same questions are asked of a healthy primary before: what a call takes longer is what the faults added.
"""

from __future__ import annotations

import statistics
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from bench.gateway.helpers import started
from bench.gateway.house import House, Said
from bench.gateway.ledger import Ledger, ledger
from tests.agents.fault_proxy import seeded


@dataclass(frozen=True)
class Outcome:
    """What came of it. added_ms: sorted; faults: how many requests of the primary met which; ledger: of the calls with
    faults."""

    said: list[Said]
    added_ms: list[float]
    healthy_p50_ms: float
    faults: dict[str, int]
    ledger: Ledger

    @property
    def answered(self) -> int:
        return sum(bool(one.model) for one in self.said)

    @property
    def wrong(self) -> int:
        """Answers that are another question's, broken off, or put together from two."""
        return sum(bool(one.model) and not one.right for one in self.said)

    @property
    def added_p95_ms(self) -> float:
        return self.added_ms[len(self.added_ms) * 95 // 100]

    @property
    def errors(self) -> dict[str, int]:
        return dict(Counter(one.error for one in self.said if one.error))

    def figures(self) -> dict[str, float]:
        """For the page. apart: tokens, money, reservations, open rows and bills on which the books do not agree."""
        by_model = Counter(one.model or "nobody" for one in self.said)
        books = self.ledger
        apart = (books.tokens_apart, books.cost_apart, books.reserved, books.open, books.unbilled)
        requests = sum(self.faults.values())
        return {
            "answered": 100 * self.answered / len(self.said),
            "wrong": self.wrong,
            "apart": sum(map(abs, apart)),
            "added_p50_ms": statistics.median(self.added_ms),
            "added_p95_ms": self.added_p95_ms,
            "added_max_ms": self.added_ms[-1],
            "healthy_p50_ms": self.healthy_p50_ms,
            **{name: by_model[name] for name in ("first", "second", "nobody")},
            "requests": requests,
            "faulty": requests - self.faults.get("none", 0),
        }


def run(
    owner_url: str, *, calls: int, threads: int, share: float, seed: int, first_token_seconds: float, forgiving: bool
) -> Outcome:
    """forgiving: every call finds a closed breaker and begins at the primary, so that all faults are met."""
    with ExitStack() as stack:
        first, second = (stack.enter_context(started("bench.gateway.proxy")) for _ in range(2))
        questions = [f"question {number} of {seed}" for number in range(calls)]
        limits = {"first_token_seconds": first_token_seconds}
        house = House(first.hello, second.hello, limits)
        _asked(house, questions[: 2 * threads], threads, forgiving)  # libraries, connections, pools
        healthy = _asked(house, questions, threads, forgiving)
        faulty = House(first.hello, second.hello, limits)
        first.ask(share=share, seed=seed)
        second.ask(share=0.0, seed=seed)
        said = _asked(faulty, questions, threads, forgiving)
        primary, other = first.ask(), second.ask()
    added = sorted(late.milliseconds - before.milliseconds for late, before in zip(said, healthy, strict=True))
    served = {"first": primary["served"], "second": other["served"]}
    plan = seeded(seed, share)
    met = Counter(plan(number, {}) or "none" for number in range(primary["requests"]))
    usual = statistics.median(one.milliseconds for one in healthy)
    return Outcome(said, added, usual, dict(met), ledger(owner_url, faulty.tenant, faulty.backends, served))


def _asked(house: House, questions: list[str], threads: int, forgiving: bool) -> list[Said]:
    def ask(question: str) -> Said:
        if forgiving:
            house.forgive()
        return house.ask(question)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(ask, questions))
