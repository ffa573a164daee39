"""One way to put chains in and to learn when they are done, for each contestant.

A crowd: so many chains are accepted while the workers are frozen; the clock runs from their release to the end of the
last chain, by the time that each end was written. Alone: one chain at a time, from its send to the message that its
result is there, which both contestants publish in the same way.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol

import psycopg2
import redis

from bench.crew import Crew, wait_until

TENANT = uuid.UUID(int=1)
END_PATIENCE_SECONDS = 600.0


class Contestant(Protocol):
    """Somebody who runs chains of nodes."""

    crew: Crew

    def put(self, nodes: int, options: dict[str, Any]) -> str:
        """Accept and send one chain; its id."""

    def prepare(self, nodes: int, options: dict[str, Any]) -> tuple[str, Callable[[], object]]:
        """Accept one chain; its id and the call that sends it."""

    def ended(self, chains: list[str]) -> float | None:
        """When the last of these chains ended (Unix time), or None while one is under way."""

    def results(self) -> redis.Redis:
        """The Redis that tells of results."""


class Bare:
    """Celery's own chains."""

    def __init__(self, crew: Crew, redis_url: str) -> None:
        from celery import chain

        from bench.bare import app, work

        self.crew, self._app, self._chain, self._work = crew, app, chain, work
        self._kept = redis.Redis.from_url(redis_url.removesuffix("/0") + "/1")

    def put(self, nodes: int, options: dict[str, Any]) -> str:
        chain, send = self.prepare(nodes, options)
        send()
        return chain

    def prepare(self, nodes: int, options: dict[str, Any]) -> tuple[str, Callable[[], object]]:
        last = str(uuid.uuid4())
        links = [self._work.si() for _ in range(nodes - 1)]
        whole = self._chain(*links, self._work.si().set(task_id=last), app=self._app)
        return last, whole.apply_async

    def ended(self, chains: list[str]) -> float | None:
        if self._kept.exists(f"celery-task-meta-{chains[-1]}") == 0:
            return None
        found = self._kept.mget([f"celery-task-meta-{chain}" for chain in chains])
        if not all(found):
            return None
        ends = [datetime.fromisoformat(json.loads(one or "")["date_done"]).timestamp() for one in found]
        self._kept.flushdb()
        return max(ends)

    def results(self) -> redis.Redis:
        return self._kept


class Baton:
    """Our own, put in by the call that the web process makes."""

    def __init__(self, crew: Crew, redis_url: str, keeper_url: str) -> None:
        self.crew = crew
        self._kept = redis.Redis.from_url(redis_url)
        self._database = psycopg2.connect(keeper_url)
        self._database.autocommit = True

    def put(self, nodes: int, options: dict[str, Any]) -> str:
        chain, send = self.prepare(nodes, options)
        send()
        return chain

    def prepare(self, nodes: int, options: dict[str, Any]) -> tuple[str, Callable[[], object]]:
        from chains.advance import deliver
        from chains.submit import SubmitRequest, submit

        accepted = submit(TENANT, SubmitRequest("probe", {"steps": nodes, **options}))
        outcome = accepted.outcome
        assert outcome is not None
        return str(accepted.run_id), lambda: deliver(outcome)

    def ended(self, chains: list[str]) -> float | None:
        with self._database.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FILTER (WHERE status = 'completed'), extract(epoch FROM max(finished_at))::float8"
                " FROM runs WHERE id = ANY (%s::uuid[])",
                (chains,),
            )
            row = cursor.fetchone()
        assert row is not None
        return float(row[1]) if row[0] == len(chains) else None

    def results(self) -> redis.Redis:
        return self._kept


@contextmanager
def turn(contestant: Contestant) -> Iterator[None]:
    """The contestant's workers run, warmed up by a few chains, and are frozen again afterwards."""
    contestant.crew.resume()
    try:
        _to_the_end(contestant, [contestant.put(8, {}) for _ in range(16)])
        yield
    finally:
        contestant.crew.pause()
        contestant.crew.check()


def crowd(contestant: Contestant, chains: int, nodes: int) -> tuple[float, float]:
    """(nodes a second, CPU ms a node) of so many chains at once."""
    with turn(contestant):
        contestant.crew.pause()
        put = [contestant.put(nodes, {}) for _ in range(chains)]
        before = contestant.crew.cpu_seconds()
        began = time.time()
        contestant.crew.resume()
        seconds = _to_the_end(contestant, put) - began
        cpu = contestant.crew.cpu_seconds() - before
    return chains * nodes / seconds, cpu / (chains * nodes) * 1000


def alone(contestant: Contestant, chains: int, nodes: int, options: dict[str, Any]) -> list[float]:
    """`one`, so many times, one after another."""
    with turn(contestant):
        return [one(contestant, nodes, options) for _ in range(chains)]


def one(contestant: Contestant, nodes: int, options: dict[str, Any]) -> float:
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


def _to_the_end(contestant: Contestant, chains: list[str]) -> float:
    end: list[float] = []

    def done() -> bool:
        found = contestant.ended(chains)
        end.extend([found] if found is not None else [])
        return found is not None

    wait_until(done, f"{len(chains)} chains of {contestant.crew.name}", END_PATIENCE_SECONDS)
    return end[0]
