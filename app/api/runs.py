"""Runs: start one, list them, look at one, wait for its end."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response

from app import auth, show
from app.accept import accept, accepted, shown
from app.api import blueprint
from app.operation import operation
from app.schemas.runs import Run, RunPage, RunQuery, RunsQuery, StartRun
from app.streams import wait_for_end
from storage.reads import runs

api = blueprint("runs", __name__)


@operation(
    api,
    "POST",
    "/runs",
    "Start a run",
    needs="runs:start",
    body=StartRun,
    answers={202: Run},
    problems=(409, 413, 415, 429),
    headers=("Idempotency-Key",),
)
def start(body: StartRun) -> Response:
    """Accepted means recorded: the run is in the database before the answer, and whatever dies, it is finished.

    The same `Idempotency-Key` with the same body answers with the same run and `Idempotent-Replayed: true`. Where the
    session's run waits with a question, the input's `query` is its answer: the 202 shows that run, and the header
    `Baton-Answered` names its step. `"on_busy": "interrupt"` starts a new run instead.
    """
    submitted = accept(
        body.chain,
        body.input,
        body_key=body.idempotency_key,
        session_id=body.session_id,
        deadline_seconds=body.deadline_seconds,
        on_busy=body.on_busy,
        user_id=body.user_id,
        priority=body.priority,
    )
    return accepted(submitted)


@operation(api, "GET", "/runs", "List runs, newest first", needs="runs:read", query=RunsQuery, answers={200: RunPage})
def page(query: RunsQuery) -> dict[str, Any]:
    """A page may hold fewer runs than `limit` where they are large; there is more as long as `next_cursor` is set."""
    found, cursor = runs.page(
        auth.tenant_id(),
        status=query.status,
        chain=query.chain,
        session_id=query.session_id,
        limit=query.limit,
        cursor=query.cursor,
    )
    return {"items": [show.run(one) for one in found], "next_cursor": cursor}


@operation(api, "GET", "/runs/<uuid:run_id>", "Look at a run", needs="runs:read", query=RunQuery, answers={200: Run})
def get(run_id: UUID, query: RunQuery) -> Response:
    """With `?wait=SECONDS` the answer comes as soon as the run ends, or after that time."""
    if query.wait:
        wait_for_end(auth.tenant_id(), run_id, query.wait)
    return shown(run_id)
