"""The primary's end while calls are in flight: killed, so that it refuses connections, or frozen, so that it hangs.

So many callers ask one question after another. When all of them wait for the primary at once, it ends, and in the same
moment others begin to ask, who find it dead. Measured is how long the calls take that begin then, and those in flight.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bench.gateway.helpers import Helper, started
from bench.gateway.house import House, Said

End: TypeAlias = Literal["refuses", "hangs"]

DRIP_SECONDS = 0.1  # an answer of the primary takes 1.5 s, so that all callers are in flight at once
NEWCOMERS = 10
PAUSE_SECONDS = 0.1  # between two calls of a caller
IN_FLIGHT_WITHIN_SECONDS = 30.0


@dataclass(frozen=True)
class Death:
    """What came of it. in_flight, following: the calls that had begun, and that began after; at: when it ended."""

    at: float
    in_flight: list[Said]
    following: list[Said]

    @property
    def longest_in_flight_seconds(self) -> float:
        return max(one.ended - self.at for one in self.in_flight)

    @property
    def longest_following_seconds(self) -> float:
        return max(one.ended - one.began for one in self.following)

    @property
    def bad(self) -> list[Said]:
        """Calls without the right answer, and those that the dead one is said to have answered afterwards."""
        ghosts = [one for one in self.following if one.model != "second"]
        return [one for one in (*self.in_flight, *self.following) if not one.right] + ghosts


def run(end: End, *, callers: int, seconds: float, first_token_seconds: float) -> Death:
    """seconds: how long callers go on asking after the end."""
    with ExitStack() as stack:
        first, second = (stack.enter_context(started("bench.gateway.proxy")) for _ in range(2))
        house = House(first.hello, second.hello, {"first_token_seconds": first_token_seconds})
        over = threading.Event()

        def caller(number: int) -> list[Said]:
            said = []
            while not over.is_set():
                said.append(house.ask(f"question {len(said)} of caller {number}"))
                over.wait(PAUSE_SECONDS)
            return said

        with ThreadPoolExecutor(callers + NEWCOMERS) as pool:
            try:
                list(pool.map(house.ask, [f"warm up {number}" for number in range(callers)]))
                asking = [pool.submit(caller, number) for number in range(callers)]
                _all_in_flight(first, callers)
                first.die() if end == "refuses" else first.freeze()
                at = time.monotonic()
                asking += [pool.submit(caller, callers + number) for number in range(NEWCOMERS)]
                over.wait(seconds)
            finally:
                over.set()
            said = [one for of in asking for one in of.result()]
    return Death(
        at,
        [one for one in said if one.began < at < one.ended],
        [one for one in said if one.began >= at],
    )


def _all_in_flight(first: Helper, callers: int) -> None:
    """Return while every caller waits for an answer of the primary. TimeoutError where that does not come about."""
    first.ask(drip_seconds=DRIP_SECONDS)
    asked = first.ask()["requests"]
    until = time.monotonic() + IN_FLIGHT_WITHIN_SECONDS
    while time.monotonic() < until:
        told = first.ask()
        # Every request that came is served or in flight: the difference is what is being answered now.
        if told["requests"] > asked and told["requests"] - len(told["served"]) >= callers:
            return
        time.sleep(0.02)
    raise TimeoutError(f"{callers} calls were never in flight at once")
