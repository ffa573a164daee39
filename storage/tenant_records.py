"""The tenants of the installation as rows: listed, made and changed by its operators. Keys are `storage/tenants.py`'s.

Only the keeper's role may change a tenant, so a transaction here is the keeper's, with the tenant that its entry of the
record belongs to set in it (`storage/directory.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from errors import NotFound
from storage.identity_tables import Tenant
from storage.postgres import keeper_session
from storage.reads.cursors import decode, encode
from storage.tables import uuid7
from storage.users import taken_told

Json = dict[str, Any]


@contextmanager
def change() -> Iterator[Session]:
    """A transaction that may change tenants."""
    with keeper_session() as db:
        yield db


def page(*, status: str | None = None, limit: int = 50, cursor: str | None = None) -> Json:
    """{"items": [tenants, newest first], "next_cursor": str|None}."""
    asked = select(Tenant)
    if status is not None:
        asked = asked.where(Tenant.status == status)
    if (place := decode(cursor, UUID)) is not None:
        asked = asked.where(Tenant.id < place[0])
    with keeper_session() as db:
        rows = list(db.scalars(asked.order_by(Tenant.id.desc()).limit(limit + 1)))
    items = [public(row) for row in rows[:limit]]
    return {"items": items, "next_cursor": encode(items[-1]["id"]) if len(rows) > limit else None}


def get(tenant_id: UUID) -> Json:
    """The tenant of this id. Raises NotFound."""
    with keeper_session() as db:
        return public(found(db, tenant_id, lock=False))


def found(db: Session, tenant_id: UUID, *, lock: bool = True) -> Tenant:
    """The tenant's row in this transaction, held until its end. Raises NotFound."""
    asked = select(Tenant).where(Tenant.id == tenant_id)
    row = db.scalar(asked.with_for_update() if lock else asked)
    if row is None:
        raise NotFound("There is no tenant of this id.")
    return row


def add(db: Session, values: Mapping[str, Any]) -> Tenant:
    """A new tenant. values: name, and any other column. Raises AlreadyExists."""
    row = Tenant(id=uuid7(), **values)
    with taken_told():
        db.add(row)
        db.flush()
    db.refresh(row)
    return row


def write(db: Session, row: Tenant, values: Mapping[str, Any]) -> None:
    """Set these columns."""
    for name, value in values.items():
        setattr(row, name, value)
    db.flush()
    db.refresh(row)


def public(row: Tenant) -> Json:
    """The tenant as the installation's operators see it."""
    return {column.name: getattr(row, column.name) for column in row.__table__.columns}
