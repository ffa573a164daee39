"""So many chains in flight all the time, and the moment at which each run ended: what answers are measured under."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from time import perf_counter
from typing import Any

import redis

from bench.contestants import Baton, to_the_end

PREFIX = "celery-task-meta-"

Input = dict[str, Any]


class Ends:
    """When the message came that a run's result is there (`perf_counter`); `news` has the runs in that order."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self.news: SimpleQueue[str | None] = SimpleQueue()

    def tell(self, message: dict[str, Any]) -> None:
        """Take a message of Redis."""
        run = message["channel"].decode().removeprefix(PREFIX)
        self.at[run] = perf_counter()
        self.news.put(run)


@contextmanager
def load(baton: Baton, inputs: Sequence[Input]) -> Iterator[Ends]:
    """Keep one chain of each input in flight: whoever ends is followed by the next. Afterwards all of them end.

    The first ones are shorter, from few nodes to all, so that they do not end together for ever.
    """
    flying: dict[str, Input] = {}

    def send(asked: Input, nodes: int) -> None:
        run, go = baton.prepare(nodes, {name: value for name, value in asked.items() if name != "steps"})
        flying[run] = asked
        go()

    def feed() -> None:
        while (run := ends.news.get()) is not None:
            if asked := flying.pop(run, None):
                send(asked, asked["steps"])

    with _ends(baton.results()) as ends, ThreadPoolExecutor(1) as pool:
        feeding = pool.submit(feed)
        try:
            for number, asked in enumerate(inputs, 1):
                send(asked, max(1, asked["steps"] * number // len(inputs)))
            yield ends
        finally:
            ends.news.put(None)
        feeding.result()
        to_the_end(baton, list(flying))


@contextmanager
def _ends(results: redis.Redis) -> Iterator[Ends]:
    ends = Ends()
    messages = results.pubsub(ignore_subscribe_messages=True)
    messages.psubscribe(**{f"{PREFIX}*": ends.tell})
    listener = messages.run_in_thread(sleep_time=0.1, daemon=True)
    try:
        yield ends
    finally:
        listener.stop()
        listener.join()
