"""What moves a run: cancel, resume, answer, fork. Each answers 202 and the run."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response

from app import auth
from app.accept import location, shown
from app.api import blueprint
from app.operation import operation
from app.schemas.runs import Answer, DryRun, Fork, Nothing, ResumeQuery, Run
from chains import answer as answers
from chains import cancel as cancels
from chains import fork as forks
from chains import resume as resumes
from policy.audit import without_text

api = blueprint("run_actions", __name__)


def _moved(run_id: UUID) -> Response:
    return shown(run_id, 202, {"Location": location(run_id)})


@operation(
    api,
    "POST",
    "/runs/<uuid:run_id>/cancel",
    "Cancel a run",
    needs="runs:steer",
    body=Nothing,
    body_required=False,
    answers={202: Run},
    problems=(409,),
)
def cancel(run_id: UUID, body: Nothing) -> Response:
    """Running nodes are told to stop; the run is `cancelled` when nothing of it runs any more, or after 10 s."""
    cancels.cancel(auth.tenant_id(), run_id, auth.audit("run.cancel", f"run:{run_id}"))
    return _moved(run_id)


@operation(
    api,
    "POST",
    "/runs/<uuid:run_id>/resume",
    "Resume a failed run",
    needs="runs:steer",
    query=ResumeQuery,
    body=Nothing,
    body_required=False,
    answers={202: Run, 200: DryRun},
    problems=(409,),
)
def resume(run_id: UUID, query: ResumeQuery, body: Nothing) -> Response | dict[str, Any]:
    """Goes on from the last succeeded steps, with a new retry budget. `?dry_run=true` only tells what would happen."""
    if query.dry_run:
        return resumes.dry_run(auth.tenant_id(), run_id)
    resumes.resume(auth.tenant_id(), run_id, auth.audit("run.resume", f"run:{run_id}"))
    return _moved(run_id)


@operation(
    api,
    "POST",
    "/runs/<uuid:run_id>/answer",
    "Answer a waiting step",
    needs="runs:answer",
    body=Answer,
    answers={202: Run},
    problems=(409, 415),
)
def answer(run_id: UUID, body: Answer) -> Response:
    """`step` says which one, where several wait. The same answer again is fine; another one is 409."""
    entry = auth.audit("run.answer", f"run:{run_id}", after={"answer": without_text(body.answer)})
    answers.answer(auth.tenant_id(), run_id, body.answer, body.step, entry)
    return _moved(run_id)


@operation(
    api,
    "POST",
    "/runs/<uuid:run_id>/fork",
    "Fork a run at a checkpoint",
    needs="runs:steer",
    body=Fork,
    answers={202: Run},
    problems=(409, 415),
)
def fork(run_id: UUID, body: Fork) -> Response:
    """A new run that keeps the checkpoints up to `after_step`; `input`, if given, replaces the parent's whole."""
    entry = auth.audit("run.fork", f"run:{run_id}")
    return _moved(forks.fork(auth.tenant_id(), run_id, body.after_step, body.input, entry))
