"""Connections to Postgres: one pool a role, ORM sessions for what a person clicks, raw ones for the hot path.

Two roles are used here. `app` sees the rows of one tenant, told per transaction; `keeper` sees every tenant's engine
rows. Named statements (`storage/sql`) are prepared once a connection and run with their tenant in one round trip:

    with hot() as db:
        row = db.one("claim", run_id, no, ..., tenant=tenant_id, synced=False)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, Literal
from uuid import UUID

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import psycopg2.extras
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError as SqlalchemyError
from sqlalchemy.orm import Session

from settings import settings
from storage.statements import statement

# A frozen process must not hold a run's lock for as long as it is frozen, and nobody waits for it for ever.
_POOL_OPTIONS = "-c jit=off -c idle_in_transaction_session_timeout=10s -c lock_timeout=5s"

Role = Literal["app", "keeper"]
Row = tuple[Any, ...]

# What psycopg2 raises when the server is away or the connection broke: never the caller's fault, always worth a retry.
Unavailable = (psycopg2.OperationalError, psycopg2.InterfaceError)
Deadlock = psycopg2.extensions.TransactionRollbackError
Duplicate = psycopg2.errors.UniqueViolation


def unavailable(raised: BaseException) -> bool:
    """Whether this is Postgres being away, in the driver's words or in SQLAlchemy's."""
    return isinstance(raised, Unavailable) or isinstance(getattr(raised, "orig", None), Unavailable)


psycopg2.extras.register_uuid()


def driver_url(url: str) -> str:
    """The URL with the driver named: SQLAlchemy 2.1 reads a bare `postgresql://` as psycopg 3."""
    for bare in ("postgresql://", "postgres://"):
        if url.startswith(bare):
            return "postgresql+psycopg2://" + url.removeprefix(bare)
    return url


@lru_cache
def engine(role: Role) -> Engine:
    """The pool of a role's connections, made at first use in this process (forked children make their own)."""
    url = settings().database_app_url if role == "app" else settings().database_keeper_url
    made = create_engine(
        driver_url(str(url)),
        pool_size=settings().database_pool_size,
        max_overflow=settings().database_pool_size,
        pool_timeout=10,
        pool_recycle=1800,
        connect_args={"connect_timeout": 5, "application_name": f"baton-{role}", "options": _POOL_OPTIONS},
    )
    event.listen(made, "connect", _remember_no_statement)
    return made


def forget_connections() -> None:
    """Drop this process's pools without closing their sockets: a forked child must not share its parent's."""
    roles: tuple[Role, ...] = ("app", "keeper")
    for role in roles:
        if engine.cache_info().currsize:
            engine(role).dispose(close=False)
    engine.cache_clear()


def _remember_no_statement(_connection: Any, record: Any) -> None:
    record.info["prepared"] = set()


class Hot:
    """A raw connection in autocommit that knows the named statements."""

    def __init__(self, connection: psycopg2.extensions.connection, prepared: set[str]) -> None:
        self.connection = connection
        self._prepared = prepared
        self._cursor = connection.cursor()

    def one(self, name: str, *values: Any, tenant: UUID | None = None, synced: bool = True) -> Row | None:
        """The first row of a named statement, or None."""
        return self._run(name, values, tenant, synced).fetchone()

    def all(self, name: str, *values: Any, tenant: UUID | None = None, synced: bool = True) -> list[Row]:
        """All rows of a named statement."""
        return self._run(name, values, tenant, synced).fetchall()

    def do(self, name: str, *values: Any, tenant: UUID | None = None, synced: bool = True) -> int:
        """Run a named statement for what it changes; the number of rows it changed."""
        return self._run(name, values, tenant, synced).rowcount

    def close(self) -> None:
        """Close a connection of one's own."""
        with suppress(psycopg2.Error):
            self.connection.close()

    @contextmanager
    def transaction(self, tenant: UUID, run_id: UUID) -> Iterator[None]:
        """Several statements as one transaction under the run's lock, taken in a statement of its own.

        Lock and read in one statement would see the snapshot from before the lock.
        """
        self._prepare("lock_run")
        try:
            # Inside: a BEGIN that stays open after a failed lock would go back to the pool with the connection.
            self._cursor.execute("BEGIN; " + _preamble(tenant, synced=True) + self._call("lock_run", (run_id,)))
            yield
        except BaseException:
            with suppress(*Unavailable):
                self._cursor.execute("ROLLBACK")
            raise
        self._cursor.execute("COMMIT")

    def one_locked(self, name: str, *values: Any, tenant: UUID, run_id: UUID) -> Row | None:
        """`one` right after the run's lock, as one synced transaction in one round trip.

        The string's statements are one implicit transaction with a snapshot each; the driver returns the last result.
        """
        self._prepare("lock_run")
        self._prepare(name)
        lock = self._call("lock_run", (run_id,))
        self._cursor.execute(f"{_preamble(tenant, True)}{lock}; {self._call(name, values)}")
        return self._cursor.fetchone()

    def _run(self, name: str, values: Sequence[Any], tenant: UUID | None, synced: bool) -> psycopg2.extensions.cursor:
        self._prepare(name)
        self._cursor.execute(_preamble(tenant, synced) + self._call(name, values))
        return self._cursor

    def _call(self, name: str, values: Sequence[Any]) -> str:
        if not values:
            return f"EXECUTE {name}"
        marks = ",".join(["%s"] * len(values))
        return self._cursor.mogrify(f"EXECUTE {name}({marks})", values).decode()

    def _prepare(self, name: str) -> None:
        if name not in self._prepared:
            self._cursor.execute(statement(name))
            self._prepared.add(name)


def _preamble(tenant: UUID | None, synced: bool) -> str:
    """Settings of this one (implicit) transaction; `SET` at session level would leak through the pool."""
    parts = []
    if tenant is not None:
        parts.append(f"set_config('baton.tenant', '{UUID(str(tenant))}', true)")
    if not synced:
        parts.append("set_config('synchronous_commit', 'off', true)")
    return f"SELECT {', '.join(parts)}; " if parts else ""


@contextmanager
def hot(role: Role = "app") -> Iterator[Hot]:
    """Lend a raw connection of the role's pool; a broken one is thrown away, the error goes on to the caller."""
    try:
        fairy = engine(role).raw_connection()
    except SqlalchemyError as away:
        raise psycopg2.OperationalError(str(away)) from away
    connection: Any = fairy.dbapi_connection
    try:
        connection.autocommit = True
        yield Hot(connection, fairy.info["prepared"])
        connection.autocommit = False
    except Unavailable as away:
        fairy.invalidate(away)
        # The server went away, and with it every connection of the pool: the next caller gets a new one.
        engine(role).dispose()
        raise
    except BaseException:
        # A failed statement leaves the connection usable; the ORM shares the pool and wants transactions again.
        with suppress(psycopg2.Error):
            connection.autocommit = False
        raise
    finally:
        fairy.close()


def dedicated(role: Role) -> Hot:
    """A connection outside of the pool, for a thread of its own; it notices a dead server within seconds."""
    url = settings().database_app_url if role == "app" else settings().database_keeper_url
    connection = psycopg2.connect(
        url,
        connect_timeout=5,
        application_name=f"baton-{role}",
        options="-c jit=off -c statement_timeout=20000",
        tcp_user_timeout=6000,
        keepalives_idle=3,
        keepalives_interval=1,
        keepalives_count=3,
    )
    connection.autocommit = True
    return Hot(connection, set())


@contextmanager
def session(tenant_id: UUID) -> Iterator[Session]:
    """An ORM session as the application's role that sees one tenant; commits at the end, rolls back on an error."""
    with Session(engine("app"), expire_on_commit=False) as opened, opened.begin():
        opened.execute(text("SELECT set_config('baton.tenant', :tenant, true)"), {"tenant": str(tenant_id)})
        yield opened


@contextmanager
def keeper_session() -> Iterator[Session]:
    """An ORM session as the keeper's role, which sees the engine's rows of every tenant."""
    with Session(engine("keeper"), expire_on_commit=False) as opened, opened.begin():
        yield opened
