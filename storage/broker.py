"""What is asked of Redis beside Celery: hints to live viewers, results for Celery clients, queue lengths, its memory.

Every call has a timeout of two seconds, or of a quarter where a model call waits for it, and after a failure Redis is
left alone for a while: all of this is best effort, because Postgres is the truth. What viewers and Celery clients are
told is sent without waiting for an answer at all.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

import redis
import structlog

from settings import settings
from storage.text import compact

log = structlog.get_logger()

MARKER_KEY = "baton:marker"
RESULT_SECONDS = 24 * 3600
QUICK_SECONDS = 0.25
UNHEARD_MILLISECONDS = 6000  # what Redis's machine has not confirmed by then ends the connection
_CELERY_STATES = {"completed": "SUCCESS", "failed": "FAILURE", "cancelled": "REVOKED"}

T = TypeVar("T")
Command = tuple[str, ...]


@cache
def client() -> redis.Redis:
    """This process's connections to Redis."""
    timeout = settings().send_timeout_seconds
    return redis.Redis.from_url(
        settings().redis_url, socket_timeout=timeout, socket_connect_timeout=timeout, retry_on_timeout=False, retry=None
    )


@cache
def quick_client() -> redis.Redis:
    """Connections that wait a quarter of a second: for what a model call asks on its way."""
    seconds = min(QUICK_SECONDS, settings().send_timeout_seconds)
    return redis.Redis.from_url(
        settings().redis_url, socket_timeout=seconds, socket_connect_timeout=seconds, retry_on_timeout=False, retry=None
    )


def hint(tenant_id: UUID, run_id: UUID, message: dict[str, Any]) -> Command:
    """What a run's live viewers are told: `{"events": [...]}` or `{"token": {...}}`."""
    return "PUBLISH", channel(tenant_id, run_id), compact(message)


def channel(tenant_id: UUID, run_id: UUID) -> str:
    """The pub/sub channel of a run's live viewers."""
    return f"baton:{tenant_id}:run:{run_id}"


def end(run_id: UUID, status: str, result: Any) -> tuple[Command, Command]:
    """A run's end where Celery's Redis backend looks for it, so that `AsyncResult(run_id).get()` answers."""
    key = result_key(run_id)
    if status == "failed":
        result = {"exc_type": "RunFailed", "exc_message": [json.dumps(result)], "exc_module": "baton"}
    elif status == "cancelled":
        result = {"exc_type": "TaskRevokedError", "exc_message": ["cancelled"], "exc_module": "celery.exceptions"}
    meta = json.dumps(
        {
            "status": _CELERY_STATES[status],
            "result": result,
            "traceback": None,
            "children": [],
            "date_done": datetime.now(UTC).isoformat(),
            "task_id": str(run_id),
        }
    )
    return ("SET", key, meta, "EX", str(RESULT_SECONDS)), ("PUBLISH", key, meta)


def tell(*commands: Command) -> None:
    """Tell live viewers and Celery clients (`hint`, `end`) in one message that nobody answers. It may be lost."""
    if commands:
        best_effort(lambda: _unanswered.send(commands), "tell")


def result_key(run_id: UUID) -> str:
    """Where Celery's Redis backend looks for the run's end."""
    return f"celery-task-meta-{run_id}"


def queue_lengths(queues: Sequence[str]) -> dict[str, int] | None:
    """Messages that wait in each queue, or None where Redis does not answer."""

    def read() -> list[int]:
        with client().pipeline(transaction=False) as pipe:
            for queue in queues:
                pipe.llen(queue)
            return [int(length) for length in pipe.execute()]

    lengths = best_effort(read, "queue_lengths")
    return None if lengths is None else dict(zip(queues, lengths, strict=True))


def read_marker() -> tuple[bool, str | None]:
    """(Redis answered, the marker it remembers or None)."""
    answer = best_effort(lambda: (client().get(MARKER_KEY),), "read_marker")
    if answer is None:
        return False, None
    return True, answer[0].decode() if answer[0] else None  # type: ignore[union-attr]


def write_marker(marker: str) -> bool:
    """Leave a mark in Redis's memory; it goes when the memory goes. True if it was written."""
    return best_effort(lambda: client().set(MARKER_KEY, marker), "write_marker") is not None


def show(hint: Command) -> None:
    """Tell live viewers a piece of a model's text. It may be lost, and must never slow the model."""
    quickly(lambda: quick_client().execute_command(*hint), "show")


def best_effort(call: Callable[[], T], what: str) -> T | None:
    """What the call gives, or None where Redis does not answer: then nobody asks it anything for a second."""
    return _usual.ask(call, what)


def quickly(call: Callable[[], T], what: str) -> T | None:
    """The same for what a model call asks on its way, with `quick_client`: a frozen Redis may cost it little."""
    return _quick.ask(call, what)


class _Lane:
    """Calls that leave Redis alone together for a while when it does not answer: the longer, the oftener in a row."""

    def __init__(self, pauses_seconds: Sequence[float]) -> None:
        self._pauses_seconds = pauses_seconds
        self._failures = 0
        self._quiet_until = 0.0

    def ask(self, call: Callable[[], T], what: str) -> T | None:
        if time.monotonic() < self._quiet_until:
            return None
        try:
            answer = call()
        except (redis.RedisError, OSError) as away:
            pause_seconds = self._pauses_seconds[min(self._failures, len(self._pauses_seconds) - 1)]
            self._failures, self._quiet_until = self._failures + 1, time.monotonic() + pause_seconds
            log.warning("redis_away", during=what, error=repr(away))
            return None
        self._failures = 0
        return answer


class _Unanswered:
    """A connection of this process on which Redis answers nothing (`CLIENT REPLY OFF`), so that nobody waits for it.

    To wait for the number of a run's viewers, which nobody reads, was a fifth of what a group commit costs a worker.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """A process begins, a forked one too: it has no connection, and none of its threads is sending."""
        self._lock = threading.Lock()
        self._connection: Any = None

    def send(self, commands: Sequence[Command]) -> None:
        """Send commands. Raises redis.RedisError or OSError where that cannot be done within the usual time."""
        if not self._lock.acquire(timeout=settings().send_timeout_seconds):
            raise TimeoutError("another thread's hints are not sent yet")
        try:
            connection = self._ready()
            connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        except BaseException:
            self._connection = None
            raise
        finally:
            self._lock.release()

    def _ready(self) -> Any:
        """The connection, a new one where Redis has closed it."""
        if self._connection is None or _closed(self._connection):
            self._connection = _connection_of_its_own()
            self._connection.connect()
            self._connection.send_command("CLIENT", "REPLY", "OFF", check_health=False)
        return self._connection


def _connection_of_its_own() -> Any:
    """One outside of the pool, which would count it for ever; it notices a dead server although it only sends."""
    pool = client().connection_pool
    about = dict(pool.connection_kwargs)
    if issubclass(pool.connection_class, redis.Connection) and hasattr(socket, "TCP_USER_TIMEOUT"):
        options = {socket.TCP_USER_TIMEOUT: UNHEARD_MILLISECONDS}
        about |= {"socket_keepalive": True, "socket_keepalive_options": options}
    return pool.connection_class(**about)


def _closed(connection: Any) -> bool:
    """Whether Redis has closed the connection: nothing else can be read on one without answers."""
    try:
        closed = bool(connection.can_read(0))
    except (redis.RedisError, OSError):
        closed = True
    if closed:
        connection.disconnect()
    return closed


_unanswered = _Unanswered()
os.register_at_fork(after_in_child=_unanswered.begin)
_usual = _Lane((1.0,))
_quick = _Lane((1.0, 2.0, 4.0, 8.0))
