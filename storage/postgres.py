"""Connections to Postgres: one pool a role, ORM sessions for what a person clicks, raw ones for the hot path.

Two roles are used here. `app` sees the rows of one tenant, told per transaction; `keeper` sees every tenant's engine
rows. Named statements (`storage/sql`) are prepared once a connection and run with their tenant in one round trip:

    with hot() as db:
        row = db.one("claim", run_id, no, ..., tenant=tenant_id, synced=False)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cache, lru_cache
from itertools import chain
from types import NoneType
from typing import Any, Literal
from uuid import UUID

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import psycopg2.extras
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from settings import settings
from storage.connections import Spare
from storage.statements import statement

# A frozen process must not hold a run's lock for as long as it is frozen, and nobody waits for it for ever.
_POOL_OPTIONS = "-c timezone=UTC -c jit=off -c idle_in_transaction_session_timeout=10s -c lock_timeout=5s"

# The hot path's plans are made once a connection and must not depend on what the statistics said at that moment: a plan
# from when a table was empty reads all of it later. Every statement there goes by a primary key.
_PINNED_PLANS = (
    " -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
)

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
    return create_engine(
        driver_url(_url(role)),
        pool_size=settings().database_pool_size,
        max_overflow=settings().database_pool_size,
        pool_timeout=10,
        pool_recycle=1800,
        hide_parameters=True,  # an error's text reaches logs, and they are what somebody typed
        connect_args={"connect_timeout": 5, "application_name": f"baton-{role}", "options": _POOL_OPTIONS},
    )


def forget_connections() -> None:
    """Drop this process's pools without closing their sockets: a forked child must not share its parent's."""
    roles: tuple[Role, ...] = ("app", "keeper")
    for role in roles:
        if engine.cache_info().currsize:
            engine(role).dispose(close=False)
    engine.cache_clear()
    _spare.cache_clear()


class Hot:
    """A raw connection in autocommit that knows the named statements."""

    def __init__(self, connection: psycopg2.extensions.connection) -> None:
        self.connection = connection
        self._prepared: set[str] = set()
        self._waiting: list[tuple[str, tuple[Any, ...]]] = []
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

    def later(self, name: str, *values: Any) -> None:
        """Inside `transaction`: run a named statement whose answer nobody needs, together with the next one."""
        if not self._waiting and self._idle():
            raise RuntimeError(f"{name} would run in somebody else's transaction")
        self._prepare(name)
        self._waiting.append((_execute(name, len(values)), values))

    def close(self) -> None:
        """Close a connection of one's own."""
        with suppress(psycopg2.Error):
            self.connection.close()

    @contextmanager
    def transaction(self, tenant: UUID, run_id: UUID) -> Iterator[None]:
        """Several statements as one transaction under the run's lock, taken in a statement of its own.

        Lock and read in one statement would see the snapshot from before the lock. In one string they are two.
        """
        self._prepare("lock_run")
        self._waiting = [(f"BEGIN; {_preamble(tenant, True)}EXECUTE lock_run(%s)", (run_id,))]
        try:
            yield
            self._execute("COMMIT", ())
        except BaseException:
            self._waiting.clear()
            if not self._idle():
                with suppress(*Unavailable):
                    self._cursor.execute("ROLLBACK")
            raise

    def all_locked(self, lock: str, locked: Any, name: str, *values: Any, tenant: UUID | None) -> list[Row]:
        """`all` right after a statement that takes locks, as one synced transaction in one round trip."""
        self._prepare(lock)
        self._prepare(name)
        self._execute(f"{_preamble(tenant, True)}EXECUTE {lock}(%s); {_execute(name, len(values))}", (locked, *values))
        return self._cursor.fetchall()

    def one_locked(self, name: str, *values: Any, tenant: UUID, run_id: UUID) -> Row | None:
        """`one` right after the run's lock, as one synced transaction in one round trip.

        The string's statements are one implicit transaction with a snapshot each; the driver returns the last result.
        """
        self._prepare("lock_run")
        self._prepare(name)
        self._execute(
            f"{_preamble(tenant, True)}EXECUTE lock_run(%s); {_execute(name, len(values))}", (run_id, *values)
        )
        return self._cursor.fetchone()

    def _run(self, name: str, values: Sequence[Any], tenant: UUID | None, synced: bool) -> psycopg2.extensions.cursor:
        self._prepare(name)
        self._execute(_preamble(tenant, synced) + _execute(name, len(values)), tuple(values))
        return self._cursor

    def _execute(self, said: str, values: tuple[Any, ...]) -> None:
        """One round trip: what waits, and this; the cursor then has this one's answer."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            said = "; ".join((*(each for each, _ in waiting), said))
            values = tuple(chain.from_iterable(each for _, each in waiting)) + values
        self._cursor.execute(said, [_plain(value) for value in values])

    def _idle(self) -> bool:
        return self.connection.get_transaction_status() == psycopg2.extensions.TRANSACTION_STATUS_IDLE

    def _prepare(self, name: str) -> None:
        if name not in self._prepared:
            self._cursor.execute(statement(name))
            self._prepared.add(name)


def _plain(value: Any) -> Any:
    """Ids and arrays as text: one constant for the server, where the driver would write an expression of each element.

    Both sides would pay for that (docs/adr/0018-the-price-of-a-hop.md has the figures).
    """
    if isinstance(value, list):
        return f"{{{','.join(map(_element, value))}}}"
    return str(value) if isinstance(value, UUID) else value


def _element(value: Any) -> str:
    """One element of an array. Raises TypeError for what no statement takes arrays of."""
    kind: type = type(value)
    return _writer(kind)(value)


@cache
def _writer(kind: type) -> Callable[[Any], str]:
    for base in kind.__mro__:
        if base in _WRITTEN:
            return _WRITTEN[base]
    raise TypeError(f"no array holds a {kind.__name__}")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# As PostgreSQL reads the elements of an array (its manual, 8.15.6).
_WRITTEN: dict[type, Callable[[Any], str]] = {
    str: _quoted,
    int: str,
    float: str,
    UUID: str,
    datetime: lambda moment: f'"{moment.isoformat()}"',
    NoneType: lambda _: "NULL",
}


@cache
def _execute(name: str, values: int) -> str:
    return f"EXECUTE {name}({','.join(['%s'] * values)})" if values else f"EXECUTE {name}"


@lru_cache(maxsize=1024)  # by tenant
def _preamble(tenant: UUID | None, synced: bool) -> str:
    """Settings of this one (implicit) transaction; a plain `SET` would leak to whoever gets the connection next.

    `SET LOCAL` is not planned and answers without a row: half the cost of `SELECT set_config(...)`.
    """
    said = "" if tenant is None else f"SET LOCAL baton.tenant = '{UUID(str(tenant))}'; "
    return said if synced else said + "SET LOCAL synchronous_commit = off; "


@contextmanager
def hot(role: Role = "app") -> Iterator[Hot]:
    """Lend a raw connection of the role; a broken one is thrown away, the error goes on to the caller."""
    spare = _spare(role, _url(role))
    lent = spare.take()
    try:
        yield lent
    finally:
        spare.give(lent)


@lru_cache
def _spare(role: Role, url: str) -> Spare[Hot]:
    """The hot path's connections of this process (forked children make their own)."""
    options = _POOL_OPTIONS + (_PINNED_PLANS if role == "app" else "")
    about = {"connect_timeout": 5, "application_name": f"baton-{role}", "options": options}
    size = settings().database_pool_size
    return Spare(lambda: _open(url, **about), keep=size, limit=2 * size)


def _open(url: str, **about: Any) -> Hot:
    connection = psycopg2.connect(url, **about)
    connection.autocommit = True
    return Hot(connection)


def _url(role: Role) -> str:
    return settings().database_app_url if role == "app" else settings().database_keeper_url


def dedicated(role: Role) -> Hot:
    """A connection outside of the pool, for a thread of its own; it notices a dead server within seconds."""
    return _open(
        _url(role),
        connect_timeout=5,
        application_name=f"baton-{role}",
        options="-c timezone=UTC -c jit=off -c statement_timeout=20000",
        tcp_user_timeout=6000,
        keepalives_idle=3,
        keepalives_interval=1,
        keepalives_count=3,
    )


@contextmanager
def session(tenant_id: UUID) -> Iterator[Session]:
    """An ORM session as the application's role that sees one tenant; commits at the end, rolls back on an error."""
    with Session(engine("app"), expire_on_commit=False) as opened, opened.begin():
        opened.execute(text("SELECT set_config('baton.tenant', :tenant, true)"), {"tenant": str(tenant_id)})
        yield opened


@contextmanager
def keeper_session(audited: UUID | None = None) -> Iterator[Session]:
    """An ORM session as the keeper's role, which sees the engine's rows of every tenant.

    audited: the tenant whose audit entries it may write.
    """
    with Session(engine("keeper"), expire_on_commit=False) as opened, opened.begin():
        if audited is not None:
            opened.execute(text("SELECT set_config('baton.tenant', :tenant, true)"), {"tenant": str(audited)})
        yield opened
