"""Dead letters: what was given up, and its replay."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response

from app import auth
from app.accept import location, shown
from app.api import blueprint
from app.operation import operation
from app.schemas.common import PageQuery
from app.schemas.runs import DeadLetterPage, Nothing, Run
from chains import resume
from storage.reads import dead_letters

api = blueprint("dead_letters", __name__)


@operation(
    api, "GET", "/dead-letters", "List dead letters", needs="runs:read", query=PageQuery, answers={200: DeadLetterPage}
)
def page(query: PageQuery) -> dict[str, Any]:
    """Failed runs, newest first, with the step given up; `code` is `poison_step` where it killed its workers."""
    items, cursor = dead_letters.page(auth.tenant_id(), limit=query.limit, cursor=query.cursor)
    return {"items": items, "next_cursor": cursor}


@operation(
    api,
    "POST",
    "/dead-letters/<uuid:run_id>/replay",
    "Replay a dead letter",
    needs="runs:steer",
    body=Nothing,
    body_required=False,
    answers={202: Run},
    problems=(409,),
)
def replay(run_id: UUID, body: Nothing) -> Response:
    """The same as resuming its run."""
    resume.resume(auth.tenant_id(), run_id, auth.audit("run.replay", f"run:{run_id}"))
    return shown(run_id, 202, {"Location": location(run_id)})
