"""Runs of an agent. Until there are agents of their own, an agent's id is a chain's name."""

from __future__ import annotations

from flask import Response

from app import auth
from app.accept import accept, accepted, headers
from app.api import blueprint
from app.operation import operation
from app.schemas.runs import Run, StartAgentRun
from app.streams import sse
from chains import catalog
from errors import NotFound, UnknownChain

api = blueprint("agents", __name__)


@operation(
    api,
    "POST",
    "/agents/<agent_id>/runs",
    "Start a run of an agent",
    needs="runs:start",
    body=StartAgentRun,
    answers={202: Run},
    streams=(200,),
    problems=(409, 413, 415, 429),
    headers=("Idempotency-Key",),
)
def start(agent_id: str, body: StartAgentRun) -> Response:
    """A string input becomes `{"query": ...}`. With `stream: true` the answer is the run's events (SSE)."""
    try:
        catalog.latest(agent_id)
    except UnknownChain as error:
        raise NotFound(f"There is no agent {agent_id!r}.") from error
    submitted = accept(
        agent_id,
        {"query": body.input} if isinstance(body.input, str) else body.input,
        body_key=body.idempotency_key,
        session_id=body.session_id,
        deadline_seconds=body.deadline_seconds,
        on_busy=body.on_busy,
        agent_id=agent_id,
        user_id=body.user_id,
    )
    if body.stream:
        return sse(auth.tenant_id(), submitted.run_id, 0, headers(submitted))
    return accepted(submitted)
