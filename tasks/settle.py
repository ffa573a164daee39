"""What follows when a node did not return an output: a retry, a wait, a final failure, or nothing at all.

Retry, any other error   tried again after a backoff, until the node's budget of failures is spent
Final                    the run fails with the node's code; it can be resumed
Pause                    the step waits for an answer; where on_timeout is "again", it runs again when its time is over
Stopped                  the run is being stopped, or the lease is lost: nothing is counted
storage is away          tried again in two seconds, as often as it takes: nothing is counted
"""

from __future__ import annotations

import time
import traceback
from datetime import UTC, datetime

import structlog

import metrics
from chains import payload
from chains.advance import Outcome, deliver, move, record
from chains.decide import Event, backoff_seconds
from chains.lose import DRAINED, lose
from node import Final, Json, Node, Pause, Retry, Stopped
from storage import situation
from storage.checkpoints import Lease
from storage.postgres import Unavailable, hot, unavailable
from storage.segments import Held
from tasks.context import RunContext

log = structlog.get_logger()

MAX_ERROR_CHARACTERS = 2000
AWAY_SECONDS = 2.0


class StorageAway(Exception):
    """Postgres or the blob store is away: nobody's failure, the step is tried again."""


def settle(lease: Lease, node: Node, ctx: RunContext, raised: BaseException) -> None:
    """Write what follows from what the node raised. Never raises: what cannot be written, the sweep finds."""
    try:
        if isinstance(raised, Stopped) and ctx.cancelled:
            overdue = time.monotonic() >= ctx.deadline
            give_back(lease, "deadline") if overdue else give_back(lease, DRAINED)
        elif isinstance(raised, StorageAway) or unavailable(raised):
            error = {"code": "storage_away", "message": str(raised)[:MAX_ERROR_CHARACTERS], "step": lease.key}
            _close(lease, ctx, "retrying", 0, error, None, AWAY_SECONDS)
        elif isinstance(raised, Pause):
            _wait(lease, node, ctx, raised)
        else:
            _fail(lease, node, ctx, raised)
    except Unavailable as away:
        log.warning("postgres_away", during="settle", step=lease.key, error=repr(away))


def give_back(lease: Lease, reason: str) -> None:
    """Let the lease go without a result: for DRAINED without a loss. The step runs again unless the run is stopping."""
    log.info("lease_given_back", run=str(lease.run_id), step=lease.key, reason=reason)
    lose(Held(lease.tenant_id, lease.run_id, lease.segment, lease.token, reason))


def _wait(lease: Lease, node: Node, ctx: RunContext, raised: Pause) -> None:
    pause = _pause(lease, raised)
    try:
        payload.dump(pause)
    except (TypeError, ValueError) as wrong:
        _fail(lease, node, ctx, Final(f"the pause of {node.name} cannot be stored: {wrong}", code="bad_output"))
        return
    _close(lease, ctx, "waiting", 0, None, pause, raised.timeout_seconds)


def _fail(lease: Lease, node: Node, ctx: RunContext, raised: BaseException) -> None:
    failures = lease.failures + 1
    error = _error(lease, raised)
    if isinstance(raised, Final) or failures > node.retries:
        log.warning("step_failed", run=str(lease.run_id), step=lease.key, attempt=lease.attempt, error=error["message"])
        _close(lease, ctx, "failed", 1, error, None, None)
        return
    after = raised.after_seconds if isinstance(raised, Retry) else None
    due = backoff_seconds(failures, f"{lease.run_id}/{lease.key}/{lease.attempt}") if after is None else max(0.0, after)
    metrics.RETRIES.labels(node=node.name).inc()
    log.info("step_retried", run=str(lease.run_id), step=lease.key, attempt=lease.attempt, error=error["message"])
    _close(lease, ctx, "retrying", 1, error, None, due)


def _close(
    lease: Lease, ctx: RunContext, status: str, failures: int, error: Json, pause: Json, due_seconds: float | None
) -> None:
    """Close the segment with this step's state and move the run, in one transaction; fenced by the token."""
    with hot() as db, db.transaction(lease.tenant_id, lease.run_id):
        now = situation.read(db, lease.tenant_id, lease.run_id)
        if now is None or (lease.segment, str(lease.token)) not in {(one.no, one.token) for one in now.segments}:
            metrics.FENCED.labels(node=lease.node).inc()
            return
        outcome = Outcome.of(now)
        values = (lease.run_id, lease.segment, lease.token, lease.key, lease.node, lease.attempt, status, failures, 0)
        db.one("close_step", *values, _text(error), _text(pause), datetime.now(UTC), due_seconds)
        if status == "failed":
            db.do("stop_run", lease.run_id, "failed", _text(error))
        record(db, [*ctx.events, *_events(lease, status, error, due_seconds)], outcome)
        move(db, outcome)
    deliver(outcome)


def _events(lease: Lease, status: str, error: Json, due_seconds: float | None) -> list[Event]:
    if status == "waiting":
        return []
    data = {"attempt": lease.attempt, "error": error}
    if status == "retrying":
        return [
            Event("step_retried", lease.key, lease.node, {**data, "retry_in_seconds": round(due_seconds or 0.0, 3)})
        ]
    return [Event("step_failed", lease.key, lease.node, data)]


def _error(lease: Lease, raised: BaseException) -> dict[str, Json]:
    code = raised.code if isinstance(raised, Final) else "node_failed"
    said = str(raised) or type(raised).__name__
    message = said if isinstance(raised, Final | Retry) else f"{type(raised).__name__}: {said}"
    if not isinstance(raised, Final | Retry):
        where = "".join(traceback.format_exception(raised)[-3:])
        log.info("node_raised", run=str(lease.run_id), step=lease.key, error=where)
    return {"code": code, "message": message[:MAX_ERROR_CHARACTERS], "step": lease.key}


def _pause(lease: Lease, raised: Pause) -> dict[str, Json]:
    """What stands in the row and is shown. Not `on_timeout` but `runs_again`: the former is the answer of a gate."""
    details = {name: value for name, value in raised.details.items() if name != "runs_again"}
    pause = {"kind": raised.kind, "question": raised.question, "step": lease.key, **details}
    if raised.timeout_seconds is not None:
        pause["timeout_seconds"] = raised.timeout_seconds
        if raised.on_timeout == "again":
            pause["runs_again"] = True
    return pause


def _text(value: Json) -> str | None:
    return None if value is None else payload.dump(value)
