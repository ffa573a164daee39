"""The one way to move a run: lock it, ask what follows, write it, and send after the commit.

    outcome = advance(tenant_id, run_id)      start, join, answer, resume, rescue, stop: all of them end here
    deliver(outcome)                          tells live viewers, sends segments, wakes the session's next run

Inside a transaction that is open already (the last commit of a segment), `move` is the same without its own lock.
What is written needs no answer, so it waits for the commit and travels with it (`later`).
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import faults
import metrics
from chains import catalog, payload
from chains.admission import admit
from chains.decide import Decision, Event, decide
from chains.definition import Results
from chains.results import degraded_reason, read_results
from chains.send import Segment, send
from chains.transitions import FINAL, NewStatus, transition
from settings import settings
from storage import broker, situation
from storage.postgres import Deadlock, Hot, hot
from storage.situation import Situation

Json = Any
_DEADLOCK_TRIES = 3


@dataclass
class Outcome:
    """What one transaction did to a run and what is to be told and sent after its commit.

    seq, at: the number and time of the run's last event, once this transaction knows its situation; slot_free: a
    limited run gave up its slot, or a new one wants its first; waits: a gate began to wait.
    """

    tenant_id: UUID
    run_id: UUID
    step: str = ""
    segments: list[Segment] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)
    status: str | None = None
    result: Json = None
    next_run: UUID | None = None
    slot_free: bool = False
    waits: bool = False
    seq: int = 0
    at: datetime | None = None

    @classmethod
    def of(cls, now: Situation) -> Outcome:
        """The outcome of a transaction that has read the run's situation and has done nothing yet."""
        return cls(now.tenant_id, now.run_id, seq=now.seq, at=now.at)


def advance(tenant_id: UUID, run_id: UUID) -> Outcome:
    """Move a run as far as it goes now. Harmless at any moment and as often as one likes."""
    for tries_left in reversed(range(_DEADLOCK_TRIES)):
        try:
            outcome = Outcome(tenant_id, run_id)
            with hot() as db, db.transaction(tenant_id, run_id):
                move(db, outcome)
            return outcome
        except Deadlock:
            if not tries_left:
                raise
    raise AssertionError("unreachable")


def move(db: Hot, outcome: Outcome, now: Situation | None = None) -> None:
    """The same inside the caller's transaction, which holds the run's lock. now: the situation, if it is known."""
    now = now or situation.read(db, outcome.tenant_id, outcome.run_id)
    if now is None:
        return
    outcome.seq, outcome.at = now.seq, now.at
    may_start = now.status != "pending" or (now.admitted and (now.session_id is None or session_free(db, now)))
    if not may_start and now.limited and now.admitted:  # its session is busy again since it got its slot
        db.later("give_slot_back", now.run_id)
        outcome.slot_free = True
    # A run of a version that this process does not have is not ours to judge, only to stop: an older worker may meet a
    # newer run during a deploy, and what nobody can run any more is set aside by `manage.py doctor`.
    body = catalog.known(now.chain, now.version, now.input_facts)
    _write(db, now, decide(now, body, may_start=may_start, grace_seconds=settings().stop_grace_seconds), outcome)


def deliver(outcome: Outcome) -> None:
    """After the commit: tell live viewers and Celery clients, send, wake the next run of the session."""
    told = [broker.hint(outcome.tenant_id, outcome.run_id, {"events": outcome.events})] if outcome.events else []
    if outcome.status in FINAL:
        told += broker.end(outcome.run_id, outcome.status, outcome.result)
    broker.tell(*told)
    faults.point("after_publish", outcome.step)
    faults.point("before_send", outcome.step)
    send(outcome.segments)
    faults.point("after_send", outcome.step)
    if outcome.next_run is not None:
        deliver(advance(outcome.tenant_id, outcome.next_run))
    if outcome.slot_free:
        move_admitted()


def move_admitted() -> None:
    """Give out the free slots and set going who got one."""
    for tenant_id, run_id in admit():
        deliver(advance(tenant_id, run_id))


def deliver_later(outcome: Outcome) -> None:
    """The same from a thread of its own (a greenlet in the web process): a frozen broker holds up nobody's answer."""
    threading.Thread(target=deliver, args=(outcome,), name="deliver", daemon=True).start()


def record(db: Hot, events: Sequence[Event], outcome: Outcome, new: NewStatus | None = None) -> None:
    """Write events of the run, and its new status, inside the caller's transaction, which holds its lock.

    outcome: it knows the run's situation (`Outcome.of`), so that nobody has to ask for numbers and times.
    """
    if not events and new is None:
        return
    assert outcome.at is not None
    db.later(
        "record",
        outcome.run_id,
        outcome.tenant_id,
        [each.type for each in events],
        [each.step for each in events],
        [each.node for each in events],
        [payload.dump(each.data) for each in events],
        *(new or NewStatus()),
    )
    outcome.seq += len(events)
    outcome.events += shown(outcome.run_id, events, outcome.seq, outcome.at)


def shown(run_id: UUID, events: Sequence[Event], last_seq: int, at: datetime) -> list[Json]:
    """Events as clients see them; the last of them has the seq `last_seq`."""
    first, run, moment = last_seq - len(events) + 1, str(run_id), at.isoformat().replace("+00:00", "Z")
    return [
        {
            "run_id": run,
            "seq": first + offset,
            "type": each.type,
            "at": moment,
            "step": each.step,
            "node": each.node,
            "data": dict(each.data),
        }
        for offset, each in enumerate(events)
    ]


def session_free(db: Hot, now: Situation) -> bool:
    """Whether the session has room, under a lock on the session so that two waiting runs do not both start."""
    db.one("lock_session", f"{now.tenant_id}/{now.session_id}")
    row = db.one("session_free", now.session_id, now.run_id)
    return row is not None and bool(row[0])


def _write(db: Hot, now: Situation, decision: Decision, outcome: Outcome) -> None:
    for key, error in decision.expired:
        db.later("expire_wait", now.run_id, key, json.dumps(error))
    for key, answer, facts in decision.passed:
        pass_gate(db, now.run_id, key, answer, dict(facts))
    for key in decision.again:
        db.later("step_again", now.run_id, key, None)
    if decision.stop:
        db.later("stop_run", now.run_id, decision.stop[0], json.dumps(decision.stop[1]))
    for wait in decision.waits:
        outcome.waits = True
        pause = json.dumps(wait.pause)
        db.later("wait", now.run_id, wait.step.key, now.tenant_id, wait.step.node, pause, wait.gate.timeout_seconds)
    if decision.close:
        db.later("close_open_segments", now.run_id)
    for no, new in enumerate(decision.segments, now.last_no + 1):
        keys, nodes = tuple(one.key for one in new.steps), tuple(one.node for one in new.steps)
        db.later(
            "open_segment",
            now.run_id,
            no,
            now.tenant_id,
            list(keys),
            list(nodes),
            new.attempt,
            new.queue,
            new.due_seconds,
        )
        if new.due_seconds <= 0:
            outcome.segments.append(Segment(now.tenant_id, now.run_id, no, 0, keys, nodes, new.attempt, new.queue))
    if decision.status is None:
        record(db, decision.events, outcome)
    else:
        _new_status(db, now, decision, outcome)


def _new_status(db: Hot, now: Situation, decision: Decision, outcome: Outcome) -> None:
    to, frm = decision.status, now.status
    assert to is not None
    if frm == "pending" and to in ("paused", "completed"):
        record(db, [], outcome, transition(now, "pending", "running"))
        frm = "running"
    if to == "completed":
        new, event = _complete(db, now, frm, outcome)
        record(db, [*decision.events, event], outcome, new)
    else:
        new = transition(now, frm, to, error=decision.error, pause=decision.pause)
        record(db, decision.events, outcome, new)
        outcome.result = decision.error
    outcome.status = new.status
    outcome.slot_free = now.limited and new.status != "running"
    if new.status in FINAL:
        metrics.RUNS.labels(agent_id=now.chain, status=new.status).inc()
        metrics.TENANT_RUNS.labels(metrics.tenant(now.tenant_id), new.status).inc()
        row = db.one("next_in_session", now.session_id) if now.session_id else None
        outcome.next_run = row[0] if row else None


def _complete(db: Hot, now: Situation, frm: str, outcome: Outcome) -> tuple[NewStatus, Event]:
    """The final transition of a run that went through, and its event: its output, computed from the steps by version.

    The run fails where the chain's output function or its result is no good.
    """
    chain = catalog.lookup(now.chain, now.version)
    results: Results = read_results(db, now.run_id)
    degraded = degraded_reason(results.steps)
    try:
        output = (
            chain.output(results) if chain.output else results.output(results.steps[-1].name) if results.steps else None
        )
        stored = payload.store(now.tenant_id, now.run_id, output)
    except Exception as wrong:
        error = {"code": "output_failed", "message": f"The chain's output failed: {wrong!r}"[:1000], "step": None}
        outcome.result = error
        failed = Event("run_failed", data={"status": "failed", "error": error})
        return transition(now, frm, "failed", error=error), failed
    data: dict[str, Json] = {"status": "completed", "degraded": degraded is not None}
    if degraded is not None:
        data["degraded_reason"] = degraded
    if stored.text is not None:
        data["output"] = output
    outcome.result = output
    new = transition(now, frm, "completed", output=stored.text, output_ref=stored.ref, degraded_reason=degraded)
    return new, Event("run_completed", data=data)


def pass_gate(db: Hot, run_id: UUID, key: str, answer: Json, facts: dict[str, Json]) -> None:
    """A waiting gate becomes a succeeded step whose output is the answer."""
    text = payload.dump(answer)
    digest = hashlib.sha256(text.encode()).hexdigest()
    db.later("pass_gate", run_id, key, text, digest, json.dumps(facts) if facts else None)
