"""What a run is at one moment, as `chains/decide.py` needs it: read under the run's lock, without any payload."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from storage.postgres import Hot

Json = Any


@dataclass(frozen=True)
class Unfinished:
    """A step that has a row but no result: it waits, is to be tried again, or failed for good."""

    key: str
    node: str
    status: str
    attempt: int
    failures: int
    losses: int
    answer: Json
    pause: Json
    due_in_seconds: float | None
    error: Json


@dataclass(frozen=True)
class OpenSegment:
    """A segment that still has steps to run; keys and nodes begin at its position. token: who holds it, if anyone."""

    no: int
    keys: tuple[str, ...]
    nodes: tuple[str, ...]
    attempt: int
    token: str | None
    overdue: bool


@dataclass(frozen=True)
class Situation:
    """Everything that the next decision about a run rests on. done: the facts of every succeeded step by key.

    seq: the number of the newest event; at: the time that this transaction's events have; committed: it holds a commit
    that was let through.
    """

    run_id: UUID
    tenant_id: UUID
    chain: str
    version: str
    status: str
    stop: str | None
    stopping_seconds: float
    input_facts: dict[str, Json]
    session_id: str | None
    error: Json
    past_deadline: bool
    done: dict[str, dict[str, Json]]
    unfinished: tuple[Unfinished, ...]
    segments: tuple[OpenSegment, ...]
    last_no: int
    versions: int
    degraded_reason: str | None
    trace_id: str
    limited: bool
    admitted: bool
    seq: int
    at: datetime
    committed: bool = False


def accepted(
    tenant_id: UUID,
    run_id: UUID,
    chain: str,
    version: str,
    input_facts: dict[str, Json],
    session_id: str | None,
    trace_id: str,
    at: datetime,
    *,
    limited: bool,
) -> Situation:
    """The situation of a run that this transaction has just inserted with its first event: nothing of it is done."""
    return Situation(
        run_id,
        tenant_id,
        chain,
        version,
        status="pending",
        stop=None,
        stopping_seconds=0.0,
        input_facts=input_facts,
        session_id=session_id,
        error=None,
        past_deadline=False,
        done={},
        unfinished=(),
        segments=(),
        last_no=0,
        versions=0,
        degraded_reason=None,
        trace_id=trace_id,
        limited=limited,
        admitted=not limited,
        seq=1,
        at=at,
    )


def read(db: Hot, tenant_id: UUID, run_id: UUID) -> Situation | None:
    """The run's situation, or None if this tenant has no such run. Call it inside `db.transaction`."""
    row = db.one("situation", run_id)
    if row is None:
        return None
    (tenant, chain, version, status, stop, stopping, facts, session_id, error, past_deadline) = row[:10]
    (plain, with_facts, unfinished, segments, last_no, versions) = row[10:16]
    degraded_reason, trace_id, *rest = row[16:]  # as the Situation has them
    done: dict[str, dict[str, Json]] = {key: {} for key in plain or ()}
    done.update(json.loads(with_facts or "{}"))
    return Situation(
        run_id,
        tenant,
        chain,
        version,
        status,
        stop,
        stopping or 0.0,
        json.loads(facts or "{}"),
        session_id,
        json.loads(error) if error else None,
        bool(past_deadline),
        done,
        tuple(Unfinished(*one) for one in json.loads(unfinished or "[]")),
        tuple(_open_segment(*one) for one in json.loads(segments or "[]")),
        last_no,
        versions,
        degraded_reason,
        trace_id,
        *rest,
    )


def _open_segment(
    no: int, keys: list[str], nodes: list[str], attempt: int, token: str | None, overdue: bool
) -> OpenSegment:
    return OpenSegment(no, tuple(keys), tuple(nodes), attempt, token, bool(overdue))
