"""How long a newly accepted run of one quick node takes to its end while others work and threads are free.

Mixed: eight chains in flight, of which every second one sleeps 200 ms in each of its 8 nodes, the others have 64 quick
ones. Beside: one run of 1,000 quick nodes after the other. The time begins when the call that accepts has returned, and
ends with the message that the result is there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.contestants import Baton
from bench.crew import wait_until
from bench.figures import spread
from bench.load import Input, load
from bench.runs import turn
from bench.stand import Stand

SLEEPING: Input = {"steps": 8, "sleep_ms": 200}
QUICK: Input = {"steps": 64}
MIXED_CHAINS = 8
LONGEST: Input = {"steps": 1000}
RUNS, PAUSE_SECONDS = 100, 0.1
SETTLING_SECONDS = 1.0


def fairness(stand: Stand, number: int) -> dict[str, float]:
    """The delays of new runs under both loads."""
    return {
        **spread("mixed", _delays(stand.baton, [SLEEPING, QUICK] * (MIXED_CHAINS // 2))),
        **spread("beside", _delays(stand.baton, [LONGEST])),
        "fairness_commit_ms": stand.commit_ms(),
    }


def _delays(baton: Baton, inputs: Sequence[Input]) -> list[float]:
    """Milliseconds of each new run, one every 100 ms, under this load."""
    accepted: dict[str, float] = {}
    with turn(baton), load(baton, inputs) as ends:
        began = time.perf_counter() + SETTLING_SECONDS
        for number in range(RUNS):
            time.sleep(max(0.0, began + number * PAUSE_SECONDS - time.perf_counter()))
            run, send = baton.prepare(1, {})
            accepted[run] = time.perf_counter()
            send()
        wait_until(lambda: accepted.keys() <= ends.at.keys(), "the new runs")
    return [(ends.at[run] - at) * 1000 for run, at in accepted.items()]
