"""Sticky hops: a worker that finished a step runs the segment's next link itself, while the hop's nodes are quick.

A message costs Celery more than an empty node: to be consumed, acknowledged, sent again. So a commit claims the next
step along with it, the rest of the chain is left here, and when Celery's tracer has ended the step, the next link runs
through a tracer of its own, with its own task id, signals and events. When its nodes have taken `sticky_milliseconds`
together, before a step that is not declared quick, and in a worker that is stopping, the rest becomes a message again:
quick nodes ride together, every slow one is a message of its own, so that load spreads. Waiting for a commit does not
count: more messages would make a busy machine slower still. The commit looks at stop and status as any claim does, and
a worker that dies in a hop has lost one lease, no more than without.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import structlog
from celery import Task, signals

import faults
from chains.lose import DRAINED, lose
from chains.message import ForgedMessage, Message, shown
from chains.send import pass_on
from node import Node
from settings import settings
from storage.checkpoints import Lease, Next
from storage.postgres import Unavailable
from storage.segments import Held
from tasks import worker

log = structlog.get_logger()

Link = Mapping[str, Any]
Tracer = Callable[..., Any]


class _Hop(threading.local):
    """What this thread's hop is about to do: for how much longer, with which links, under which lease of the next one.

    held: that lease from the moment on at which a commit asks for it, whatever becomes of the commit.
    """

    left_seconds = 0.0
    tail: Sequence[Link] | None = None
    lease: Lease | None = None
    held: Held | None = None


_hop = _Hop()
_consumer: Any = None


def claim_along(lease: Lease, node: Node, took_seconds: float) -> Next | None:
    """What the commit of `lease` is to claim for the next step, whose node this is; None where the hop ends here.

    took_seconds: the time of the lease's own node.
    """
    me = worker.this()
    _hop.left_seconds -= took_seconds
    if _hop.left_seconds <= 0 or me.draining.is_set():
        return None
    following = Next(uuid4(), me.id, node.timeout_seconds, node.reads)
    _hop.held = Held(lease.tenant_id, lease.run_id, lease.segment, following.token, DRAINED)
    return following


def go_on(tail: Sequence[Link], segment: tuple[UUID, UUID, int], parent_id: str, lease: Lease | None) -> None:
    """A step has committed and this tail follows (the next link last): leave it for the hop, or send it.

    lease: of the next step, if it was claimed along.
    """
    if lease is None:
        _hop.held = None
        pass_on(tail, segment, parent_id)
    else:
        _hop.tail, _hop.lease = tail, lease


def claimed_along(message: Message) -> Lease | None:
    """The lease of this message's step, if the commit before it claimed it. Raises ForgedMessage for another step's."""
    lease = _hop.lease
    if lease is not None and (lease.run_id, lease.segment, lease.pos) != (message.run, message.segment, message.pos):
        raise ForgedMessage("it does not follow on the message that it came with")
    _hop.lease = _hop.held = None
    return lease


class NodeTask(Task):  # type: ignore[misc]
    """A Celery task whose tracer goes on with what its step left behind."""

    abstract = True
    _tracer: Tracer | None = None

    @property
    def __trace__(self) -> Tracer | None:
        """What the worker's pool calls. Celery sets a new tracer at each start of its consumer."""
        return self._ride if self._tracer is not None and settings().sticky_milliseconds else self._tracer

    @__trace__.setter
    def __trace__(self, tracer: Tracer | None) -> None:
        self._tracer = tracer

    def _ride(self, task_id: str, args: Any, kwargs: Any, request: dict[str, Any]) -> Any:
        """Trace the step of the message, then the quick ones after it. The answer is the message's own."""
        assert self._tracer is not None
        _hop.left_seconds = settings().sticky_milliseconds / 1000
        try:
            answer = self._tracer(task_id, args, kwargs, request)
            self._go_on(request)
        finally:
            unused, _hop.held, _hop.lease, _hop.tail, _hop.left_seconds = _hop.held, None, None, None, 0.0
            if unused is not None:  # something broke between two links, or the next one is forged, or the run stops
                _give_back(unused)
        return answer

    def _go_on(self, request: dict[str, Any]) -> None:
        try:
            while _hop.tail:
                tail, _hop.tail = _hop.tail, None
                request = _run_next(self.app, tail, request)
        except Exception:  # the message's own step has ended; let out, its message would never be acknowledged
            log.exception("hop_broken", task=request["id"])


def _give_back(held: Held) -> None:
    """Nobody will begin this step, and its holder lives: without this it would wait for its deadline."""
    try:
        if lose(held):
            log.info("lease_given_back", run=str(held.run_id), segment=held.no, reason=held.reason)
    except Unavailable as away:
        log.warning("postgres_away", during="hop", error=repr(away))


def _run_next(app: Any, tail: Sequence[Link], before: dict[str, Any]) -> dict[str, Any]:
    """Run the next link through its task's own tracer; its request."""
    link, rest = tail[-1], tail[:-1]
    task, task_id, kwargs = app.tasks[link["task"]], link["options"]["task_id"], link["kwargs"]
    about = {"parent_id": before["id"], "root_id": before.get("root_id"), "args": "()", "kwargs": shown(kwargs)}
    request = {**before, "id": task_id, "task": task.name, "correlation_id": task_id, "chain": rest or None}
    request |= {"args": [], "kwargs": kwargs, "parent_id": before["id"], "kwargsrepr": about["kwargs"]}
    faults.point("between_links", f"{kwargs['segment']}/{kwargs['pos']}")
    _tell("task-received", task_id, name=task.name, retries=0, **about)
    _tell("task-started", task_id)
    result, info, seconds, _ = task._tracer(task_id, (), kwargs, request)
    if info is None:
        _tell("task-succeeded", task_id, result=None, runtime=seconds)
    else:
        _tell("task-failed", task_id, exception=repr(getattr(result, "exception", result)), traceback=None)
    return request


@signals.worker_ready.connect
def _remember_consumer(sender: Any, **_: Any) -> None:
    global _consumer
    _consumer = sender


def _tell(kind: str, task_id: str, **fields: Any) -> None:
    """A task event of an inner link, so that Flower and exporters see every node."""
    dispatcher = getattr(_consumer, "event_dispatcher", None)
    if dispatcher is not None and dispatcher.enabled:
        dispatcher.send(kind, uuid=task_id, **fields)
