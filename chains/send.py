"""Hand segments to Celery: one `celery.chain` each, by name, with two-second timeouts and without a retry.

Always called after the commit. Nothing depends on it: what could not be sent is marked unsent, and what was lost is
found by the sweep (tasks/sweep.py). The tail of the chain in the message is an accelerator; the truth is the row.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

import structlog
from celery import Celery, Signature

import metrics
from chains.message import Message, shown, task_id
from storage import segments

log = structlog.get_logger()

# After a failed send the broker is left alone for so long; meanwhile everything goes to the sweep at once.
BROKER_PAUSE_SECONDS = 1.0
_broken_until = 0.0


@dataclass(frozen=True, slots=True)
class Segment:
    """A straight line of steps to execute: the steps from `pos` on, the first one with its attempt."""

    tenant_id: UUID
    run_id: UUID
    no: int
    pos: int
    keys: tuple[str, ...]
    nodes: tuple[str, ...]
    attempt: int
    queue: str


@cache
def producer() -> Celery:
    """The Celery app that only sends: it knows names and queues, no task."""
    return Celery("baton", config_source="celeryconfig", set_as_current=False)


def send(segments_to_send: Iterable[Segment]) -> bool:
    """Send each segment as one Celery chain; True if all of them went out. Never raises for a broker's fault."""
    failed: list[Segment] = []
    for segment in segments_to_send:
        if time.monotonic() < _broken_until:
            failed.append(segment)
            continue
        try:
            _send_one(segment)
            metrics.SENDS.inc()
        except Exception as broken:  # kombu, redis and OS errors share no base
            _note(broken, segment.run_id, segment.no)
            failed.append(segment)
    if failed:
        segments.mark_unsent([(each.tenant_id, each.run_id, each.no) for each in failed])
    return not failed


def links(segment: Segment) -> list[Signature]:
    """The chain's links: immutable signatures with the task ids and queues of their steps."""
    made = []
    for offset, (key, node) in enumerate(zip(segment.keys, segment.nodes, strict=True)):
        attempt = segment.attempt if offset == 0 else 1
        message = Message(segment.tenant_id, segment.run_id, segment.no, segment.pos + offset, attempt, node)
        made.append(
            Signature(
                node,
                kwargs=message.kwargs(),
                options={"task_id": task_id(segment.run_id, key, attempt), "queue": segment.queue},
                app=producer(),
                immutable=True,
            )
        )
    return made


def pass_on(tail: Sequence[Mapping[str, Any]], segment: tuple[UUID, UUID, int], parent_id: str) -> None:
    """Send the next link of a chain with the rest of its tail (as Celery carries it, the next one last). Never raises.

    segment: (tenant, run, no). Celery's tracer would do the same, for twice the time and without noting a failed send.
    """
    try:
        if time.monotonic() >= _broken_until:
            return _publish(tail[-1], tail[:-1], segment[1], parent_id)
    except Exception as broken:  # kombu, redis and OS errors share no base
        _note(broken, segment[1], segment[2])
    return segments.mark_unsent([segment])


def _send_one(segment: Segment) -> None:
    first, *later = links(segment)
    _publish(first, later[::-1], segment.run_id, None)


def _publish(link: Mapping[str, Any], tail: Sequence[Mapping[str, Any]], run_id: UUID, parent_id: str | None) -> None:
    """One message of Celery's protocol, made by its own functions: a link, and in it the links that follow."""
    app, name, kwargs, options = producer(), link["task"], link["kwargs"], link["options"]
    message = app.amqp.create_task_message(
        options["task_id"],
        name,
        (),
        kwargs,
        root_id=str(run_id),
        parent_id=parent_id,
        chain=tail or None,
        ignore_result=True,
        argsrepr="()",
        kwargsrepr=shown(kwargs),
        create_sent_event=app.conf.task_send_sent_event,
    )
    # The anonymous exchange knows every queue by its name: there is nothing to declare first.
    with app.producer_or_acquire() as publisher:
        app.amqp.send_task_message(publisher, name, message, queue=options["queue"], retry=False, declare=[])


def _note(broken: Exception, run_id: UUID, no: int) -> None:
    global _broken_until
    _broken_until = time.monotonic() + BROKER_PAUSE_SECONDS
    metrics.SENDS_FAILED.inc()
    log.warning("send_failed", run=str(run_id), segment=no, error=repr(broken))
