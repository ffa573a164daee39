"""The life of a node: claim, think, commit, publish, go on. One Celery task for each node, and this is all of them.

    before_claim -> claim -> after_claim -> the node -> after_node -> commit -> after_commit -> the next link goes on
        -> publish -> after_publish -> next segments sent (a segment's last step alone)

A step that follows in the same hop (tasks/hop.py) was claimed with the commit before it.

A message that is stale, forged or held by another ends here without a word. What a node raises becomes a retry, a
wait or a failure (tasks/settle.py). Whatever else breaks (Postgres, Redis, this process) is nobody's failure: the
lease is taken back by the sweep and the step runs again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

import structlog
from celery.exceptions import Reject

import faults
import metrics
import telemetry
from agents import registry
from chains import catalog, payload
from chains.advance import Outcome, advance, deliver, move, shown
from chains.decide import Event
from chains.lose import DRAINED
from chains.message import ForgedMessage, Message, read
from chains.plan import PlannedStep, find
from node import Final, Json, Node
from settings import settings
from storage import broker, checkpoints, group_commit, situation
from storage.checkpoints import Checkpoint, Committed, Lease, Next
from storage.postgres import Unavailable, hot
from tasks import hop, settle, worker
from tasks.context import RunContext, State, open_context
from tasks.settle import StorageAway

log = structlog.get_logger()

CLAIM_PATIENCE_SECONDS = 5.0
T = TypeVar("T")
Follow = Callable[[Lease | None], None]
Told = Callable[[Committed], list[Json]]


class StepFailed(Exception):
    """The step did not succeed; what follows from it is written already. Only for Celery's eyes."""


@dataclass(frozen=True)
class Thought:
    """What a node made: its output, ready to be committed, and when it began."""

    output: payload.Stored
    facts: dict[str, Json]
    began: float
    started_at: datetime


def run_node(request: Any, node: Node, kwargs: dict[str, Any]) -> None:
    """Execute one message. request: Celery's task request; its chain's next link is sent here, or by nobody."""
    tail, request.chain = request.chain, None
    try:
        message = read(node.name, kwargs)
        lease = hop.claimed_along(message)
    except ForgedMessage as forged:
        log.error("message_refused", task=node.name, reason=str(forged))
        return
    faults.point("before_claim", f"{message.segment}/{message.pos}")
    lease = lease or _claim(message, node)
    if lease is None:
        return
    said = {"tenant_id": str(lease.tenant_id), "run_id": str(lease.run_id)}
    with telemetry.span(node.name, traceparent=lease.traceparent, **said, step=lease.key, attempt=lease.attempt):
        here = (lease.tenant_id, lease.run_id, lease.segment)
        follow = partial(hop.go_on, tail, here, request.id) if tail and not lease.last else None
        if not _execute(lease, node, follow):
            raise StepFailed(lease.key)


def _claim(message: Message, node: Node) -> Lease | None:
    me, token = worker.this(), uuid4()
    if me.draining.is_set():
        raise Reject("this worker is stopping", requeue=True)
    where = (message.tenant, message.run, message.segment, message.pos, message.attempt)
    return _patiently(
        lambda: checkpoints.claim(*where, token, me.id, node.timeout_seconds, node.reads), CLAIM_PATIENCE_SECONDS
    )


def _execute(lease: Lease, node: Node, follow: Follow | None) -> bool:
    """From the claim to what follows the commit; True if the step succeeded."""
    me, ctx = worker.this(), open_context(lease, node.name)
    me.running[lease.token] = ctx
    try:
        faults.point("after_claim", lease.key)
        planned, following = _planned(lease)
        if planned is None:
            settle.give_back(lease, DRAINED)
            return False
        if not (planned.quick and lease.attempt == 1):
            _tell_start(lease)
        try:
            thought = _think(lease, node, ctx, planned)
        except BaseException as raised:  # SystemExit and MemoryError too: one that leaves the task kills the thread
            settle.settle(lease, node, ctx, raised)
            return False
        faults.point("after_node", lease.key)
        try:
            return _finish(lease, ctx, thought, follow, quick=following is not None and following.quick)
        except Exception:  # a bug of ours must not hold the lease until its deadline
            log.exception("commit_failed", run=str(lease.run_id), step=lease.key)
            settle.give_back(lease, "engine_error")
            return False
    finally:
        me.running.pop(lease.token, None)


def _planned(lease: Lease) -> tuple[PlannedStep | None, PlannedStep | None]:
    """The step, and the one that follows it in the segment; nothing where this process does not know the chain."""
    body = catalog.known(lease.chain, lease.version, lease.input_facts)
    if body is None:
        return None, None
    return find(body, lease.key), None if lease.last else find(body, lease.keys[lease.pos + 1])


def _think(lease: Lease, node: Node, ctx: RunContext, planned: PlannedStep) -> Thought:
    began, started_at = time.monotonic(), datetime.now(UTC)
    faults.point("in_node", lease.key)
    output = node(State(lease), ctx)
    if not isinstance(output, Mapping):
        raise Final(f"the node {node.name} returned {type(output).__name__}, not a JSON object", code="bad_output")
    try:
        facts = payload.facts_of(output, planned.facts)
        if ctx.degraded:
            facts["degraded"] = ctx.degraded
        stored = payload.store(lease.tenant_id, lease.run_id, dict(output))
    except OSError as away:
        raise StorageAway(f"the blob store did not take the output: {away}") from away
    except (TypeError, ValueError) as wrong:
        raise Final(f"the output of {node.name} cannot be stored: {wrong}", code="bad_output") from wrong
    return Thought(stored, facts, began, started_at)


def _tell_start(lease: Lease) -> None:
    event = Event("step_started", lease.key, lease.node, {"attempt": lease.attempt})
    try:
        told = checkpoints.start(lease, payload.dump(event.data))
    except Unavailable:
        return  # a start that is not told costs nothing; the commit will wait for Postgres
    if told:
        broker.tell(broker.hint(lease.tenant_id, lease.run_id, {"events": shown(lease.run_id, [event], *told)}))


def _finish(lease: Lease, ctx: RunContext, thought: Thought, follow: Follow | None, *, quick: bool) -> bool:
    """Commit and go on; False: fenced. quick: the segment goes on, with a step that is declared quick."""
    seconds = time.monotonic() - thought.began
    data = {"attempt": lease.attempt, "duration_ms": round(seconds * 1000, 3)}
    events = [*ctx.events, Event("step_succeeded", lease.key, lease.node, data), *(_next_start(lease) if quick else [])]
    checkpoint = Checkpoint(
        thought.output.text,
        thought.output.ref,
        thought.output.sha256,
        payload.dump(thought.facts) if thought.facts else None,
        thought.started_at,
        (
            [one.type for one in events],
            [one.step for one in events],
            [one.node for one in events],
            [payload.dump(one.data) for one in events],
        ),
        _next(lease, seconds) if quick and follow is not None else None,
    )
    done = _commit(lease, checkpoint, events)
    if done is None:
        metrics.FENCED.labels(node=lease.node).inc()
        log.warning("commit_fenced", run=str(lease.run_id), step=lease.key, attempt=lease.attempt)
        return False
    committed, outcome = done
    metrics.STEP_SECONDS.labels(node=lease.node, status="succeeded").observe(seconds)
    faults.point("after_commit", lease.key)
    if follow is not None and committed.stop is None:
        follow(checkpoints.claimed_along(lease, checkpoint, committed))
    _go_on(lease, committed, outcome)
    return True


def _next_start(lease: Lease) -> list[Event]:
    """The start of the segment's next step, a quick one: told now, it needs no write of its own."""
    return [Event("step_started", lease.keys[lease.pos + 1], lease.nodes[lease.pos + 1], {"attempt": 1})]


def _next(lease: Lease, took_seconds: float) -> Next | None:
    """The segment's next step, if this worker goes on with it."""
    node = registry.nodes().get(lease.nodes[lease.pos + 1])
    return None if node is None else hop.claim_along(lease, node, took_seconds)


def _commit(lease: Lease, checkpoint: Checkpoint, events: list[Event]) -> tuple[Committed, Outcome] | None:
    """Commit, and with a segment's last step move the run in the same transaction. None: fenced.

    Postgres may be away: then it is tried again until the lease ends. A commit whose answer was lost is recognised.
    """
    asked_before = False

    def told(committed: Committed) -> list[Json]:
        return shown(lease.run_id, events, committed.seq, committed.at)

    def attempt() -> tuple[Committed, Outcome] | None:
        nonlocal asked_before
        if asked_before:
            with hot() as db:
                if before := checkpoints.was_committed(db, lease, checkpoint):
                    return before, Outcome(lease.tenant_id, lease.run_id, events=told(before))
        asked_before = True
        return _commit_last(lease, checkpoint, told) if lease.last else _commit_inner(lease, checkpoint, told)

    return _patiently(attempt, lease.seconds)


def _commit_inner(lease: Lease, checkpoint: Checkpoint, told: Told) -> tuple[Committed, Outcome] | None:
    here = (lease.tenant_id, lease.run_id)
    if settings().group_commit:
        committed = group_commit.commit(lease, checkpoint, lambda done: broker.hint(*here, {"events": told(done)}))
        return (committed, Outcome(*here)) if committed else None
    with hot() as db:
        committed = checkpoints.commit(db, lease, checkpoint)
    return (committed, Outcome(*here, events=told(committed))) if committed else None


def _commit_last(lease: Lease, checkpoint: Checkpoint, told: Told) -> tuple[Committed, Outcome] | None:
    with hot() as db, db.transaction(lease.tenant_id, lease.run_id):
        checkpoints.commit_later(db, lease, checkpoint)
        now = situation.read(db, lease.tenant_id, lease.run_id)
        if now is None or not now.committed:
            return None
        faults.point("in_join", lease.key)
        committed = Committed(now.versions, now.seq, now.stop, now.at, None, None)
        outcome = Outcome(lease.tenant_id, lease.run_id, events=told(committed))
        move(db, outcome, now)
        if outcome.status is not None:
            faults.point("in_final_transition", lease.key)
    return committed, outcome


def _go_on(lease: Lease, committed: Committed, outcome: Outcome) -> None:
    """Tell the viewers what no group commit told, send the segments that follow, carry a stop through."""
    outcome.step = lease.key
    deliver(outcome)
    if committed.stop is not None and outcome.status is None:
        deliver(advance(lease.tenant_id, lease.run_id))


def _patiently(call: Callable[[], T], seconds: float) -> T | None:
    """The call's answer, tried again while Postgres is away, for so many seconds; None after that.

    An unclaimed message is sent again by the sweep, an uncommitted step is run again: neither is lost.
    """
    until, pause = time.monotonic() + seconds, 0.05
    while True:
        try:
            return call()
        except Unavailable as away:
            if time.monotonic() + pause >= until:
                log.warning("postgres_away", error=repr(away))
                return None
            time.sleep(pause)
            pause = min(pause * 2, 1.0)
