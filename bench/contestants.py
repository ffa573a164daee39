"""The contestants: how each takes chains, and how it tells that they are done.

Baton and bare Celery are given their chains by this process, in the call that a web process makes; the peers start them
inside their own processes, as they are used.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Protocol

import psycopg2
import redis

from bench.commands import PEER_NODES
from bench.crew import Crew, wait_until

TENANT = uuid.UUID(int=1)
SUBMITTING_THREADS = 2  # with more, both contestants' submissions take more CPU time and no less time
END_PATIENCE_SECONDS = 600.0


class Contestant(Protocol):
    """Somebody who runs chains of nodes."""

    crew: Crew

    def take(self, chains: int, nodes: int) -> tuple[float, float]:
        """Run so many chains at once: Unix times of the first submission and of the last chain's end."""


class OnCelery(Contestant, Protocol):
    """Somebody whose workers are Celery's."""

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

    def take(self, chains: int, nodes: int) -> tuple[float, float]:
        return _take(self, chains, nodes)

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
    """Our own, put in by the calls that the web process makes."""

    def __init__(self, crew: Crew, redis_url: str, keeper_url: str) -> None:
        self.crew = crew
        self._kept = redis.Redis.from_url(redis_url)
        self._database = psycopg2.connect(keeper_url)
        self._database.autocommit = True
        self.ask("INSERT INTO tenants (id, name) VALUES (%s, 'bench') RETURNING id", str(TENANT))

    def take(self, chains: int, nodes: int) -> tuple[float, float]:
        return _take(self, chains, nodes)

    def prepare(self, nodes: int, options: dict[str, Any]) -> tuple[str, Callable[[], object]]:
        from chains.advance import deliver
        from chains.submit import SubmitRequest, submit

        accepted = submit(TENANT, SubmitRequest("probe", {"steps": nodes, **options}))
        outcome = accepted.outcome
        assert outcome is not None
        return str(accepted.run_id), lambda: deliver(outcome)

    def send_task_events(self, sent: bool) -> None:
        """Tell the running workers to send task events, or to stop it, by Celery's own command."""
        from chains.send import producer

        told = producer().control.broadcast(
            "enable_events" if sent else "disable_events", reply=True, limit=len(self.crew.workers), timeout=10
        )
        assert len(told) == len(self.crew.workers), told

    def ended(self, chains: list[str]) -> float | None:
        ((done, last),) = self.ask(
            "SELECT count(*) FILTER (WHERE status = 'completed'), extract(epoch FROM max(finished_at))::float8"
            " FROM runs WHERE id = ANY (%s::uuid[])",
            chains,
        )
        return float(last) if done == len(chains) else None

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a statement, as the keeper."""
        with self._database.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall()

    def results(self) -> redis.Redis:
        return self._kept


class Peer:
    """A workflow engine in processes of its own; each of them takes its share of the chains."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew

    def take(self, chains: int, nodes: int) -> tuple[float, float]:
        assert nodes == PEER_NODES
        among = len(self.crew.workers)
        shares = [{"chains": (chains + number) // among} for number in range(among)]
        times = self.crew.ask(shares)
        return min(each["began"] for each in times), max(each["ended"] for each in times)


def put(contestant: OnCelery, nodes: int, options: dict[str, Any]) -> str:
    """Accept and send one chain; its id."""
    chain, send = contestant.prepare(nodes, options)
    send()
    return chain


def put_all(contestant: OnCelery, chains: int, nodes: int) -> list[str]:
    """Accept and send so many chains, in a few threads; their ids."""
    with ThreadPoolExecutor(SUBMITTING_THREADS) as pool:
        return list(pool.map(lambda _: put(contestant, nodes, {}), range(chains)))


def to_the_end(contestant: OnCelery, chains: list[str]) -> float:
    """Wait until these chains have ended; when the last one did (Unix time)."""
    end: list[float] = []

    def done() -> bool:
        found = contestant.ended(chains)
        end.extend([found] if found is not None else [])
        return found is not None

    wait_until(done, f"{len(chains)} chains of {contestant.crew.name}", END_PATIENCE_SECONDS)
    return end[0]


def _take(contestant: OnCelery, chains: int, nodes: int) -> tuple[float, float]:
    began = time.time()
    return began, to_the_end(contestant, put_all(contestant, chains, nodes))
