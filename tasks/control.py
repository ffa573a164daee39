"""What a worker does for those who can write to Redis: signed messages, and answers to who looks. Nothing else.

Celery registers tasks of its own that start any others (`celery.map`, `celery.group`, ...), and takes commands by
remote control that stop a worker, change its queues or revoke what it should do (`hello` of another worker as well).
They need no signature, so they are taken away when a worker starts. What Flower and `celery inspect` ask stays, and
shows a task's arguments without their signature.
"""

from __future__ import annotations

from typing import Any

from celery import signals
from celery.worker.control import Panel
from celery.worker.request import Request

LOOKING = frozenset({
    "active", "active_queues", "clock", "conf", "disable_events", "enable_events", "heartbeat", "ping", "query_task",
    "registered", "reserved", "revoked", "scheduled", "stats",
})  # fmt: skip


class SignedRequest(Request):  # type: ignore[misc]
    """A message that was taken. It tells of itself what it may (chains/message.py: `shown`), and no header of it, which
    nobody signs, takes a step back.
    """

    def revoked(self) -> bool:
        """Never. A run says itself which of its steps are not to be executed; by Celery's ways a forged message that
        has expired would revoke the id that it bears, which is a genuine one's.
        """
        return False

    def info(self, safe: bool = True) -> dict[str, Any]:
        """Always the safe form: Celery's own shows the arguments themselves unless it is asked not to."""
        shown: dict[str, Any] = super().info(safe=True)
        return shown


@signals.celeryd_after_setup.connect
def close(instance: Any, **_: Any) -> None:
    """Take away what is not ours, before the worker takes its first message."""
    for name in set(Panel.data) - LOOKING:
        del Panel.data[name]
    for name in [name for name in instance.app.tasks if name.startswith("celery.")]:
        instance.app.tasks.unregister(name)
    for task in instance.app.tasks.values():
        task.Request = SignedRequest
