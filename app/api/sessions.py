"""Sessions and the checkpoints of all their runs."""

from __future__ import annotations

from typing import Any

from flask import Response, url_for

from app import auth
from app.api import blueprint, checkpoints
from app.operation import answer_json, operation
from app.schemas.common import PageQuery
from app.schemas.sessions import (
    NewSession,
    Session,
    SessionCheckpointPage,
    SessionCheckpointState,
    SessionDetail,
    SessionPage,
)
from app.state import folded
from errors import NotFound
from policy import limiter, tenant_limits
from storage import sessions
from storage.reads import checkpoints as reads
from storage.reads import quotas
from storage.reads.cursors import decode, encode

api = blueprint("sessions", __name__)


@operation(
    api,
    "POST",
    "/sessions",
    "Make a session",
    needs="sessions:write",
    body=NewSession,
    answers={201: Session},
    problems=(415,),
)
def create(body: NewSession) -> Response:
    """An id that exists already answers with the session that has it."""
    tenant_id, limit = auth.tenant_id(), tenant_limits.of(auth.tenant_id()).max_sessions
    made = sessions.create(tenant_id, body.model_extra or {}, body.user_id, body.session_id, limit=limit)
    if limit is not None:
        limiter.note_sessions(tenant_id, quotas.sessions(tenant_id))
    return answer_json(made, 201, {"Location": url_for("sessions.get", session_id=made["session_id"])})


@operation(
    api,
    "GET",
    "/sessions",
    "List sessions, newest first",
    needs="sessions:read",
    query=PageQuery,
    answers={200: SessionPage},
)
def page(query: PageQuery) -> dict[str, Any]:
    """All sessions of the tenant."""
    return sessions.list_page(auth.tenant_id(), query.limit, query.cursor)


@operation(
    api, "GET", "/sessions/<session_id>", "Look at a session", needs="sessions:read", answers={200: SessionDetail}
)
def get(session_id: str) -> dict[str, Any]:
    """With its last 50 turns."""
    return sessions.get(auth.tenant_id(), _storable(session_id))


@operation(
    api,
    "GET",
    "/sessions/<session_id>/checkpoints",
    "List a session's checkpoints",
    needs="sessions:read",
    query=PageQuery,
    answers={200: SessionCheckpointPage},
)
def history(session_id: str, query: PageQuery) -> dict[str, Any]:
    """Oldest first; `version` counts through all runs of the session in the order of their commits."""
    _exists(session_id)
    place = decode(query.cursor, int)
    after = place[0] if place else 0
    rows = reads.of_session(auth.tenant_id(), session_id, after=after, limit=query.limit + 1)
    kept, more = rows[: query.limit], len(rows) > query.limit
    shown = {(row.run_id, row.version): row for row in kept}
    items = {}
    for run_id in dict.fromkeys(row.run_id for row in kept):
        wanted = {version for run, version in shown if run == run_id}
        steps, trace_id = reads.of_run(auth.tenant_id(), run_id, max(wanted))
        for checkpoint, _ in folded(steps, trace_id, wanted):
            number = shown[run_id, checkpoint["version"]].number
            items[number] = {**checkpoint, "version": number, "run_id": run_id}
    ordered = [items[number] for number in sorted(items)]
    return {"items": ordered, "next_cursor": encode(kept[-1].number) if more else None}


@operation(
    api,
    "GET",
    "/sessions/<session_id>/checkpoints/latest",
    "Look at a session's newest checkpoint",
    needs="sessions:read",
    answers={200: SessionCheckpointState},
)
def latest(session_id: str) -> dict[str, Any]:
    """With the state of its run at that point."""
    _exists(session_id)
    return _at(session_id, reads.newest_of_session(auth.tenant_id(), session_id))


@operation(
    api,
    "GET",
    "/sessions/<session_id>/checkpoints/<int:version>",
    "Look at a checkpoint of a session",
    needs="sessions:read",
    answers={200: SessionCheckpointState},
)
def version(session_id: str, version: int) -> dict[str, Any]:
    """With the state of its run at that point."""
    _exists(session_id)
    return _at(session_id, version)


def _at(session_id: str, number: int) -> dict[str, Any]:
    place = reads.of_session(auth.tenant_id(), session_id, after=min(number, 2**31) - 1, limit=1)
    if number < 1 or not place or place[0].number != number:
        raise NotFound("This session has no checkpoint of this version.")
    found = checkpoints.at(place[0].run_id, place[0].version)
    return {**found, "version": number, "run_id": place[0].run_id}


def _exists(session_id: str) -> None:
    """Raises NotFound where neither a session nor a run of this tenant has this id."""
    if not reads.knows_session(auth.tenant_id(), _storable(session_id)):
        raise NotFound("There is no session of this id.")


def _storable(session_id: str) -> str:
    if "\x00" in session_id:
        raise NotFound("There is no session of this id.")
    return session_id
