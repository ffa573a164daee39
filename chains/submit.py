"""Accept a run: check its input, write it with its first segments in one transaction, answer, and only then send.

`submit` records, `deliver_accepted` sends behind the caller's answer. Accepted means recorded: whatever is not sent,
because the broker is frozen or this process dies, the sweep sends.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import metrics
from chains import admission, catalog, payload
from chains.advance import Outcome, advance, deliver_later, move
from chains.answer import answer_in_session
from chains.definition import Accepted, Chain
from errors import IdempotencyConflict, InvalidInput, SessionBusy, UnknownChain
from policy import limiter, tenant_limits
from storage import sessions, situation
from storage.postgres import Duplicate, Hot, hot
from storage.reads.runs import Found, RunRow, SegmentRow
from storage.reads.waits import answered_with
from storage.situation import Situation
from storage.tables import uuid7

Json = Any
ON_BUSY = ("reject", "queue", "interrupt")


@dataclass(frozen=True)
class SubmitRequest:
    """What a client asks for. deadline_seconds: the run fails when it is not final by then; traceparent: W3C;
    priority: of the tenant's runs that wait for a slot the higher first; actor: who asks, as the audit names them."""

    chain: str
    input: Json
    session_id: str | None = None
    deadline_seconds: float | None = None
    idem_key: str | None = None
    on_busy: str = "reject"
    agent_id: str | None = None
    user_id: str | None = None
    traceparent: str | None = None
    priority: int = 0
    actor: str | None = None


@dataclass(frozen=True)
class Submitted:
    """The run, and whether it was there before; outcome: what is to be sent now (None for a replay).

    answered: the step of that run which this request answered, instead of starting a run of its own; recorded:
    the run's rows as they were written, where it simply runs now: nobody has to read them back.
    """

    run_id: UUID
    replayed: bool
    outcome: Outcome | None = None
    answered: str | None = None
    recorded: Found | None = None


def submit(tenant_id: UUID, request: SubmitRequest) -> Submitted:
    """Record a run, or answer the question that the session's run waits with.

    Raises InvalidInput, UnknownChain, IdempotencyConflict, SessionBusy or LimitReached; then nothing is written.
    """
    chain = catalog.latest(request.chain)
    if chain.internal:
        raise UnknownChain(f"The chain {chain.name!r} is started by Baton alone.")
    digest = _request_hash(request)
    if request.idem_key is not None and (before := _replay(tenant_id, request.idem_key, digest)):
        return before
    accepted = chain.accept(request.input)
    if answered := _answers(tenant_id, request, digest):
        return answered
    run_id = uuid7()
    outcome = Outcome(tenant_id, run_id)
    busy: list[UUID] = []
    sessions_now: int | None = None
    try:
        with hot() as db, db.transaction(tenant_id, run_id):
            now = insert(db, outcome, request, chain, accepted, digest)
            if now is None:
                raise _KeyTaken
            busy, sessions_now = _make_room(db, tenant_id, run_id, request)
            move(db, outcome, now)
    except _KeyTaken:
        assert request.idem_key is not None
        before = _replay(tenant_id, request.idem_key, digest)
        assert before is not None
        return before
    except Duplicate as taken:
        raise SessionBusy() from taken
    outcome.events.clear()  # nobody watches a run that nobody knows of yet
    metrics.RUNS_ACCEPTED.labels(chain=chain.name).inc()
    metrics.TENANT_RUNS.labels(metrics.tenant(tenant_id), "accepted").inc()
    for other in busy:
        _interrupt(tenant_id, other)
    if sessions_now is not None:
        limiter.note_sessions(tenant_id, sessions_now)
    return Submitted(run_id, False, outcome, recorded=_recorded(outcome, now, request, accepted))


def _answers(tenant_id: UUID, request: SubmitRequest, digest: bytes) -> Submitted | None:
    """In a session whose run waits with a question, what the user says next is its answer; not where it interrupts.

    Only words alone are an answer, said to the same chain: a request with fields of its own wants a run of its own.
    """
    said = request.input if isinstance(request.input, dict) else {}
    if request.session_id is None or request.on_busy == "interrupt" or set(said) != {"query"}:
        return None
    if request.idem_key and (before := answered_with(tenant_id, request.session_id, request.idem_key)):
        if before.digest != digest.hex():
            raise IdempotencyConflict()
        return Submitted(before.run_id, True, answered=before.step)
    given = {"text": str(said["query"])}
    if request.idem_key:
        given |= {"key": request.idem_key, "digest": digest.hex()}
    found = answer_in_session(tenant_id, request.session_id, request.chain, given)
    return Submitted(found[0], False, answered=found[1]) if found else None


def deliver_accepted(accepted: Submitted) -> None:
    """Send and tell what `submit` wrote, without holding up the caller's answer; nothing for a replay."""
    if accepted.outcome is not None:
        deliver_later(accepted.outcome)


class _KeyTaken(Exception):
    """The idempotency key was used before; rolls the transaction back."""


def new_trace(traceparent: str | None) -> tuple[str, str]:
    """(trace id of 32 hex digits, traceparent): the caller's trace, or a new one."""
    parts = (traceparent or "").split("-")
    if len(parts) >= 4 and len(parts[1]) == 32 and parts[1].strip("0"):
        return parts[1], str(traceparent)
    trace_id = secrets.token_hex(16)
    return trace_id, f"00-{trace_id}-{secrets.token_hex(8)}-01"


def insert(
    db: Hot,
    outcome: Outcome,
    request: SubmitRequest,
    chain: Chain,
    accepted: Accepted,
    digest: bytes | None = None,
    forked: tuple[UUID, str] | None = None,
) -> Situation | None:
    """Write the run's row and its first event inside the caller's transaction.

    The new run's situation, or None: its idempotency key was used before. forked: (parent run, step) of a fork. Raises
    InvalidInput where the input's declared facts are too large, TooManyWaiting where no more runs may wait.
    """
    facts = _facts(accepted)
    catalog.definition(chain.name, chain.version, accepted.facts)  # what cannot be built is not accepted
    limited = not chain.internal and admission.is_limited(outcome.tenant_id)
    if limited:
        admission.refuse_too_many(db, outcome.tenant_id)
    trace_id, traceparent = new_trace(request.traceparent)
    told = {"chain": chain.name, "chain_version": chain.version}
    if forked is not None:
        told = {"parent_run_id": str(forked[0]), "after_step": forked[1]}
    row = db.one(
        "insert_run",
        outcome.run_id,
        outcome.tenant_id,
        chain.name,
        chain.version,
        request.session_id,
        request.on_busy,
        request.agent_id,
        request.user_id,
        trace_id,
        request.idem_key,
        digest if request.idem_key is not None else None,
        request.priority,
        request.deadline_seconds,
        traceparent,
        payload.dump(accepted.input),
        facts,
        *(forked or (None, None)),
        payload.dump(told),
        limited,
        request.actor,
    )
    if row is None:
        return None
    outcome.slot_free = limited
    known = (chain.name, chain.version, json.loads(facts), request.session_id, trace_id, row[0])
    return situation.accepted(outcome.tenant_id, outcome.run_id, *known, limited=limited)


def _recorded(outcome: Outcome, now: Situation, request: SubmitRequest, accepted: Accepted) -> Found | None:
    """The rows of a run that began with nothing but its segments; None where more was written."""
    if outcome.status != "running" or outcome.waits:
        return None
    assert outcome.at is not None
    run = RunRow(
        id=now.run_id,
        chain=now.chain,
        chain_version=now.version,
        status=outcome.status,
        seq=outcome.seq,
        done=0,
        session_id=now.session_id,
        agent_id=request.agent_id,
        parent_run_id=None,
        trace_id=now.trace_id,
        output_ref=None,
        degraded_reason=None,
        created_at=outcome.at,
        started_at=outcome.at,
        finished_at=None,
        input=payload.dump(accepted.input),
        facts=payload.dump(now.input_facts),
        output=None,
        error=None,
        pause=None,
    )
    opened = [SegmentRow(list(one.keys), list(one.nodes), 0, one.attempt, None, None) for one in outcome.segments]
    return Found(run, [], opened)


def _facts(accepted: Accepted) -> str:
    """The input's declared facts as JSON text."""
    facts = payload.dump(accepted.facts)
    if len(facts.encode()) > payload.MAX_FACTS_BYTES:
        message = f"the fields {', '.join(accepted.facts)} together are larger than {payload.MAX_FACTS_BYTES} bytes"
        raise InvalidInput(errors=[{"field": "input", "message": message}])
    return facts


def _make_room(db: Hot, tenant_id: UUID, run_id: UUID, request: SubmitRequest) -> tuple[list[UUID], int | None]:
    """One run at a time may change a session: refuse, wait (the run stays pending), or name the runs to interrupt.

    Also the tenant's sessions, where this made one and they are limited. Raises LimitReached where they are too many.
    """
    if request.session_id is None:
        return [], None
    db.one("lock_session", f"{tenant_id}/{request.session_id}")
    is_new = db.do("ensure_session", tenant_id, request.session_id, request.user_id) > 0
    limit = tenant_limits.of(tenant_id).max_sessions
    sessions_now = sessions.hold_to(db, tenant_id, limit) if is_new and limit is not None else None
    others = [row[0] for row in db.all("session_runs", request.session_id) if row[0] != run_id]
    if others and request.on_busy == "reject":
        raise SessionBusy()
    return others if request.on_busy == "interrupt" else [], sessions_now


def _interrupt(tenant_id: UUID, run_id: UUID) -> None:
    with hot() as db, db.transaction(tenant_id, run_id):
        db.do("stop_run", run_id, "interrupted", None)
    deliver_later(advance(tenant_id, run_id))


def _replay(tenant_id: UUID, key: str, digest: bytes) -> Submitted | None:
    with hot() as db:
        row = db.one("run_by_key", key, tenant=tenant_id)
    if row is None:
        return None
    if bytes(row[1]) != digest:
        raise IdempotencyConflict()
    return Submitted(row[0], True)


def _request_hash(request: SubmitRequest) -> bytes:
    """What makes two requests the same one: everything that changes the run; not the trace they came with."""
    said = [
        request.chain,
        request.input,
        request.session_id,
        request.deadline_seconds,
        request.on_busy,
        request.agent_id,
        request.user_id,
    ]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).digest()
