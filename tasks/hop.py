"""Sticky hops: a worker that finished a step runs the segment's next link itself, while the hop is young.

A message costs Celery more than an empty node: to be consumed, acknowledged, sent again. So after a commit the rest of
the chain is left here, and when Celery's tracer has ended the step, the next link runs through a tracer of its own,
with its own task id, signals and events. After `sticky_milliseconds`, before a step that is not declared quick, and in
a worker that is stopping, the rest becomes a message again: quick nodes ride together, every slow one is a message of
its own, so that load spreads. Each link claims like any message does: stop, deadline and fencing are looked at between
links, and a worker that dies in a hop has lost one message, no more than without.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from celery import Task, signals, states

import faults
from chains.send import pass_on
from settings import settings
from tasks import worker

Link = Mapping[str, Any]
Tracer = Callable[..., Any]
Left = tuple[Sequence[Link], tuple[UUID, UUID, int]]

_here = threading.local()
_consumer: Any = None


def go_on(tail: Sequence[Link], segment: tuple[UUID, UUID, int], parent_id: str, *, quick: bool) -> None:
    """A step has committed and this tail follows (the next link last): leave it for the hop, or send it."""
    if quick and getattr(_here, "riding", False):
        _here.left = (tail, segment)
    else:
        pass_on(tail, segment, parent_id)


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
        until = time.monotonic() + settings().sticky_milliseconds / 1000
        _here.left, _here.riding = None, True
        try:
            answer = self._tracer(task_id, args, kwargs, request)
            while (left := _take()) is not None:
                if time.monotonic() >= until or worker.this().draining.is_set():
                    pass_on(*left, request["id"])
                    break
                request = _run_next(self.app, left, request)
        finally:
            _here.riding = False
        return answer


def _take() -> Left | None:
    left, _here.left = _here.left, None
    return left  # type: ignore[no-any-return]


def _run_next(app: Any, left: Left, before: dict[str, Any]) -> dict[str, Any]:
    """Run the next link through its task's own tracer; its request."""
    tail, segment = left
    link, rest = tail[-1], tail[:-1]
    task, task_id, kwargs = app.tasks[link["task"]], link["options"]["task_id"], link["kwargs"]
    about = {"parent_id": before["id"], "root_id": before.get("root_id"), "args": "()", "kwargs": repr(kwargs)}
    request = {**before, "id": task_id, "task": task.name, "correlation_id": task_id, "chain": rest or None}
    request |= {"args": [], "kwargs": kwargs, "parent_id": before["id"], "kwargsrepr": about["kwargs"]}
    faults.point("between_links", f"{kwargs['segment']}/{kwargs['pos']}")
    _tell("task-received", task_id, name=task.name, retries=0, **about)
    _tell("task-started", task_id)
    result, info, seconds, _ = task._tracer(task_id, (), kwargs, request)
    if info is None:
        _tell("task-succeeded", task_id, result=None, runtime=seconds)
    elif info.state == states.REJECTED:  # the worker began to stop in this very moment
        pass_on(tail, segment, before["id"])
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
