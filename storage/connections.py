"""Raw connections that are kept between uses, for the hot path: taking one costs no more than a list's pop.

SQLAlchemy's pool serves the ORM; its checkout and reset took as long as the statements of an empty node.
"""

from __future__ import annotations

import select
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, Generic, Protocol, TypeVar

import psycopg2
import psycopg2.extensions

WAIT_SECONDS = 10.0


class Lent(Protocol):
    """What is kept: something around one connection."""

    connection: psycopg2.extensions.connection


L = TypeVar("L", bound=Lent)


class Spare(Generic[L]):
    """At most `limit` connections, of which `keep` may stay open unused; the last used is lent first."""

    def __init__(self, connect: Callable[[], L], keep: int, limit: int) -> None:
        self._connect, self._keep = connect, keep
        self._free: list[L] = []
        self._room = threading.BoundedSemaphore(limit)

    def take(self) -> L:
        """A connection for the caller alone. Raises psycopg2.OperationalError where there is none within 10 s."""
        if not self._room.acquire(timeout=WAIT_SECONDS):
            raise psycopg2.OperationalError(f"no connection was free for {WAIT_SECONDS:.0f} s")
        try:
            while (lent := self._last()) is not None:
                if not closed_by_server(lent.connection):
                    return lent
                _close(lent)
            return self._connect()
        except BaseException:
            self._room.release()
            raise

    def _last(self) -> L | None:
        try:
            return self._free.pop()
        except IndexError:
            return None

    def give(self, lent: L) -> None:
        """Take it back; close what is broken (then the others are too) or in the middle of something."""
        connection = lent.connection
        if connection.closed:
            # The server went away, and with it every connection that waits here: the next caller gets a new one.
            while self._free:
                _close(self._free.pop())
        elif (
            connection.get_transaction_status() == psycopg2.extensions.TRANSACTION_STATUS_IDLE
            and len(self._free) < self._keep
        ):
            self._free.append(lent)
        else:
            _close(lent)
        self._room.release()


def closed_by_server(connection: Any) -> bool:
    """Whether an idle connection is dead: nobody speaks on one, so what can be read there is its end. Takes 3 µs."""
    look = _poll()()
    look.register(connection.fileno(), select.POLLIN)
    return bool(look.poll(0))


@cache
def _poll() -> Any:
    """`select.poll` itself: under gevent the patched one would switch to another greenlet."""
    if "gevent.monkey" in sys.modules:
        return sys.modules["gevent.monkey"].get_original("select", "poll")
    return select.poll


def _close(lent: Lent) -> None:
    with suppress(psycopg2.Error):
        lent.connection.close()
