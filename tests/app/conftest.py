"""A client of the front end for a fresh tenant, and rows that stand for what workers would have done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from psycopg2.extensions import connection as Connection

import telemetry
from app import create_app
from chains import catalog
from storage import postgres, remembered
from storage.tables import Run, Segment, Step, uuid7
from tests.app.people import Person, person
from tests.app.rows import START, Client, MakeRun, event_row
from tests.app.server import web_process


@pytest.fixture(scope="session")
def flask_app(settings_env: Any) -> Flask:
    """The application, made once."""
    telemetry.setup("tests", level="WARNING")
    return create_app()


@pytest.fixture
def anonymous(flask_app: Flask) -> FlaskClient:
    """A client without a key."""
    return flask_app.test_client()


@pytest.fixture
def client(flask_app: Flask, api_key: str) -> Client:
    """A client of `tenant`."""
    return Client(flask_app, api_key)


@pytest.fixture
def make_run(tenant: UUID) -> MakeRun:
    """Write a run as workers would have left it: `steps` maps keys to outputs, `open_steps` are still in a segment."""

    def make(
        status: str = "completed",
        steps: dict[str, Any] | None = None,
        open_steps: tuple[str, ...] = (),
        owner: UUID | None = None,
        events: int | None = None,
        **fields: Any,
    ) -> UUID:
        run_id, who = uuid7(), owner or tenant
        steps = steps or {}
        given = {"steps": len(steps) + len(open_steps) or 1}
        final = status in ("completed", "failed", "cancelled")
        values: dict[str, Any] = {
            "chain": "probe",
            "chain_version": "1",
            "trace_id": "a" * 32,
            "input": given,
            "facts": catalog.latest("probe").accept(given).facts,
            "created_at": START,
            "started_at": START,
            "finished_at": START + timedelta(seconds=9) if final else None,
        }
        count = events if events is not None else len(steps)
        with postgres.session(who) as db:
            db.add(Run(id=run_id, tenant_id=who, status=status, seq=count, done=len(steps), **(values | fields)))
            for place, (key, output) in enumerate(steps.items(), 1):
                began = START + timedelta(seconds=place)
                db.add(
                    Step(
                        run_id=run_id,
                        key=key,
                        tenant_id=who,
                        node="probe.work",
                        segment=1,
                        status="succeeded",
                        version=place,
                        output=output,
                        facts={},
                        started_at=began,
                        finished_at=began + timedelta(milliseconds=250),
                    )
                )
            for seq in range(1, count + 1):
                db.add(event_row(run_id, who, seq))
            if open_steps:
                nodes = ["probe.work"] * len(open_steps)
                db.add(Segment(run_id=run_id, no=9, tenant_id=who, keys=list(open_steps), nodes=nodes, queue="agents"))
        return run_id

    return make


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Look again and again until something is so, for 15 s at most."""

    def wait(so: Callable[[], bool]) -> None:
        end = time.monotonic() + 15
        while not so():
            assert time.monotonic() < end
            time.sleep(0.05)

    return wait


@pytest.fixture(scope="session")
def address(settings_env: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a real web process listens."""
    with web_process(tmp_path_factory.mktemp("web") / "log") as address:
        yield address


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the time pass that keys and logins are remembered for."""
    passed = [0.0]
    real = time.monotonic
    monkeypatch.setattr(remembered, "monotonic", lambda: real() + passed[0])

    def wait() -> None:
        passed[0] += remembered.SECONDS + 0.1

    return wait


@pytest.fixture
def ada(flask_app: Flask, tenant: UUID) -> Person:
    """A user of the tenant, an owner."""
    return person(flask_app, tenant, "owner")


@pytest.fixture
def tenant_name(tenant: UUID, owner_db: Connection) -> str:
    """The name that logins know the tenant by."""
    with owner_db.cursor() as cursor:
        cursor.execute("SELECT name FROM tenants WHERE id = %s", (tenant,))
        (name,) = cursor.fetchone() or ("",)
        return str(name)
