"""Accept a run: what POST /runs, /agents/{id}/runs and /generate have in common, up to the recorded run.

The 202 says that the run is in Postgres. Its first segments are sent by a thread (a greenlet in the web process) that
nobody waits for: a frozen broker delays no answer, and what it does not take the sweep sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response, request, url_for

import telemetry
from app import auth, show
from app.operation import answer_json, invalid
from chains.submit import SubmitRequest, Submitted, deliver_accepted, submit
from storage.reads import runs

HEADER = "Idempotency-Key"
ANSWERED = "Baton-Answered"
MAX_KEY_LENGTH = 255


def accept(
    chain: str,
    given: Mapping[str, Any],
    *,
    body_key: str | None = None,
    session_id: str | None = None,
    deadline_seconds: float | None = None,
    on_busy: str = "reject",
    agent_id: str | None = None,
    user_id: str | None = None,
    priority: int = 0,
) -> Submitted:
    """Record the run and have it sent. body_key: the body's `idempotency_key`. Raises what `submit` raises."""
    asked = SubmitRequest(
        chain=chain,
        input=dict(given),
        session_id=session_id,
        deadline_seconds=deadline_seconds,
        idem_key=idempotency_key(body_key),
        on_busy=on_busy,
        agent_id=agent_id,
        user_id=user_id,
        priority=priority,
        traceparent=telemetry.current_traceparent(),
        actor=auth.principal().actor,
    )
    submitted = submit(auth.tenant_id(), asked)
    # In a thread of its own: neither a frozen broker nor a slow one may hold up the answer.
    deliver_accepted(submitted)
    telemetry.bind_contextvars(run_id=str(submitted.run_id))
    return submitted


def idempotency_key(body_key: str | None) -> str | None:
    """The key of this request, from its header or its body. Raises InvalidInput where they differ."""
    header = request.headers.get(HEADER)
    if header is not None:
        header = header.strip()
        if not header or len(header) > MAX_KEY_LENGTH or not header.isprintable():
            raise invalid(HEADER, f"must be 1 to {MAX_KEY_LENGTH} visible characters")
    if header is not None and body_key is not None and header != body_key:
        raise invalid("idempotency_key", f"differs from the header {HEADER}")
    return header if header is not None else body_key


def headers(submitted: Submitted) -> dict[str, str]:
    """Where the run is, whether it was there before, and which of its steps this request answered."""
    made = {"Location": location(submitted.run_id)}
    if submitted.replayed:
        made["Idempotent-Replayed"] = "true"
    if submitted.answered is not None:
        made[ANSWERED] = submitted.answered
    return made


def location(run_id: UUID) -> str:
    """The address of a run."""
    return url_for("runs.get", run_id=run_id)


def accepted(submitted: Submitted) -> Response:
    """The answer: 202, where the run is, and the run as it was recorded; one that was there before as it stands."""
    if submitted.recorded is None:
        return shown(submitted.run_id, 202, headers(submitted))
    return answer_json(show.run(submitted.recorded), 202, headers(submitted))


def shown(run_id: UUID, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The run as it stands."""
    return answer_json(show.run(runs.get(auth.tenant_id(), run_id)), status, headers)
