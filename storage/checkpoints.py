"""Claim a step, tell its start, commit its result: one round trip each, fenced by (token, position).

A claim needs no disk: losing it in a crash only repeats a node that did not commit. A commit is synced; it writes the
output, the facts, the events and moves the position, or nothing at all if the lease is not held any more. A worker that
goes on with the segment's next step itself claims it along with the commit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from storage.postgres import Hot, Row, hot

Json = Any
OutputRow = tuple[str, int, Json, str | None]

_AROUND_THE_NAME = re.compile(r"^.*/|\[\d+\]$")  # in a step's key, as in steps.sql


@dataclass(frozen=True)
class Lease:
    """The right to execute one step once, until its deadline. reads, input, outputs: what the node declared."""

    tenant_id: UUID
    run_id: UUID
    segment: int
    pos: int
    token: UUID
    attempt: int
    keys: tuple[str, ...]
    nodes: tuple[str, ...]
    seconds: float
    chain: str
    version: str
    input_facts: dict[str, Json]
    session_id: str | None
    user_id: str | None
    trace_id: str
    traceparent: str | None
    resumes: int
    failures: int
    losses: int
    answer: Json
    reads: tuple[str, ...]
    input: str | None
    outputs: tuple[OutputRow, ...]

    @property
    def key(self) -> str:
        """The step's key."""
        return self.keys[self.pos]

    @property
    def node(self) -> str:
        """The node's name."""
        return self.nodes[self.pos]

    @property
    def last(self) -> bool:
        """Whether this is the last step of its segment."""
        return self.pos + 1 == len(self.keys)


@dataclass(frozen=True)
class Next:
    """The segment's next step, to be claimed along: the new lease's token and worker, its node's time and reads."""

    token: UUID
    worker: UUID
    timeout_seconds: float
    reads: tuple[str, ...]


@dataclass(frozen=True)
class Checkpoint:
    """A result to be committed. events: (types, steps, nodes, data as JSON text), in order."""

    output: str | None
    output_ref: str | None
    sha256: str
    facts: str | None
    started_at: datetime
    events: tuple[list[str], list[str | None], list[str | None], list[str]]
    next: Next | None = None


@dataclass(frozen=True)
class Committed:
    """What a commit wrote: done is the checkpoint's version, seq the last event's; stop: the run is being stopped.

    next_seconds: the time of the next step's lease, if it was claimed along; outputs: what its node reads, if known.
    """

    done: int
    seq: int
    stop: str | None
    at: datetime
    next_seconds: float | None
    outputs: tuple[OutputRow, ...] | None


def claim(
    tenant_id: UUID,
    run_id: UUID,
    segment: int,
    pos: int,
    attempt: int,
    token: UUID,
    worker: UUID,
    timeout_seconds: float,
    reads: tuple[str, ...],
) -> Lease | None:
    """Take the step at `pos`, if nobody else may: None for a stale message, a stopping run, a lease that is held."""
    with hot() as db:
        place = (run_id, segment, pos, attempt, token, worker, timeout_seconds)
        row = db.one("claim", *place, "input" in reads, _outputs_read(reads), tenant=tenant_id, synced=False)
    if row is None:
        return None
    (keys, nodes, seconds, chain, version, facts, session_id, user_id, trace_id, traceparent, resumes, given) = row[:12]
    outputs, before = row[12:]
    failures, losses, answer = json.loads(before) if before else (0, 0, None)
    return Lease(
        tenant_id,
        run_id,
        segment,
        pos,
        token,
        attempt,
        tuple(keys),
        tuple(nodes),
        seconds,
        chain,
        version,
        json.loads(facts) if facts else {},
        session_id,
        user_id,
        trace_id,
        traceparent,
        resumes,
        failures,
        losses,
        answer,
        reads,
        given,
        _outputs(outputs),
    )


def claimed_along(lease: Lease, checkpoint: Checkpoint, committed: Committed) -> Lease | None:
    """The lease of the next step, if the commit of `lease` claimed it too; what the two share is not read again."""
    following = checkpoint.next
    if following is None or committed.next_seconds is None:
        return None
    reads: tuple[str, ...] = ("input",)
    outputs = committed.outputs or ()
    if committed.outputs is not None:  # else they are read when the node looks at them
        reads = following.reads
        if _AROUND_THE_NAME.sub("", lease.key) in _outputs_read(reads):
            own = json.loads(checkpoint.output) if checkpoint.output is not None else None
            outputs = (*outputs, (lease.key, committed.done, own, checkpoint.output_ref))
    return replace(
        lease,
        pos=lease.pos + 1,
        token=following.token,
        attempt=1,
        seconds=committed.next_seconds,
        failures=0,
        losses=0,
        answer=None,
        reads=reads if lease.input is not None else tuple(name for name in reads if name != "input"),
        outputs=outputs,
    )


def start(lease: Lease, data: str) -> tuple[int, datetime] | None:
    """Write `step_started`, for a step whose start was not told with the commit before it. (seq, time) or None."""
    with hot() as db:
        values = (lease.run_id, lease.segment, lease.token, lease.key, lease.node, data)
        row = db.one_locked("start", *values, tenant=lease.tenant_id, run_id=lease.run_id)
    return (row[0], row[1]) if row else None


def commit(db: Hot, lease: Lease, checkpoint: Checkpoint) -> Committed | None:
    """Write a step's result in a transaction of its own, in one round trip; None: fenced."""
    values = _written(lease, checkpoint)
    return _committed(db.one_locked("commit", *values, tenant=lease.tenant_id, run_id=lease.run_id))


def commit_later(db: Hot, lease: Lease, checkpoint: Checkpoint) -> None:
    """The same inside a transaction, with the next statement; `Situation.committed` says whether it was let through."""
    db.later("commit", *_written(lease, checkpoint))


def _written(lease: Lease, checkpoint: Checkpoint) -> tuple[Any, ...]:
    return (
        lease.run_id,
        lease.segment,
        lease.pos,
        lease.token,
        lease.key,
        lease.node,
        lease.attempt,
        checkpoint.output,
        checkpoint.output_ref,
        checkpoint.sha256,
        checkpoint.facts,
        checkpoint.started_at,
        *checkpoint.events,
        *_next(checkpoint.next),
        _outputs_read(checkpoint.next.reads) if checkpoint.next else [],
    )


def commit_many(db: Hot, commits: Sequence[tuple[Lease, Checkpoint]]) -> list[Committed | None]:
    """`commit` of several runs of one tenant in one statement, their answers in the same order."""
    leases, written = [lease for lease, _ in commits], [checkpoint for _, checkpoint in commits]
    events = [
        (ordinal, number, *event)
        for ordinal, checkpoint in enumerate(written, 1)
        for number, event in enumerate(zip(*checkpoint.events, strict=True), 1)
    ]
    values = (
        [lease.run_id for lease in leases],
        [lease.segment for lease in leases],
        [lease.pos for lease in leases],
        [lease.token for lease in leases],
        [lease.key for lease in leases],
        [lease.node for lease in leases],
        [lease.attempt for lease in leases],
        [checkpoint.output for checkpoint in written],
        [checkpoint.output_ref for checkpoint in written],
        [checkpoint.sha256 for checkpoint in written],
        [checkpoint.facts for checkpoint in written],
        [checkpoint.started_at for checkpoint in written],
        [len(checkpoint.events[0]) for checkpoint in written],
        *(list(column) for column in zip(*(_next(one.next) for one in written), strict=True)),
        [json.dumps(_outputs_read(one.next.reads)) if one.next else None for one in written],
        *(list(column) for column in zip(*events, strict=True)),
    )
    tenant = leases[0].tenant_id
    rows = db.all_locked("lock_runs", [lease.run_id for lease in leases], "commit_many", *values, tenant=tenant)
    answers = {row[0]: _committed(row[1:]) for row in rows}
    return [answers.get(ordinal) for ordinal in range(1, len(leases) + 1)]


def was_committed(db: Hot, lease: Lease, checkpoint: Checkpoint) -> Committed | None:
    """The commit of this very execution, if it happened although its answer was lost."""
    token, *_ = _next(checkpoint.next)
    row = db.one("was_committed", lease.run_id, lease.key, lease.attempt, token, tenant=lease.tenant_id)
    return Committed(row[0], row[1], row[2], row[3], row[4], None) if row else None


def _next(following: Next | None) -> tuple[UUID | None, UUID | None, float | None]:
    return (following.token, following.worker, following.timeout_seconds) if following else (None, None, None)


def _committed(row: Row | None) -> Committed | None:
    return Committed(row[0], row[1], row[2], row[3], row[4], _outputs(row[5])) if row else None


def _outputs_read(reads: tuple[str, ...]) -> list[str]:
    """The names of the steps among what a node reads."""
    return [name for name in reads if name != "input"]


def _outputs(text: str | None) -> tuple[OutputRow, ...]:
    return tuple((key, int(no), output, ref) for key, no, output, ref in json.loads(text)) if text else ()


def read_input(tenant_id: UUID, run_id: UUID) -> str:
    """The run's input as JSON text."""
    with hot() as db:
        row = db.one("read_input", run_id, tenant=tenant_id)
    return str(row[0]) if row else "{}"


def read_outputs(tenant_id: UUID, run_id: UUID, names: Sequence[str]) -> tuple[OutputRow, ...]:
    """Outputs of finished steps by name: (key, version, output, blob reference)."""
    with hot() as db:
        rows = db.all("read_outputs", run_id, list(names), tenant=tenant_id)
    return tuple((key, no, json.loads(output) if output is not None else None, ref) for key, no, output, ref in rows)
