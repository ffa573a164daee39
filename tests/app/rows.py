"""What the tests of the front end share: a client with a key, and rows that stand for what workers would have done."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import Flask

from storage import postgres
from storage.tables import Event, Run

START = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
MakeRun = Callable[..., UUID]


class Client:
    """A client whose every call carries the tenant's key."""

    def __init__(self, app: Flask, key: str) -> None:
        self._client = app.test_client()
        self._key = {"Authorization": f"Bearer {key}"}

    def get(self, path: str, **headers: str) -> Any:
        return self._client.get(path, headers=self._key | {k.replace("_", "-"): v for k, v in headers.items()})

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        named = self._key | {k.replace("_", "-"): v for k, v in headers.items()}
        if body is None:
            return self._client.post(path, headers=named)
        return self._client.post(path, data=json.dumps(body), content_type="application/json", headers=named)

    def raw(self, method: str, path: str, **options: Any) -> Any:
        options["headers"] = self._key | options.get("headers", {})
        return self._client.open(path, method=method, **options)


def event_row(run_id: UUID, tenant: UUID, seq: int, type: str = "step_succeeded", **data: Any) -> Event:
    """The row of one event."""
    return Event(
        run_id=run_id, seq=seq, tenant_id=tenant, type=type, step=str(seq), node="probe.work", data=data, at=START
    )


def add_events(
    run_id: UUID, tenant: UUID, types: list[str], status: str | None = None, **data: Any
) -> list[dict[str, Any]]:
    """Write further events of a run, with its new status; returns them as live hints carry them."""
    with postgres.session(tenant) as db:
        run = db.get_one(Run, run_id)
        told = []
        for type in types:
            run.seq += 1
            db.add(event_row(run_id, tenant, run.seq, type, **data))
            told.append(
                {
                    "run_id": str(run_id),
                    "seq": run.seq,
                    "type": type,
                    "at": START.isoformat().replace("+00:00", "Z"),
                    "step": str(run.seq),
                    "node": "probe.work",
                    "data": data,
                }
            )
        if status is not None:
            run.status = status
    return told
