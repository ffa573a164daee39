"""A tenant's runs, driven through the engine's own functions while a real worker process executes them."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

import settings as settings_module
from agents import registry
from chains import catalog, send
from chains.submit import SubmitRequest, Submitted, deliver_accepted, submit
from chaos.effect_server import EffectServer
from settings import Settings
from storage import broker
from tests.conftest import Servers
from tests.engine.workers import WorkerProcess, Workers

Json = Any
CHAINS = "tests.engine.chains"
ALIVE_SECONDS = 2
GRACE_SECONDS = 3


@pytest.fixture(scope="package")
def effect_server() -> Iterator[EffectServer]:
    """The other side of every effect."""
    server = EffectServer()
    yield server
    server.close()


@pytest.fixture(scope="package")
def engine_env(servers: Servers, settings_env: Settings, effect_server: EffectServer) -> Iterator[None]:
    """Settings with the tests' own chains, a short lease and a short grace, for this process and the workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATON_CHAINS", CHAINS)
        patch.setenv("BATON_WORKER_ALIVE_SECONDS", str(ALIVE_SECONDS))
        patch.setenv("BATON_STOP_GRACE_SECONDS", str(GRACE_SECONDS))
        patch.setenv("PROBE_EFFECT_URL", effect_server.url)
        _forget()
        yield
    _forget()


def _forget() -> None:
    settings_module.reload()
    catalog.clear()
    registry.nodes.cache_clear()
    sys.modules.pop("celeryconfig", None)
    send.producer.cache_clear()
    broker.client.cache_clear()


@pytest.fixture(scope="package")
def workers(engine_env: None, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Worker processes; all of them end with the package."""
    made = Workers(os.environ, servers.keeper_url, tmp_path_factory.mktemp("workers"))
    yield made
    made.close()


@pytest.fixture
def worker(workers: Workers) -> WorkerProcess:
    """One plain worker, and no other."""
    return workers.shared()


@dataclass(frozen=True)
class Runs:
    """Submits runs of one tenant, waits for what happens to them, and reads what stands there."""

    tenant: UUID
    db: Connection

    def submit(self, input: Json = None, chain: str = "probe", **request: Any) -> UUID:
        """A run's id; its first segments are sent."""
        return self.ask(input, chain, **request).run_id

    def ask(self, input: Json = None, chain: str = "probe", **request: Any) -> Submitted:
        accepted = submit(self.tenant, SubmitRequest(chain, input or {}, **request))
        deliver_accepted(accepted)
        return accepted

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.db.cursor() as cursor:
            cursor.execute(sql, [str(one) if isinstance(one, UUID) else one for one in values])
            return cursor.fetchall()

    def status(self, run_id: UUID) -> str:
        return str(self.rows("SELECT status FROM runs WHERE id = %s", run_id)[0][0])

    def column(self, run_id: UUID, name: str) -> Json:
        return self.rows(f"SELECT {name} FROM runs WHERE id = %s", run_id)[0][0]

    def wait(self, run_id: UUID, *status: str, seconds: float = 15.0) -> str:
        """Wait until the run has one of these statuses (by default: completed)."""
        wanted = status or ("completed",)
        self.until(lambda: self.status(run_id) in wanted, seconds, lambda: f"no {wanted}: {self.describe(run_id)}")
        return self.status(run_id)

    def wait_event(
        self, run_id: UUID, type: str, step: str | None = None, *, seconds: float = 15.0, count: int = 1
    ) -> None:
        def there() -> bool:
            found = [one for one in self.events(run_id) if one["type"] == type and step in (None, one["step"])]
            return len(found) >= count

        self.until(there, seconds, lambda: f"no event {type} of {step}: {self.describe(run_id)}")

    def until(self, condition: Callable[[], bool], seconds: float, told: Callable[[], str] | str = "") -> None:
        """Look every 20 ms until the condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(told() if callable(told) else told or "it did not come to pass")
            time.sleep(0.02)

    def events(self, run_id: UUID) -> list[dict[str, Json]]:
        rows = self.rows("SELECT seq, type, step, node, data, at FROM events WHERE run_id = %s ORDER BY seq", run_id)
        return [dict(zip(("seq", "type", "step", "node", "data", "at"), row, strict=True)) for row in rows]

    def types(self, run_id: UUID, step: str | None = None) -> list[str]:
        return [one["type"] for one in self.events(run_id) if step in (None, one["step"])]

    def steps(self, run_id: UUID) -> dict[str, dict[str, Json]]:
        names = (
            "key",
            "status",
            "attempt",
            "failures",
            "losses",
            "version",
            "output",
            "output_ref",
            "error",
            "pause",
            "answer",
        )
        rows = self.rows(f"SELECT {', '.join(names)} FROM steps WHERE run_id = %s", run_id)
        return {row[0]: dict(zip(names, row, strict=True)) for row in rows}

    def effects(self, run_id: UUID) -> list[dict[str, Json]]:
        names = ("key", "step", "attempt", "name", "kind", "status", "result")
        rows = self.rows(f"SELECT {', '.join(names)} FROM effects WHERE run_id = %s ORDER BY step, name", run_id)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def describe(self, run_id: UUID) -> str:
        run = self.rows("SELECT status, stop, error, pause FROM runs WHERE id = %s", run_id)
        segments = self.rows(
            "SELECT no, keys, pos, attempt, open, queue, sends, token, worker FROM segments WHERE run_id = %s", run_id
        )
        told = [
            f"{one['seq']} {one['type']} {one['step']} {json.dumps(one['data'])[:200]}" for one in self.events(run_id)
        ]
        return "\n".join([str(run), *map(str, segments), *told])

    def check(self, run_id: UUID) -> None:
        """What holds for every run: gapless events, one result a step, nothing left open once it is final."""
        seqs = [one["seq"] for one in self.events(run_id)]
        assert seqs == list(range(1, len(seqs) + 1)), self.describe(run_id)
        assert self.column(run_id, "seq") == len(seqs)
        succeeded = [one["step"] for one in self.events(run_id) if one["type"] == "step_succeeded"]
        assert len(succeeded) == len(set(succeeded)), self.describe(run_id)
        versions = sorted(one["version"] for one in self.steps(run_id).values() if one["status"] == "succeeded")
        assert versions == list(range(1, len(versions) + 1)), self.describe(run_id)
        if self.status(run_id) in ("completed", "failed", "cancelled"):
            assert not self.rows("SELECT no FROM segments WHERE run_id = %s AND open", run_id), self.describe(run_id)


@pytest.fixture
def runs(engine_env: None, tenant: UUID, servers: Servers) -> Iterator[Runs]:
    """The runs of this test's tenant."""
    db = psycopg2.connect(servers.keeper_url)
    db.autocommit = True
    yield Runs(tenant, db)
    db.close()


@pytest.fixture
def flag(tmp_path: Path) -> Path:
    """A file that tells that something has happened once."""
    return tmp_path / "flag"
