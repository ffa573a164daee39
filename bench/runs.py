"""One way to run chains and to take the time, for each contestant, in its turn.

A crowd: so many chains at once, from the first submission to the last chain's end. Released: they are accepted while
the workers are frozen, and the time begins with their release. Alone: one chain at a time, from its send to the message
that its result is there, which bare Celery and Baton publish in the same way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench.contestants import END_PATIENCE_SECONDS, Contestant, OnCelery, put_all, to_the_end

WARM_UP_CHAINS = 16


@contextmanager
def turn(contestant: Contestant) -> Iterator[None]:
    """The contestant's workers run, warmed up by a few chains, and are frozen again afterwards."""
    contestant.crew.resume()
    try:
        contestant.take(WARM_UP_CHAINS, 8)
        yield
    finally:
        contestant.crew.pause()
        contestant.crew.check()


def crowd(contestant: Contestant, chains: int, nodes: int) -> tuple[float, float]:
    """(nodes a second, CPU ms a node) of so many chains at once, their submission included."""
    with turn(contestant):
        before = contestant.crew.cpu_seconds()
        began, ended = contestant.take(chains, nodes)
        cpu = contestant.crew.cpu_seconds() - before
    return chains * nodes / (ended - began), cpu / (chains * nodes) * 1000


def released(contestant: OnCelery, chains: int, nodes: int, accepted: Callable[[], object] = lambda: None) -> float:
    """Nodes a second of so many chains from their release on. accepted: called when all are accepted, before that."""
    contestant.crew.pause()
    put = put_all(contestant, chains, nodes)
    accepted()
    began = time.time()
    contestant.crew.resume()
    return chains * nodes / (to_the_end(contestant, put) - began)


def alone(contestant: OnCelery, chains: int, nodes: int, options: dict[str, Any]) -> list[float]:
    """`one`, so many times, one after another."""
    with turn(contestant):
        return [one(contestant, nodes, options) for _ in range(chains)]


def one(contestant: OnCelery, nodes: int, options: dict[str, Any]) -> float:
    """Milliseconds a node of one chain, from its send to the message that its result is there."""
    chain, send = contestant.prepare(nodes, options)
    listener = contestant.results().pubsub(ignore_subscribe_messages=False)
    listener.subscribe(f"celery-task-meta-{chain}")
    listener.get_message(timeout=5)
    began = time.perf_counter()
    send()
    until = began + END_PATIENCE_SECONDS
    while listener.get_message(timeout=1.0) is None:
        if time.perf_counter() > until:
            raise TimeoutError(f"chain {chain} did not end")
    seconds = time.perf_counter() - began
    listener.close()
    return seconds * 1000 / nodes
