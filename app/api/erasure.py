"""Requests to forget a user or a session: asked for here, done by a durable run, with a receipt that stays."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, url_for

from app import auth
from app.api import blueprint
from app.api.acting import acting
from app.operation import answer_json, operation
from app.schemas.audit import Erasure, ErasurePage, NewErasure
from app.schemas.common import PageQuery
from chains import erasure
from chains.advance import deliver_later
from errors import NotFound
from identity import users
from policy.audit import fingerprint
from storage.reads import erasures

api = blueprint("erasure", __name__)


@operation(
    api,
    "POST",
    "/erasure",
    "Forget a user or a session",
    needs="erasure:manage",
    body=NewErasure,
    answers={202: Erasure},
    problems=(409, 413, 415),
)
def request_erasure(body: NewErasure) -> Response:
    """The subject's runs are cancelled and deleted, then its sessions, turns and cached answers; the receipt stays.

    A user who may log in here is disabled at once, and the row is emptied; 409 for the last owner.
    """
    user_id, session_id = body.subject.user_id, body.subject.session_id
    if user_id is not None:
        _disable(user_id)
    subject_hash = fingerprint(f"user:{user_id}" if user_id is not None else f"session:{session_id}")
    erasure_id, outcome = erasure.request(
        auth.tenant_id(),
        user_id=user_id,
        session_id=session_id,
        subject_hash=subject_hash,
        entry=auth.audit("erasure.request", "erasure", after={"subject": subject_hash}),
    )
    deliver_later(outcome)
    made = erasures.get(auth.tenant_id(), erasure_id)
    return answer_json(made, 202, {"Location": url_for("erasure.get", erasure_id=erasure_id)})


@operation(
    api,
    "GET",
    "/erasure",
    "List erasures, newest first",
    needs="erasure:manage",
    query=PageQuery,
    answers={200: ErasurePage},
)
def page(query: PageQuery) -> dict[str, Any]:
    """All that were asked for; whom they were about is told by a keyed hash alone."""
    items, cursor = erasures.page(auth.tenant_id(), limit=query.limit, cursor=query.cursor)
    return {"items": items, "next_cursor": cursor}


@operation(
    api, "GET", "/erasure/<uuid:erasure_id>", "Look at an erasure", needs="erasure:manage", answers={200: Erasure}
)
def get(erasure_id: UUID) -> dict[str, Any]:
    """While it runs, and its receipt afterwards."""
    return erasures.get(auth.tenant_id(), erasure_id)


def _disable(user_id: str) -> None:
    """Close the door to the user, if it is one of ours. Raises Forbidden, LastOwner."""
    try:
        users.change(acting(), UUID(user_id), {"status": "disabled"})
    except (ValueError, NotFound):
        return  # the client's own name for somebody
