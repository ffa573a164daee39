"""psycopg2 under gevent: other greenlets run while a query waits, and a server that does not answer is given up.

A connection that the server closed while it lay in the pool (a restart) is replaced before anybody gets it.

libpq blocks the whole process unless it is told how to wait; told so, it ignores `connect_timeout`, so the time limits
are here. Installed by the web process only (app/gunicorn_conf.py), after monkey patching.
"""

from __future__ import annotations

from typing import Any

import psycopg2
from psycopg2 import extensions
from sqlalchemy import event, exc, pool

from storage.connections import closed_by_server

CONNECT_SECONDS = 3.0
STATEMENT_SECONDS = 10.0


def install() -> None:
    """Make psycopg2 wait in gevent's way, in this process."""
    extensions.set_wait_callback(_wait)
    event.listen(pool.Pool, "checkout", _refuse_dead)


def _refuse_dead(connection: Any, _record: Any, _proxy: Any) -> None:
    if closed_by_server(connection):
        raise exc.InvalidatePoolError("the server closed this connection")


def _wait(connection: Any, _timeout: Any = None) -> None:
    """Wait until the connection's operation is done. Raises OperationalError after its time limit."""
    from gevent import Timeout
    from gevent.socket import wait_read, wait_write

    connecting = connection.status == extensions.STATUS_SETUP
    limit_seconds = CONNECT_SECONDS if connecting else STATEMENT_SECONDS
    with Timeout(limit_seconds, False):
        while True:
            state = connection.poll()
            if state == extensions.POLL_OK:
                return
            if state == extensions.POLL_READ:
                wait_read(connection.fileno())
            elif state == extensions.POLL_WRITE:
                wait_write(connection.fileno())
            else:
                raise psycopg2.OperationalError(f"unexpected state of a connection: {state}")
    # psycopg2 closes the connection after an error from here. Closing it here would wait for a lock that it holds.
    raise psycopg2.OperationalError(f"the database did not answer within {limit_seconds:.0f} s")
