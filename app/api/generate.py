"""Generate a script: a run of the chain `script` whose caller waits for it, or watches it."""

from __future__ import annotations

from flask import Response

from app import auth
from app.accept import accept, headers, shown
from app.api import blueprint
from app.operation import operation
from app.schemas.runs import Run
from app.schemas.service import Generate
from app.streams import sse, wait_for_end
from chains.submit import Submitted

api = blueprint("generate", __name__)

CHAIN = "script"
WAIT_SECONDS = 60.0


@operation(
    api,
    "POST",
    "/generate",
    "Generate a script and wait for it",
    needs="runs:start",
    body=Generate,
    answers={200: Run, 202: Run},
    problems=(409, 413, 415, 429),
    headers=("Idempotency-Key",),
)
def generate(body: Generate) -> Response:
    """200 with the run when it ended (look at its `status`), 202 with its `Location` when it takes longer than 60 s, or
    waits for an answer: then `pause` has the question, and the session's next message answers it.
    """
    submitted = _start(body)
    ended = wait_for_end(auth.tenant_id(), submitted.run_id, WAIT_SECONDS, or_pause=True)
    return shown(submitted.run_id, 200 if ended else 202, headers(submitted))


@operation(
    api,
    "POST",
    "/generate/stream",
    "Generate a script and watch it",
    needs="runs:start",
    body=Generate,
    answers={},
    streams=(200,),
    problems=(409, 413, 415, 429),
    headers=("Idempotency-Key",),
)
def stream(body: Generate) -> Response:
    """The run's events as they happen (SSE); pieces of the model's text come as `event: token`."""
    submitted = _start(body)
    return sse(auth.tenant_id(), submitted.run_id, 0, headers(submitted))


def _start(body: Generate) -> Submitted:
    return accept(
        CHAIN,
        {"query": body.query, **(body.model_extra or {})},
        body_key=body.idempotency_key,
        session_id=body.session_id,
        deadline_seconds=body.deadline_seconds,
        on_busy=body.on_busy,
        user_id=body.user_id,
    )
