"""The record as rows: pages for people, and all of it in the order of its chain for export and verification."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row, Select, func, select, text
from sqlalchemy.orm import Session

from storage.audit_tables import AuditHead, AuditLog
from storage.identity_tables import Tenant
from storage.postgres import engine, keeper_session, session
from storage.reads.cursors import PAGE_BYTES, cut, decode, encode
from storage.reads.payloads import as_text, parsed
from storage.tables import uuid7_floor

BATCH = 1000


class AuditRow(NamedTuple):
    """An entry as it stands; before, after: the stored text, of which the hash is."""

    seq: int
    id: UUID
    at: datetime
    actor: str
    action: str
    resource: str
    before: str | None
    after: str | None
    source: str | None
    trace_id: str | None
    prev_hash: bytes
    hash: bytes


class Head(NamedTuple):
    """Where a tenant's chain ends (seq 0: it has no entry), and where what retention left of it begins."""

    seq: int = 0
    hash: bytes = b""
    cut_seq: int = 0
    cut_hash: bytes = b""


def page(
    tenant_id: UUID,
    *,
    actor: str | None = None,
    action: str | None = None,
    resource: str | None = None,
    trace_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> tuple[list[dict[str, Any]], str | None]:
    """The tenant's entries, newest first, and the next page's cursor. Raises InvalidInput for a wrong cursor.

    action: the action, or what it begins with (`user.`); since, until: aware times, the last one excluded.
    """
    asked = _rows(tenant_id)
    for column, value in ((AuditLog.actor, actor), (AuditLog.resource, resource), (AuditLog.trace_id, trace_id)):
        if value is not None:
            asked = asked.where(column == value)
    if action is not None:
        asked = asked.where(func.starts_with(AuditLog.action, action))
    asked = _within(asked, since, until)
    if (place := decode(cursor, int)) is not None:
        asked = asked.where(AuditLog.seq < place[0])
    with session(tenant_id) as db:
        rows = [_row(row) for row in db.execute(asked.order_by(AuditLog.seq.desc()).limit(limit + 1))]
    kept, more = cut(rows, limit, (len(row.before or "") + len(row.after or "") + 500 for row in rows), PAGE_BYTES)
    return [shown(row) for row in kept], encode(kept[-1].seq) if more else None


def tenants() -> dict[UUID, str]:
    """Every tenant that may have a record, by id, with its name (its id, where the tenant's row is gone)."""
    with keeper_session() as db:
        named = dict(db.execute(select(Tenant.id, Tenant.name).order_by(Tenant.name)).tuples().all())
        return named | {one: str(one) for one in db.scalars(select(AuditHead.tenant_id)) if one not in named}


def head(tenant_id: UUID) -> Head:
    """Where the tenant's chain ends now."""
    with session(tenant_id) as db:
        return _head(db, tenant_id)


def in_order(
    tenant_id: UUID, up_to_seq: int, since: datetime | None = None, until: datetime | None = None
) -> Iterator[AuditRow]:
    """The entries up to this seq, oldest first; a transaction a batch, so that a slow reader holds up nobody."""
    after = 0
    while True:
        asked = _within(_rows(tenant_id), since, until)
        asked = asked.where(AuditLog.seq > after, AuditLog.seq <= up_to_seq).order_by(AuditLog.seq).limit(BATCH)
        with session(tenant_id) as db:
            rows = [_row(row) for row in db.execute(asked)]
        yield from rows
        if len(rows) < BATCH:
            return
        after = rows[-1].seq


@contextmanager
def whole_chain(tenant_id: UUID) -> Iterator[tuple[Head, Iterator[AuditRow]]]:
    """The tenant's head and all of its rows in the order of seq, as they stood at one moment, with bounded memory.

    As the keeper's role. Retention drops no month meanwhile: it does not get the lock, and tries again later.
    """
    with (
        engine("keeper").connect().execution_options(isolation_level="REPEATABLE READ") as connection,
        Session(connection) as db,
        db.begin(),
    ):
        db.execute(text("LOCK TABLE ONLY audit_logs IN ACCESS SHARE MODE"))  # before the snapshot: no drop sees it
        found = _head(db, tenant_id)
        asked = _rows(tenant_id).order_by(AuditLog.seq, AuditLog.id).execution_options(yield_per=BATCH)
        yield found, (_row(row) for row in db.execute(asked))


def shown(row: AuditRow) -> dict[str, Any]:
    """An entry as people see it; hashes in hex."""
    values = {"before": parsed(row.before), "after": parsed(row.after)}
    return {**row._asdict(), **values, "prev_hash": row.prev_hash.hex(), "hash": row.hash.hex()}


def _rows(tenant_id: UUID) -> Select[Any]:
    columns = (
        as_text(column) if name in ("before", "after") else column
        for name in AuditRow._fields
        for column in (getattr(AuditLog, name),)
    )
    return select(*columns).where(AuditLog.tenant_id == tenant_id)


def _within(asked: Select[Any], since: datetime | None, until: datetime | None) -> Select[Any]:
    """The entries of this time; their ids are made of it and leave out other months."""
    if since is not None:
        asked = asked.where(AuditLog.at >= since, AuditLog.id >= uuid7_floor(since))
    if until is not None:
        asked = asked.where(AuditLog.at < until, AuditLog.id < uuid7_floor(until + timedelta(milliseconds=1)))
    return asked


def _row(row: Row[Any]) -> AuditRow:
    read = AuditRow._make(row)
    return read._replace(at=read.at.astimezone(UTC), prev_hash=bytes(read.prev_hash), hash=bytes(read.hash))


def _head(db: Session, tenant_id: UUID) -> Head:
    row = db.get(AuditHead, tenant_id)
    return Head() if row is None else Head(row.seq, bytes(row.hash), row.cut_seq, bytes(row.cut_hash))
